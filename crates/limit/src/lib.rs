//! May this caller proceed now, and if not, when.

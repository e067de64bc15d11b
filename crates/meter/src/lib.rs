//! What happened: counted once, logged once.

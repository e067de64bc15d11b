//! Which route serves this host, method and path, and which path the upstream will see.

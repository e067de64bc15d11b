//! Scripted upstreams, raw clients and a running weir, for tests only.

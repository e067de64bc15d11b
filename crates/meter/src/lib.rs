//! What happened: counted once, logged once.
//!
//! This crate decides how facts become series and lines. It leaves to its callers what the facts are, and it never sees a body.

pub mod log;

//! The access log: one line per exchange, written when the exchange is over.
//!
//! What stands in a line is decided here; which exchanges are logged is the route's decision.

mod target;

pub use target::{Format, Target};

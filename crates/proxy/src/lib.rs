//! Carries one exchange to an upstream and watches its body to the end: pools, balancing, health, headers of both directions, streams.
//!
//! In: a request decided upon (route, caller, admission are others' business). Out: an answer whose body keeps the stream's promises and
//! reports once what happened, to an [`summary::Observer`]; counting and logging are others' business too.

pub mod compress;
pub mod downstream;
pub mod error;
pub mod fetch;
pub mod forwarded;
pub mod health;
pub mod inbound;
pub mod outbound;
pub mod pool;
pub mod proxy_protocol;
pub mod send;
pub mod settings;
pub mod stall;
pub mod summary;
pub mod tls;
pub mod tunnel;
pub mod upstream;
pub mod via;
pub mod websocket;

mod account;
mod alarm;
mod client_body;
mod clocks;
mod connect;
mod drain;
mod encode;
mod hop;
mod incoming;
mod lease;
mod multiplex;
mod source;
mod watched;

pub use client_body::ClientBody;
pub use incoming::{Incoming, Upgraded};
pub use source::Upload;
pub use watched::{Body, Exchange};

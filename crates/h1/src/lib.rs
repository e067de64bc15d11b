//! HTTP/1.1 read in place, on either side: no task of its own and no channel. Whoever polls a body reads the socket.
//!
//! Towards upstreams a [`Request`] is written once, into the bytes that go out; a [`Connection`] takes it and becomes an [`Exchange`], which
//! sends what is left of the request beside reading the answer, and gives the connection back after a clean end. Towards clients it is
//! [`server`]. Which bytes are a request or an answer is decided in `weir-wire`. Which server, which headers, when to give up and whether to try again are others' business: a [`Fault`] and
//! [`Exchange::heard`] tell them what they need.

mod answer;
mod begun;
mod body;
mod connection;
mod exchange;
mod fault;
mod lent;
mod outgoing;
mod portion;
mod request;
pub mod server;
mod switched;
mod unsent;
mod upload;

pub use connection::Connection;
pub use exchange::Exchange;
pub use fault::Fault;
pub use portion::Portion;
pub use request::{Request, RequestHead};
pub use switched::Switched;

//! An HTTP/1.1 client connection, read in place: no task of its own and no channel. Whoever polls the answer's body reads the socket, and
//! dropping the exchange closes it at once.
//!
//! A [`Request`] is written once, into the bytes that go out; a [`Connection`] takes it and becomes an [`Exchange`], which sends what is left
//! of the request beside reading the answer, and gives the connection back after a clean end. Which bytes are an answer is decided here, on
//! httparse and on the length, coding and chunk rules of `weir-wire`. Which server, which headers, when to give up and whether to try again
//! are others' business: a [`Fault`] and [`Exchange::heard`] tell them what they need.

mod answer;
mod body;
mod connection;
mod exchange;
mod fault;
mod lent;
mod request;
mod upload;

pub use connection::Connection;
pub use exchange::Exchange;
pub use fault::Fault;
pub use request::{Request, RequestHead};

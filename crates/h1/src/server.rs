//! The server's side of HTTP/1.1: one client's connection, its requests one after the other, each answered in full before the next is read.
//!
//! A [`Connection`] is a future that whoever owns the client polls. It asks a [`Service`] for every answer, also for that to a head which
//! `weir-wire` refused: so it comes in its turn behind pipelined requests before it, and is counted and logged as every other. A request's
//! body is an [`Incoming`], read from the socket by whoever polls it; an answer's is written from where it is polled. An idle connection
//! holds no buffer, but what heads repeat. Clocks, limits, TLS and what an answer says are others' business.

mod connection;
mod heads;
mod incoming;
mod place;
mod reply;
mod side;
mod switch;

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use weir_wire::Fault;

pub use connection::Connection;
pub use incoming::{Broken, Incoming};
pub use switch::Switch;

/// What a connection's requests are asked of.
pub trait Service {
    /// An answer's body. Dropped without a poll where the answer has none by its status or the request's method.
    type Body: Body<Data = Bytes, Error: std::error::Error> + Unpin;
    /// An answer on its way.
    type Answer: Future<Output = Response<Self::Body>> + 'static;
    /// A request; or with a fault one whose head was refused, of which it has the method and the target as far as they could be read. The
    /// connection ends behind the answer to that.
    fn call(&self, request: Request<Incoming>, refused: Option<Fault>) -> Self::Answer;

    /// A head has begun, and is not whole. An empty line, which may stand before one, is no beginning.
    fn head_began(&self);
}

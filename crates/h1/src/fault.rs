//! Every way an exchange can fail, told apart by whose fault it is.

use std::{error::Error, io};

/// Why there is no answer, or no end of it. `E` is what can go wrong with the request's body.
#[derive(Debug, thiserror::Error)]
pub enum Fault<E: Error + 'static> {
    /// The server's bytes are no answer, or one that two readers could understand differently.
    #[error("the answer is malformed")]
    Answer(#[source] weir_wire::Fault),
    /// The connection ended before the answer did.
    #[error("the connection ended before the answer")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The request's body broke.
    #[error("the request's body broke")]
    Request(#[source] E),
    /// The request's body was longer or shorter than its length said.
    #[error("the request's body was not as long as announced")]
    Length,
}

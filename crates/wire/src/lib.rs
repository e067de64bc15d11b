//! Which bytes are one HTTP/1.1 message, and where it ends: the rules of RFC 9112 that two parsers in a row could read differently, in
//! their strictest form. A head is right as a whole or refused as a whole.
//!
//! Pure: bytes in, a head or a verdict out. It decides nothing about hosts, paths, names or callers. [`Requests`] are what clients
//! send, and [`Answers`] are what upstreams send; both have the same [`Fields`] and [`Chunks`]. [`Fault`] is every way to be wrong. Of
//! HTTP/2 there is only where [`Frames`] begin.

mod answers;
mod characters;
mod chunks;
mod fault;
mod fields;
mod frames;
mod memory;
mod names;
mod requests;
mod target;

pub use answers::{AnswerHead, Answers};
pub use characters::is_text;
pub use chunks::{Chunks, Part};
pub use fault::Fault;
pub use fields::Fields;
pub use frames::{FrameHead, Frames};
pub use requests::{RequestHead, Requests};

/// The most header lines in one head.
pub const MAX_FIELDS: usize = 100;
/// The longest head, in bytes: longer ones are 431 from a client and 502 from an upstream.
pub const MAX_HEAD: usize = 64 * 1024;
/// The longest request line, in bytes: longer ones are 414. Eight times what nginx takes by default, and twice what IIS can be set to.
pub const MAX_REQUEST_LINE: usize = 32 * 1024;

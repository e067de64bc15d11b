//! The LLM backend client; for now its stream taps, which read usage and never change a byte.
//!
//! A [`Tap`] is fed the bytes of an answer as they pass and knows where an event may be put between them, whether the stream has said
//! that it is over, and how many tokens it used; an [`Answer`] is the same for one that comes in one piece of JSON. What is then counted, injected or ended is its caller's decision.

pub mod sse;

mod agui;
mod answer;
mod dialect;
mod facts;
mod media;
mod object;
mod openai;
mod tap;
mod usage;

pub use answer::Answer;
pub use dialect::{Dialect, error_event};
pub use facts::End;
pub use media::Media;
pub use tap::{Fed, Tap};
pub use usage::Usage;

//! May this caller proceed now, and if not, when.
//!
//! A limit is a quota or a number of streams, counted per key, in tables that never grow beyond a bound. Whose requests share a key is
//! decided here; which routes have which limits, and what a refusal looks like beyond its headers, is left to the gateway.

mod cells;
mod gcra;
mod headers;
mod key;
mod quota;
mod rate;
mod streams;
mod window;

pub use headers::headers;
pub use key::{Facts, Key, KeySource, KeySourceError};
pub use quota::{Quota, QuotaError};
pub use rate::{Algorithm, Allowed, RateLimit, Wait};
pub use streams::{Slot, StreamLimit};

//! May this caller proceed now, and if not, when.
//!
//! A limit is a quota, a number of streams or a budget of tokens, counted per key, in tables that never grow beyond a bound. Whose requests share a key is
//! decided here; which routes have which limits, and what a refusal looks like beyond its headers, is left to the gateway.

mod cells;
mod gcra;
mod headers;
mod key;
mod quota;
mod rate;
mod streams;
mod tokens;
mod window;

pub use gcra::Pace;
pub use headers::{Headers, Unit, retry_after};
pub use key::{Facts, Identity, Key, KeySource, KeySourceError};
pub use quota::{Quota, QuotaError};
pub use rate::{Algorithm, Allowed, RateLimit, Wait};
pub use streams::{Slot, StreamLimit};
pub use tokens::TokenBudget;

//! Limits whose counters several processes share: each decision is one script in Redis, with the arithmetic of weir-limit and Redis's
//! own clock, so N processes have one quota.
//!
//! This crate decides how a counter is named and kept, and whether the store can be asked at all: one link per process knows that at any
//! moment, so a store that is away costs no request any time. What happens to a request then, and which limits a route has, is left to
//! the gateway.

mod counter;
mod link;
#[cfg(test)]
mod same;
mod settings;
mod settle;
mod store;

pub use counter::{Ask, Counter, Tag};
pub use settings::{Settings, SettingsError};
pub use settle::Settle;
pub use store::{Store, StoreEvents, Undecided};

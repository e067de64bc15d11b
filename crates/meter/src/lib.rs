//! What happened: counted once, logged once.
//!
//! This crate decides how facts become series, access lines and trace ids. It leaves to its callers what the facts are, and it never
//! sees a body.

pub mod log;
pub mod names;
pub mod trace;

mod certificate;
mod conversations;
mod families;
mod guard;
mod issuer;
mod labels;
mod limits;
mod meter;
mod route;
mod upstream;
mod words;

pub use certificate::CertificateSeries;
pub use conversations::Conversation;
pub use guard::Held;
pub use issuer::IssuerSeries;
pub use limits::{LimitSeries, StoreSeries};
pub use meter::Meter;
pub use route::{RouteSeries, Tokens};
pub use upstream::UpstreamSeries;

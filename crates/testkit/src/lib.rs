//! What the tests of the running gateway are made of: an upstream that does exactly what a test says, a client that sees every
//! byte, and the real binary as a child process. Everything here speaks raw bytes on sockets and shares no line with the
//! proxy, so that a mistake in the proxy's library cannot hide itself. What must come true is left to the tests.

mod answer;
pub mod body;
pub mod client;
pub mod clock;
pub mod h2;
pub mod head;
pub mod metrics;
pub mod mint;
pub mod process;
pub mod redis;
pub mod skip;
pub mod sockets;
pub mod tls;
mod transport;
pub mod upstream;

pub use client::{Answer, Client, End};
pub use clock::{PATIENCE, eventually, within};
pub use h2::H2;
pub use head::Head;
pub use metrics::Metrics;
pub use process::{Run, Weir};
pub use redis::Redis;
pub use upstream::{Exchange, Gone, Upstream};

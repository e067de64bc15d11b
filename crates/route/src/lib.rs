//! Which route serves this host, method and path, and which path the upstream will see.
//!
//! Everything here is a pure decision over text that is already in memory. One [`NormalPath`] serves routing, authentication and
//! forwarding, so the three can never disagree about what a request is for. What a refusal looks like is left to the gateway.

mod authority;
mod escape;
mod host;
mod path;
mod pattern;
mod rewrite;
mod rule;
mod table;
mod tree;

pub use authority::{Authority, AuthorityError, authority};
pub use escape::decoded;
pub use host::{HostPattern, HostPatternError};
pub use path::{NormalPath, PathError};
pub use pattern::{Pattern, PatternError};
pub use rewrite::{Rewrite, RewriteError};
pub use rule::Rule;
pub use table::{Clash, Miss, Table};

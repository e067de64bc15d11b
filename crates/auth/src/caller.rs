//! Who a request turned out to come from. Limits, logs and the upstream's identity headers all read this one answer.

use std::time::SystemTime;

use crate::Denied;

/// The most bytes a user, a tenant or one role may have. Longer ones are refused, not cut: two users with one beginning
/// must never become one.
pub(crate) const MAX_NAME: usize = 512;

/// Who is asking. The default is nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The name or id that the verifier's `user_claim` holds; `None` only for anonymous callers.
    pub user: Option<String>,
    /// What the verifier's `tenant_claim` holds, where one is configured.
    pub tenant: Option<String>,
    /// The roles as the credential lists them, in its order.
    pub roles: Vec<String>,
    /// What the credential is good for, as it lists it: a token's scopes, or a key's.
    pub scopes: Vec<String>,
    /// How the credential came.
    pub via: Via,
    /// When the credential ends by its own word, without leeway.
    pub expires: Option<SystemTime>,
}

/// How a credential came. A browser sends a cookie unasked, also for a page of somebody else: see [`crate::cross_origin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// None was asked for.
    #[default]
    Anonymous,
    /// In a cookie, be it a session or a token.
    Cookie,
    /// A token that a script put there: the Authorization header, or its stand-ins where a browser opens a WebSocket.
    Bearer,
    /// In the TLS handshake. Browsers send it unasked too.
    Certificate,
    /// An API key.
    ApiKey,
}

/// Nobody.
pub static NOBODY: Caller = Caller {
    user: None,
    tenant: None,
    roles: Vec::new(),
    scopes: Vec::new(),
    via: Via::Anonymous,
    expires: None,
};

impl Caller {
    /// A good credential that names nobody is no identity, and a name without end is no name.
    pub(crate) fn checked(self) -> Result<Self, Denied> {
        if self.user.as_deref().is_none_or(str::is_empty) {
            return Err(Denied::MissingClaim);
        }
        let names = self.user.iter().chain(&self.tenant);
        let mut names = names.chain(&self.roles).chain(&self.scopes);
        if names.any(|name| name.len() > MAX_NAME) {
            return Err(Denied::TooLong);
        }
        Ok(self)
    }
}

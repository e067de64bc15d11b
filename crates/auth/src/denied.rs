//! Why a caller was refused, for the log and the metric. Outwards all but two of these look the same, so that a refusal
//! teaches nobody which guard to try next.

use http::StatusCode;

/// Why a caller was refused. Carries no text of the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denied {
    /// No credential came.
    #[error("no credential")]
    Missing,
    /// A credential came that cannot be read.
    #[error("the credential cannot be read")]
    Malformed,
    /// The credential is longer than any honest one.
    #[error("the credential is too long")]
    TooLong,
    /// No key given to weir made this cookie.
    #[error("the cookie's MAC matches no key")]
    BadMac,
    /// No key given to weir signed this token.
    #[error("the token's signature matches no key")]
    BadSignature,
    /// It names a key that weir does not have.
    #[error("the credential names an unknown key")]
    UnknownKey,
    /// It names a key that its owner has revoked.
    #[error("the credential's key is revoked")]
    RevokedKey,
    /// Its time is over.
    #[error("the credential has expired")]
    Expired,
    /// Its time has not come: `nbf` or `iat` lie in the future.
    #[error("the credential is not valid yet")]
    NotYetValid,
    /// It never expires, or does not say in a way that can be read.
    #[error("the credential does not say when it expires")]
    NoExpiry,
    /// It is older, or was given for longer, than the configured ceiling.
    #[error("the credential lives longer than allowed")]
    LivesTooLong,
    /// It names a session kept in the application's memory, and no user.
    #[error("the cookie names a stored session, which only the application can look up")]
    ReferenceTicket,
    /// An ASP.NET Core Data Protection payload, and no key ring is configured.
    #[error("the cookie is an ASP.NET Core Data Protection payload, and no key ring is configured")]
    DataProtection,
    /// A ticket of another format version.
    #[error("the ticket has an unsupported format version")]
    TicketVersion,
    /// The name of a credential's cookie occurs twice, so that gateway and upstream might read different ones.
    #[error("the cookie occurs more than once")]
    DuplicateCookie,
    /// More than one Authorization header.
    #[error("more than one Authorization header")]
    DuplicateAuthorization,
    /// The token names another algorithm than the key has.
    #[error("the token names the wrong algorithm")]
    WrongAlgorithm,
    /// The token's `typ` is not one of those expected here.
    #[error("the token has the wrong type")]
    WrongType,
    /// The token's header asks for an extension (`crit`) which weir does not implement.
    #[error("the token asks for an extension")]
    CriticalExtension,
    /// `iss` is absent, no string, or another issuer.
    #[error("the token comes from the wrong issuer")]
    WrongIssuer,
    /// `aud` is absent, ill-typed, or names somebody else.
    #[error("the token is meant for somebody else")]
    WrongAudience,
    /// A claim that must be there is not, or is not text.
    #[error("the credential lacks a required claim")]
    MissingClaim,
    /// Two good credentials came and name different callers.
    #[error("two credentials name different callers")]
    Conflict,
    /// None of the roles that the route asks for.
    #[error("the caller has none of the required roles")]
    RoleMissing,
    /// Not every scope that the route asks for.
    #[error("the credential lacks a required scope")]
    ScopeMissing,
    /// A page of another origin sent this with the user's cookie.
    #[error("the request was sent by a page of another origin")]
    CrossOrigin,
}

impl Denied {
    /// The same as a metric label and log field: snake case, never changing, one of a fixed set.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::BadMac => "bad_mac",
            Self::BadSignature => "bad_signature",
            Self::UnknownKey => "unknown_key",
            Self::RevokedKey => "revoked_key",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NoExpiry => "no_expiry",
            Self::LivesTooLong => "lives_too_long",
            Self::ReferenceTicket => "reference_ticket",
            Self::DataProtection => "data_protection",
            Self::TicketVersion => "ticket_version",
            Self::DuplicateCookie => "duplicate_cookie",
            Self::DuplicateAuthorization => "duplicate_authorization",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongType => "wrong_type",
            Self::CriticalExtension => "critical_extension",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::MissingClaim => "missing_claim",
            Self::Conflict => "conflict",
            Self::RoleMissing => "role_missing",
            Self::ScopeMissing => "scope_missing",
            Self::CrossOrigin => "cross_origin",
        }
    }

    /// What the client sees of it: 400 for a duplicated cookie, 403 for a foreign page and for a caller who is known but may not, otherwise 401 (or, for a
    /// navigation, the way to the login page).
    pub const fn status(self) -> StatusCode {
        match self {
            Self::DuplicateCookie => StatusCode::BAD_REQUEST,
            Self::CrossOrigin | Self::RoleMissing | Self::ScopeMissing => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

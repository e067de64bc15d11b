//! Who is asking, from cookies, bearer tokens and keys, and what the upstream is told of it.
//!
//! Everything here is a pure decision: headers and the time go in, a [`Caller`] or a [`Denied`] comes out. Reading files,
//! answering 401 or 302 and writing headers are the gateway's work. Presence of a credential is never enough: each is verified.

pub mod api_key;
pub mod aspnet;
mod bearer;
mod cache;
mod caller;
mod certificate;
mod cookies;
pub mod cors;
mod csrf;
mod denied;
pub mod identity;
pub mod jwt;
mod key_error;
mod login;
mod presented;
mod require;
mod swapped;
pub mod upgrade;
mod verifier;

pub use api_key::ApiKeys;
pub use aspnet::{AspNetCookie, AspNetCookieSettings};
pub use caller::{Caller, NOBODY, Via};
pub use certificate::{CertificateField, ClientCertificate, PeerCertificate};
pub use cookies::withhold_cookies;
pub use cors::Cors;
pub use csrf::cross_origin;
pub use denied::Denied;
pub use jwt::{Jwt, JwtSettings, TokenSource};
pub use key_error::KeyError;
pub use login::{Login, LoginError, wants_login};
pub use presented::Presented;
pub use require::Require;
pub use swapped::Swapped;
pub use verifier::{Verifier, Withheld};

//! What the upstream is told of the caller, and which header names a client may never use to say it itself. The gateway
//! strips the reserved names on every route, public ones too, and writes these headers last.

mod reserved;
mod signer;

pub use reserved::{Reserved, ReservedError};
pub use signer::{IDENTITY, Signer, SigningKey};

use std::borrow::Cow;

use http::HeaderName;

use crate::{Caller, caller::MAX_NAME};

/// The caller's name.
pub const USER: HeaderName = HeaderName::from_static("x-weir-user");
/// The caller's tenant.
pub const TENANT: HeaderName = HeaderName::from_static("x-weir-tenant");
/// The caller's roles, joined by commas.
pub const ROLES: HeaderName = HeaderName::from_static("x-weir-roles");

/// Escaped, joined roles stop at this many bytes.
const MAX_ROLES: usize = 4 * 1024;

/// What the headers say of this caller. Without text one is not to be written: an anonymous caller has none.
///
/// Values are percent-encoded UTF-8: visible ASCII stays, except `%` and, within a role, `,`. So decoding always gives back
/// what the credential said, and no value can end a line. A list of roles too long is cut between two roles, which takes
/// rights and gives none.
pub fn headers(caller: &Caller) -> [(HeaderName, Cow<'_, str>); 3] {
    let mut roles = String::new();
    for role in caller
        .roles
        .iter()
        .filter(|role| !role.is_empty())
        .map(|role| escaped(role, true))
    {
        if roles.len() + 1 + role.len() > MAX_ROLES {
            break;
        }
        if !roles.is_empty() {
            roles.push(',');
        }
        roles.push_str(&role);
    }
    [
        (USER, name(caller.user.as_deref())),
        (TENANT, name(caller.tenant.as_deref())),
        (ROLES, Cow::Owned(roles)),
    ]
}

fn name(text: Option<&str>) -> Cow<'_, str> {
    let text = text.filter(|text| text.len() <= MAX_NAME);
    escaped(text.unwrap_or_default(), false)
}

fn escaped(text: &str, item: bool) -> Cow<'_, str> {
    let stands = |byte: u8| byte.is_ascii_graphic() && byte != b'%' && !(item && byte == b',');
    if text.bytes().all(stands) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b',' if item => out.push_str("%2C"),
            byte if byte.is_ascii_graphic() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_caller_becomes_three_headers() {
        let caller = Caller {
            user: Some("Zoë\r\nX-Weir-Roles: admin".to_owned()),
            tenant: Some("100% a,b".to_owned()),
            roles: vec!["user".to_owned(), String::new(), "a,b".to_owned()],
            ..Caller::default()
        };
        let told: Vec<_> = headers(&caller)
            .into_iter()
            .map(|(name, text)| format!("{name}: {text}"))
            .collect();
        assert_eq!(
            told,
            [
                "x-weir-user: Zo%C3%AB%0D%0AX-Weir-Roles:%20admin",
                "x-weir-tenant: 100%25%20a,b",
                "x-weir-roles: user,a%2Cb"
            ]
        );
        let nobody = Caller::default();
        assert!(headers(&nobody).iter().all(|(_, text)| text.is_empty()));
    }

    #[test]
    fn too_many_roles_lose_whole_roles() {
        let roles: Vec<String> = (0..1000).map(|number| format!("role-{number}")).collect();
        let caller = Caller {
            roles: roles.clone(),
            ..Caller::default()
        };
        let [.., (_, told)] = headers(&caller);
        let told: Vec<&str> = told.split(',').collect();
        assert!(told.len() > 300 && told.iter().zip(&roles).all(|(told, role)| told == role));
    }

    proptest! {
        #[test]
        fn every_value_is_visible_ascii(user in ".{0,600}", roles in proptest::collection::vec(".{0,40}", 0..200)) {
            let caller = Caller { user: Some(user), roles, ..Caller::default() };
            for (_, value) in headers(&caller) {
                prop_assert!(value.as_bytes().iter().all(u8::is_ascii_graphic) && value.len() <= MAX_ROLES);
            }
        }
    }
}

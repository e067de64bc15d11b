//! Which credentials a route takes, and what happens when a request brings several. A present but bad credential refuses,
//! whatever else came along: "the first that passes" would let a page log its visitor in as somebody else.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{ApiKeys, AspNetCookie, Caller, ClientCertificate, Denied, Jwt, Presented};

/// Who decides. One per `[auth.NAME]`.
#[derive(Debug)]
pub enum Verifier {
    /// A Katana session cookie.
    AspNetCookie(AspNetCookie),
    /// A signed token, in a header or a cookie.
    Jwt(Jwt),
    /// The certificate of the connection.
    ClientCertificate(ClientCertificate),
    /// Keys that the operator handed out.
    ApiKeys(ApiKeys),
    /// Any of these; see [`Verifier::identify`].
    Any(Vec<Arc<Self>>),
}

/// What of a request's headers goes no further. A plan: the headers themselves are only read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    /// The headers that are left out.
    pub names: Cow<'static, [HeaderName]>,
    /// What stands in the place of Sec-WebSocket-Protocol, where that is among them.
    pub protocols: Option<HeaderValue>,
    /// What stands in the place of Cookie, where that is among them.
    pub cookies: Option<HeaderValue>,
}

impl Withheld {
    /// Leaves out one more header.
    pub fn header(&mut self, name: HeaderName) {
        self.names.to_mut().push(name);
    }

    /// Leaves out Authorization. It is nearly always the only one, and then it is borrowed.
    pub fn authorization(&mut self) {
        static ALONE: [HeaderName; 1] = [header::AUTHORIZATION];
        if self.names.is_empty() {
            self.names = Cow::Borrowed(&ALONE);
        } else {
            self.header(header::AUTHORIZATION);
        }
    }
}

impl Verifier {
    /// Who sent these headers.
    ///
    /// Every credential that is present must be good, and all must name the same user (and tenant, where two name one);
    /// then the one listed first speaks. Several verifiers that read the same place share one credential: there it is
    /// enough that one of them accepts it, as with several keys.
    pub fn identify(
        &self,
        presented: &Presented<'_>,
        now: SystemTime,
    ) -> Result<Arc<Caller>, Denied> {
        // Nearly every request is asked for one credential in one place, and there is nothing to judge.
        if let Self::Jwt(jwt) = self
            && let Some(only) = jwt.only(presented, now)
        {
            return only.outcome;
        }
        let mut found = Vec::new();
        self.examine(presented, now, &mut found);
        judge(found)
    }

    /// The cookies that carry credentials. A session cookie may also come as chunks, `NAMEC1`, `NAMEC2`, …
    pub fn cookie_names(&self) -> Vec<&str> {
        match self {
            Self::AspNetCookie(cookie) => vec![cookie.name()],
            Self::Jwt(jwt) => jwt.cookie_names().collect(),
            Self::ClientCertificate(_) => Vec::new(),
            Self::ApiKeys(_) => Vec::new(),
            Self::Any(several) => several.iter().flat_map(|one| one.cookie_names()).collect(),
        }
    }

    /// What of a request that it let in is not to be forwarded: keys in headers of their own, the token among a WebSocket's protocols
    /// and, if `authorization`, the bearer credential that this verifier reads. Cookies are [`crate::withhold_cookies`]'s.
    pub fn withhold(&self, headers: &HeaderMap, authorization: bool, withheld: &mut Withheld) {
        match self {
            // What let it in stands there: no need to look again.
            Self::Jwt(jwt) if jwt.reads_authorization_only() => {
                if authorization {
                    withheld.authorization();
                }
            }
            _ => self.withhold_present(headers, authorization, withheld),
        }
    }

    fn withhold_present(&self, headers: &HeaderMap, authorization: bool, withheld: &mut Withheld) {
        match self {
            Self::AspNetCookie(_) | Self::ClientCertificate(_) => {}
            Self::Jwt(jwt) => jwt.withhold(headers, authorization, withheld),
            Self::ApiKeys(keys) => keys.withhold(headers, authorization, withheld),
            Self::Any(several) => several
                .iter()
                .for_each(|one| one.withhold_present(headers, authorization, withheld)),
        }
    }

    fn examine<'v>(
        &'v self,
        presented: &Presented<'_>,
        now: SystemTime,
        found: &mut Vec<Found<'v>>,
    ) {
        match self {
            Self::AspNetCookie(cookie) => found.push(Found {
                place: Place::Cookie(cookie.name()),
                outcome: cookie.identify(presented.headers, now),
            }),
            Self::Jwt(jwt) => jwt.examine(presented, now, found),
            Self::ApiKeys(keys) => keys.examine(presented.headers, now, found),
            Self::ClientCertificate(verifier) => found.push(Found {
                place: Place::Handshake,
                outcome: verifier.identify(presented.certificate, now).map(Arc::new),
            }),
            Self::Any(several) => several
                .iter()
                .for_each(|one| one.examine(presented, now, found)),
        }
    }
}

/// Where a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'v> {
    Authorization,
    Handshake,
    Cookie(&'v str),
    Header(&'v str),
    Query,
    Protocol,
}

/// What one verifier said of one place.
#[derive(Debug)]
pub(crate) struct Found<'v> {
    pub(crate) place: Place<'v>,
    pub(crate) outcome: Result<Arc<Caller>, Denied>,
}

fn judge(mut found: Vec<Found<'_>>) -> Result<Arc<Caller>, Denied> {
    found.retain(|one| !matches!(one.outcome, Err(Denied::Missing)));
    let mut speaker: Option<&Arc<Caller>> = None;
    for (index, one) in found.iter().enumerate() {
        let here = || found.iter().filter(|other| other.place == one.place);
        if found[..index]
            .iter()
            .any(|earlier| earlier.place == one.place)
        {
            continue;
        }
        let Some(caller) = here().find_map(|other| other.outcome.as_ref().ok()) else {
            return one.outcome.clone();
        };
        match speaker {
            Some(first) if !agree(first, caller) => return Err(Denied::Conflict),
            Some(_) => {}
            None => speaker = Some(caller),
        }
    }
    speaker.cloned().ok_or(Denied::Missing)
}

fn agree(a: &Caller, b: &Caller) -> bool {
    a.user == b.user && (a.tenant.is_none() || b.tenant.is_none() || a.tenant == b.tenant)
}

//! Every way an exchange can end without an upstream's answer, and what each looks like: status, headers, metric label.
//! One exhaustive match per question, so that a new refusal cannot be half said.

use http::{HeaderValue, Method, Response, StatusCode, header};
use weir_auth::Denied;
use weir_proxy::{
    Body,
    error::{BodyFault, SendError},
};
use weir_route::{AuthorityError, Miss, PathError};
use weir_wire::Fault;

/// See the module.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The bytes are no request.
    Malformed(Fault),
    /// No usable Host.
    Authority(AuthorityError),
    /// A path that could mean two things.
    Path(PathError),
    /// The connection was made for another host, of whose clients another certificate is asked.
    Misdirected,
    /// CONNECT, TRACE, TRACK and PRI: never of use through a gateway.
    Method,
    /// No route for the host, none for the path, or none that takes the method. A listener that only redirects knows the same hosts.
    Miss(Miss),
    /// No file at that path.
    NoFile,
    /// A part of a file that is not in it; with the size that it has, as Content-Range says it.
    Range(Option<HeaderValue>),
    /// A file that is no longer, or not yet, the one that the client means.
    Changed,
    /// The credentials did not pass.
    Denied(Denied),
    /// The same, for a person who can be sent to sign in.
    Login { why: Denied, location: String },
    /// A browser asked for another site's page, which may not send what it wants to.
    Cors,
    /// A page of weir's own, asked for from an address that may not see it.
    NotAllowed,
    /// A rate is used up; the ledger tells when there is more.
    RateLimited,
    /// A token budget is used up.
    OutOfTokens,
    /// The store of a limit is away, and the limit is to let nobody pass then.
    LimitStoreAway,
    /// Too many credentials from this address did not pass; the ledger tells when it may try again.
    Guesses,
    /// As many streams as allowed are open.
    TooManyStreams,
    /// The request body is declared, or turned out, too large.
    TooLarge,
    /// The upstream gave no answer.
    Send(SendError),
    /// weir is stopping, and the upstream had not answered yet.
    Stopping,
    /// weir's own fault.
    Internal,
}

impl Refusal {
    /// What the client sees.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(fault) => {
                StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::Authority(_) | Self::Path(_) => StatusCode::BAD_REQUEST,
            Self::Misdirected | Self::Miss(Miss::Host) => StatusCode::MISDIRECTED_REQUEST,
            Self::Method | Self::Miss(Miss::Method { .. }) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Miss(Miss::NotFound) | Self::NoFile => StatusCode::NOT_FOUND,
            Self::Range(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Changed => StatusCode::PRECONDITION_FAILED,
            Self::NotAllowed | Self::Cors => StatusCode::FORBIDDEN,
            Self::Denied(why) => why.status(),
            Self::Login { .. } => StatusCode::FOUND,
            Self::RateLimited | Self::OutOfTokens | Self::TooManyStreams | Self::Guesses => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::TooLarge | Self::Send(SendError::RequestBody(BodyFault::TooLarge)) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Send(SendError::RequestBody(BodyFault::Stalled)) => StatusCode::REQUEST_TIMEOUT,
            Self::Send(SendError::RequestBody(BodyFault::Broken)) => StatusCode::BAD_REQUEST,
            Self::Send(SendError::NoHealthyServer) | Self::Stopping | Self::LimitStoreAway => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Send(
                SendError::Connect(_)
                | SendError::NoHttp2(_)
                | SendError::NoWebSockets
                | SendError::Failed(_)
                | SendError::UnknownStatus
                | SendError::UnexpectedUpgrade
                | SendError::NotUpgraded,
            ) => StatusCode::BAD_GATEWAY,
            Self::Send(SendError::ConnectTimeout | SendError::HeadersTimeout) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `reason` of metrics and the access log: a closed set of words.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(fault) => fault.reason(),
            Self::Authority(error) => error.reason(),
            Self::Path(error) => error.reason(),
            Self::Misdirected => "misdirected",
            Self::Method => "method_refused",
            Self::Miss(Miss::Host) => "host_unknown",
            Self::Miss(Miss::NotFound) => "no_route",
            Self::Miss(Miss::Method { .. }) => "method_not_allowed",
            Self::NoFile => "no_file",
            Self::Range(_) => "range",
            Self::Changed => "precondition",
            Self::Denied(why) | Self::Login { why, .. } => why.reason(),
            Self::Cors => "cors_refused",
            Self::NotAllowed => "address_not_allowed",
            Self::RateLimited => "rate_limited",
            Self::OutOfTokens => "out_of_tokens",
            Self::LimitStoreAway => "limit_store_away",
            Self::TooManyStreams => "too_many_streams",
            Self::Guesses => "too_many_failures",
            Self::TooLarge | Self::Send(SendError::RequestBody(BodyFault::TooLarge)) => {
                "body_too_large"
            }
            Self::Send(SendError::RequestBody(BodyFault::Stalled)) => "body_stalled",
            Self::Send(SendError::RequestBody(BodyFault::Broken)) => "body_broken",
            Self::Send(SendError::NoHealthyServer) => "no_healthy_server",
            Self::Send(SendError::Connect(_)) => "connect_failed",
            Self::Send(SendError::NoHttp2(_)) => "upstream_not_http2",
            Self::Send(SendError::NoWebSockets) => "upstream_without_websockets",
            Self::Send(SendError::ConnectTimeout) => "connect_timeout",
            Self::Send(SendError::HeadersTimeout) => "headers_timeout",
            Self::Send(SendError::Failed(_)) => "upstream_failed",
            Self::Send(SendError::UnknownStatus) => "upstream_status",
            Self::Send(SendError::UnexpectedUpgrade) => "unexpected_upgrade",
            Self::Send(SendError::NotUpgraded) => "not_upgraded",
            Self::Stopping => "stopping",
            Self::Internal => "internal",
        }
    }

    /// Whether a key that weir does not know was the reason: the one reason that newer keys may take away.
    pub(crate) fn is_unknown_key(&self) -> bool {
        matches!(
            self,
            Self::Denied(Denied::UnknownKey)
                | Self::Login {
                    why: Denied::UnknownKey,
                    ..
                }
        )
    }

    /// Whether somebody was refused for who they are, where they are or how much they ask: what an audit is for.
    pub(crate) fn is_of_caller(&self) -> bool {
        matches!(
            self,
            Self::Denied(_)
                | Self::Login { .. }
                | Self::NotAllowed
                | Self::RateLimited
                | Self::TooManyStreams
                | Self::Guesses
        )
    }

    /// The answer: the reason phrase as text, so that a person with curl and a program with a parser both know.
    /// The word for the reason stays inside: outwards every failed credential looks the same.
    pub(crate) fn into_response(self) -> Response<Body> {
        let status = self.status();
        let text = format!(
            "{} {}\n",
            status.as_str(),
            status.canonical_reason().unwrap_or("Refused")
        );
        let mut response = Response::new(Body::full(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // What follows a request that cannot be trusted, or a body nobody will read, must not be taken for the next request. Nor what
        // follows one of which the upstream believes that it switched: the client may have sent words for a tunnel.
        if matches!(
            self,
            Self::Malformed(_)
                | Self::Authority(_)
                | Self::Path(_)
                | Self::Method
                | Self::TooLarge
                | Self::Send(SendError::RequestBody(_) | SendError::UnexpectedUpgrade)
        ) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        match self {
            Self::Miss(Miss::Method { allow }) => {
                headers.insert(header::ALLOW, allow_header(&allow));
            }
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static(FORWARDED));
            }
            Self::Denied(_) if status == StatusCode::UNAUTHORIZED => {
                // RFC 9110 section 11.6.1: a 401 names a scheme.
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Range(Some(size)) => {
                headers.insert(header::CONTENT_RANGE, size);
            }
            Self::Login { location, .. } => match HeaderValue::from_str(&location) {
                Ok(location) => {
                    headers.insert(header::LOCATION, location);
                }
                Err(_) => *response.status_mut() = StatusCode::UNAUTHORIZED,
            },
            Self::TooManyStreams => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// What there is for methods that are refused everywhere (RFC 9110 section 15.5.6 wants a list); a route may take fewer.
const FORWARDED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

fn allow_header(allow: &[Method]) -> HeaderValue {
    let names: Vec<&str> = allow.iter().map(Method::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).expect("method names are tokens")
}

impl From<AuthorityError> for Refusal {
    fn from(error: AuthorityError) -> Self {
        Self::Authority(error)
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

impl From<Miss> for Refusal {
    fn from(miss: Miss) -> Self {
        Self::Miss(miss)
    }
}

impl From<Denied> for Refusal {
    fn from(why: Denied) -> Self {
        Self::Denied(why)
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

//! The listener that sends everybody to https: to the configured name, or to the one that was asked for if the routes know it. Any other
//! name would be the client's invention, and a cache between could give it to somebody else.

use http::{HeaderValue, Response, header, request::Parts};
use weir_config::plan::{Plan, Redirect};
use weir_proxy::Body;
use weir_route::Miss;

use crate::{
    pipeline::{is_refused, path_of, with_query},
    refusal::Refusal,
};

/// The answer to any request on such a listener.
pub(crate) fn redirect(
    plan: &Plan,
    redirect: &Redirect,
    head: &Parts,
) -> Result<Response<Body>, Refusal> {
    let asked = weir_route::authority(head.version, &head.uri, &head.headers)?;
    if is_refused(&head.method) {
        return Err(Refusal::Method);
    }
    let path = path_of(head)?;
    let host = match (&redirect.host, asked) {
        (Some(host), _) => host.to_string(),
        // Without its port: that is the one it must not use.
        (None, Some(asked)) if plan.hosts.iter().any(|host| host.matches(asked.host())) => {
            asked.host().to_owned()
        }
        (None, _) => return Err(Refusal::Miss(Miss::Host)),
    };
    let location = format!("https://{host}{}", with_query(path.as_str(), head));
    let location = HeaderValue::from_str(&location).map_err(|_| Refusal::Internal)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = redirect.status;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

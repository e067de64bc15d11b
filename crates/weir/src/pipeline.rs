//! The life of a request, on one page. Order is policy: each step may assume that the ones above it passed.
//!
//! locate (authority, path, route) → identify → admit → forward (headers out, send, headers in) → watch the body.
//! [`handle`] cannot fail: it owns the exchange's ledger and turns every refusal into an answer. [`exchange`] reads top to bottom.

use std::{panic::AssertUnwindSafe, sync::Arc, time::SystemTime};

use futures_util::FutureExt;
use http::{HeaderMap, Method, Response, StatusCode, header, request::Parts};
use weir_auth::{Caller, Denied, Presented, Via};
use weir_config::plan::{Action, Plan, Route};
use weir_limit::Facts;
use weir_proxy::{Body, ClientBody, compress::Wish, forwarded::Sender, send::Answer};
use weir_route::{Authority, NormalPath, PathError};
use weir_wire::Fault;

use crate::{
    admission,
    client::Client,
    files,
    forward::{Forward, Passed},
    gateway::Gateway,
    keys,
    ledger::Ledger,
    pages, redirect,
    refusal::Refusal,
    upgrade::{self, Upgrade},
};

/// One exchange, from a request's head to an answer whose body reports its own end. The head is boxed because it goes through many hands.
pub(crate) async fn handle(
    client: Arc<Client>,
    mut head: Box<Parts>,
    body: ClientBody,
    malformed: Option<Fault>,
) -> Response<Body> {
    let gateway = client.gateway();
    let has_body = !http_body::Body::is_end_stream(&body);
    let sender = client.sender(&gateway, &head.headers);
    let asks_to_switch =
        head.method == Method::CONNECT || head.headers.contains_key(header::UPGRADE);
    let (malformed, upgrade) = if asks_to_switch {
        let fault = upgrade::fault(&head.headers);
        (malformed.or(fault), Upgrade::take(&mut head, has_body))
    } else {
        (malformed, None)
    };
    let mut ledger = Ledger::open(&gateway, &client, &sender, &head, has_body);
    let head_only = head.method == Method::HEAD;
    // A panic in one exchange costs that exchange a 500 and nothing else.
    let wish = upgrade.as_ref();
    let answered = AssertUnwindSafe(async {
        match malformed {
            Some(fault) => {
                ledger.leaves_unread();
                client.shared().meter.connection_error(fault.reason());
                Err(Refusal::Malformed(fault))
            }
            None => exchange(&gateway, &client, &sender, &head, body, wish, &mut ledger).await,
        }
    })
    .catch_unwind()
    .await;
    match answered.unwrap_or(Err(Refusal::Internal)) {
        Ok(Answered::Upstream(mut passed)) => {
            if let (Some(upgrade), Some(upstream)) = (upgrade, passed.answer.upgraded.take()) {
                return upgrade.grant(*passed, *upstream, ledger, &client);
            }
            let Passed {
                answer:
                    Answer {
                        mut head,
                        body,
                        lease,
                        ..
                    },
                kind,
                timeouts,
                policy,
                seat,
                ..
            } = *passed;
            let coding =
                ledger.answered(head.status, &mut head.headers, kind.stream, declared_length);
            let exchange = ledger.into_exchange(coding);
            let body = Body::upstream(body, lease, kind, exchange, timeouts, policy, seat);
            Response::from_parts(*head, body)
        }
        Ok(Answered::Own(response)) => watch_own(*response, ledger, head_only),
        Err(refusal) => {
            ledger.refused(&refusal);
            watch_own(refusal.into_response(), ledger, head_only)
        }
    }
}

/// What an exchange comes to when nothing refused it.
enum Answered<'g> {
    Upstream(Box<Passed<'g>>),
    Own(Box<Response<Body>>),
}

impl Answered<'_> {
    fn own(response: Response<Body>) -> Self {
        Self::Own(Box::new(response))
    }
}

async fn exchange<'g>(
    gateway: &'g Gateway,
    client: &Client,
    sender: &Sender,
    head: &Parts,
    body: ClientBody,
    upgrade: Option<&Upgrade>,
    ledger: &mut Ledger,
) -> Result<Answered<'g>, Refusal> {
    if let Some(elsewhere) = client.listener(gateway).and_then(|at| at.redirect.as_ref()) {
        return redirect::redirect(&gateway.plan, elsewhere, head).map(Answered::own);
    }
    let asked = locate(&gateway.plan, head)?;
    let route = &gateway.plan.routes[asked.route];
    ledger.routed(gateway, asked.route, &head.headers);
    if !client.is_for(gateway, asked.authority.as_ref().map(Authority::host)) {
        return Err(Refusal::Misdirected);
    }
    ledger.wishes(Wish::of(&route.compress, &head.headers));
    // Before who is asking: a browser asks without credentials whether it may send them.
    if asked.preflight {
        return preflight(route, &head.headers, ledger).map(Answered::own);
    }

    let guesses = route.auth.and_then(|auth| gateway.guesses[auth].as_ref());
    if let Some(wait) = guesses.and_then(|guesses| guesses.wait(sender.address)) {
        ledger.tells([weir_limit::retry_after(wait)]);
        return Err(Refusal::Guesses);
    }
    let certificate = client
        .secured
        .as_ref()
        .and_then(|secured| secured.certificate.as_ref());
    let mut now = SystemTime::UNIX_EPOCH;
    let caller = keys::with_newer(gateway, asked.route, || {
        // Each time: newer keys may have been waited for.
        now = SystemTime::now();
        let presented = Presented {
            headers: &head.headers,
            upgrade: upgrade.map(|_| head.uri.query().unwrap_or_default()),
            certificate,
        };
        identify(&gateway.plan, &asked, head, &presented, now)
    })
    .await;
    if let (Some(guesses), Err(refusal)) = (guesses, &caller) {
        guesses.failed(sender.address, refusal);
    }
    let caller = caller?;
    let caller = match &caller {
        Some(caller) => {
            ledger.identified(caller);
            caller
        }
        None => &weir_auth::NOBODY,
    };
    route.require.check(caller)?;

    let facts = Facts {
        user: caller.user.as_deref(),
        tenant: caller.tenant.as_deref(),
        route: &route.name,
        ip: sender.address,
        headers: &head.headers,
    };
    if !route.limits.is_empty() {
        admission::admit(gateway, route, &facts, client, now, ledger).await?;
    }
    if !http_body::Body::is_end_stream(&body)
        && declared_length(&head.headers) > Some(route.max_body)
    {
        return Err(Refusal::TooLarge);
    }

    match &route.action {
        Action::Serve { page, allow } => {
            pages::serve(*page, allow, client.shared(), sender.address, head).map(Answered::own)
        }
        Action::Files {
            rewrite,
            cache_control,
            ..
        } => {
            // Boxed: of more than a KiB, which every request would carry.
            let file = Box::pin(files::serve(
                gateway.folder(asked.route),
                head,
                &asked.path,
                &rewrite.apply(&asked.path),
            ))
            .await?;
            let file = files::with_cache_control(file, cache_control.as_ref());
            Ok(Answered::own(file))
        }
        Action::Proxy {
            upstream,
            rewrite,
            stream,
            timeout,
            authorization,
            cookies,
        } => {
            let forward = Forward {
                route,
                upstream: &gateway.upstreams[*upstream],
                rewrite,
                stream,
                timeout,
                authorization: *authorization,
                cookies: *cookies,
                client,
                sender,
                caller,
                asked: &asked,
                upgrade,
            };
            let passed = forward.run(gateway, head, body, ledger).await?;
            Ok(Answered::Upstream(passed))
        }
    }
}

/// What a request asks for, in the one form that every later step uses.
#[derive(Debug)]
pub(crate) struct Asked<'h> {
    /// Absent only in HTTP/1.0.
    pub(crate) authority: Option<Authority<'h>>,
    /// The path that routing, identity and the upstream agree on.
    pub(crate) path: NormalPath<'h>,
    /// Index into [`Plan::routes`].
    pub(crate) route: usize,
    /// A browser asks what another site's page may send here, and the route is to say.
    pub(crate) preflight: bool,
}

/// Which route serves it.
pub(crate) fn locate<'h>(plan: &Plan, head: &'h Parts) -> Result<Asked<'h>, Refusal> {
    let authority = weir_route::authority(head.version, &head.uri, &head.headers)?;
    if is_refused(&head.method) {
        return Err(Refusal::Method);
    }
    let path = path_of(head)?;
    let host = authority.as_ref().map(Authority::host);
    // A preflight concerns the route of the request it asks about. One without `cors` leaves the question to the upstream.
    let crossing = weir_auth::cors::preflight(&head.method, &head.headers)
        .and_then(|wanted| plan.table.find(host, &wanted, &path).ok())
        .filter(|route| plan.routes[*route].cors.is_some());
    let route = match crossing {
        Some(route) => route,
        None => plan.table.find(host, &head.method, &path)?,
    };
    Ok(Asked {
        authority,
        path,
        route,
        preflight: crossing.is_some(),
    })
}

/// Of no use through a gateway, and what it makes of them is anybody's guess: also where somebody behind it does not look at their case, which
/// RFC 9110 section 9.1 says to do. PRI is how HTTP/2 begins, and nothing else.
pub(crate) fn is_refused(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::POST | Method::OPTIONS)
        && ["CONNECT", "TRACE", "TRACK", "PRI"]
            .iter()
            .any(|refused| method.as_str().eq_ignore_ascii_case(refused))
}

/// Whether it asks about the server as a whole and not about a path of it (RFC 9112 section 3.2.4). The route of `/` speaks for the server.
pub(crate) fn is_of_server(head: &Parts) -> bool {
    head.method == Method::OPTIONS && head.uri.path() == "*"
}

/// The path that a request is about.
pub(crate) fn path_of(head: &Parts) -> Result<NormalPath<'_>, PathError> {
    NormalPath::parse(if is_of_server(head) {
        "/"
    } else {
        head.uri.path()
    })
}

/// What another site's page may send, in words for its browser.
fn preflight(
    route: &Route,
    headers: &HeaderMap,
    ledger: &mut Ledger,
) -> Result<Response<Body>, Refusal> {
    let told = route.cors.as_ref().and_then(|cors| cors.preflight(headers));
    ledger.tells(told.ok_or(Refusal::Cors)?);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Who is asking; `None` where nobody is asked who they are. A person without a session is shown the way to sign in; a program is told 401.
pub(crate) fn identify(
    plan: &Plan,
    asked: &Asked<'_>,
    head: &Parts,
    presented: &Presented<'_>,
    now: SystemTime,
) -> Result<Option<Arc<Caller>>, Refusal> {
    let Some(auth) = plan.routes[asked.route].auth.map(|index| &plan.auth[index]) else {
        return Ok(None);
    };
    let caller = match auth.verifier.identify(presented, now) {
        Ok(caller) => caller,
        Err(Denied::DuplicateCookie) => return Err(Refusal::Denied(Denied::DuplicateCookie)),
        Err(why) => {
            let login = auth
                .login
                .as_ref()
                .filter(|_| weir_auth::wants_login(&head.method, &head.headers));
            return Err(match login {
                Some(login) => Refusal::Login {
                    why,
                    location: login.location(&with_query(asked.path.as_str(), head)),
                },
                None => Refusal::Denied(why),
            });
        }
    };
    // A cookie or a certificate goes along with whatever another site's page sends; a bearer header does not.
    let cors = plan.routes[asked.route].cors.as_ref();
    let invited = cors.is_some_and(|cors| cors.trusts(weir_auth::cors::origin(&head.headers)));
    if matches!(caller.via, Via::Cookie | Via::Certificate) && !invited {
        let own = asked.authority.as_ref().map(ToString::to_string);
        weir_auth::cross_origin(
            &head.method,
            &head.headers,
            own.as_deref(),
            &auth.trusted_origins,
        )?;
    }
    Ok(Some(caller))
}

/// A path with the query exactly as it came.
pub(crate) fn with_query(path: &str, head: &Parts) -> String {
    head.uri
        .query()
        .map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// Content-Length, whose form was checked already.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn watch_own(mut response: Response<Body>, mut ledger: Ledger, head_only: bool) -> Response<Body> {
    let status = response.status();
    let length = declared_length(response.headers())
        .or_else(|| http_body::Body::size_hint(response.body()).exact());
    let coding = ledger.answered(status, response.headers_mut(), false, |_| length);
    let length = length.filter(|_| coding.is_none());
    // Otherwise it is written from the body, which a HEAD answer does not have.
    if let Some(length) = length.filter(|_| head_only) {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
    }
    let bodyless = head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    response.map(|body| body.watch(ledger.into_exchange(coding), length, bodyless))
}

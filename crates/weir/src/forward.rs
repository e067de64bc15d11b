//! The middle of an exchange that an upstream answers: the request as the upstream will see it, the send, the answer as the client will.
//! Which headers and how they travel is weir-proxy's; this file brings it the facts.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use http::{HeaderName, HeaderValue, Version, header, request::Parts, uri::PathAndQuery};
use weir_auth::{
    Caller, Withheld,
    identity::{self, Signer},
    upgrade, withhold_cookies,
};
use weir_config::plan::{Authorization, Cookies, Route};
use weir_proxy::{
    Body, ClientBody, Upload,
    downstream::Seat,
    error::SendError,
    forwarded::Sender,
    inbound::{Kind, inbound},
    outbound::Outbound,
    send::{self, Answer, Outgoing},
    settings::{StreamPolicy, Timeouts},
    upstream::UpstreamState,
    via::add_via,
};
use weir_route::Rewrite;

use crate::{
    client::Client,
    gateway::Gateway,
    ledger::Ledger,
    pipeline::{Asked, is_of_server, with_query},
    refusal::Refusal,
    upgrade::Upgrade,
};

/// The facts of one forwarding.
pub(crate) struct Forward<'a, 'g> {
    pub(crate) route: &'a Route,
    pub(crate) upstream: &'a Arc<UpstreamState>,
    pub(crate) rewrite: &'a Rewrite,
    pub(crate) stream: &'g StreamPolicy,
    pub(crate) timeout: &'g Timeouts,
    pub(crate) authorization: Authorization,
    pub(crate) cookies: Cookies,
    pub(crate) client: &'a Client,
    pub(crate) sender: &'a Sender,
    pub(crate) caller: &'a Caller,
    pub(crate) asked: &'a Asked<'a>,
    pub(crate) upgrade: Option<&'a Upgrade>,
}

/// An upstream's answer, with what the watch over its body needs.
pub(crate) struct Passed<'g> {
    pub(crate) answer: Answer,
    pub(crate) kind: Kind,
    pub(crate) timeouts: &'g Timeouts,
    pub(crate) policy: &'g StreamPolicy,
    pub(crate) seat: Seat,
    pub(crate) upload: Arc<Upload>,
}

impl<'g> Forward<'_, 'g> {
    /// Sends the request and waits for the answer's head.
    pub(crate) async fn run(
        &self,
        gateway: &Gateway,
        head: &Parts,
        body: ClientBody,
        ledger: &mut Ledger,
    ) -> Result<Box<Passed<'g>>, Refusal> {
        let seat = self.client.downstream.wait_on_upstream();
        let max_body = self.route.max_body;
        let (body, upload) = Body::request(body, max_body, gateway.plan.client.body_idle);
        let asked = self.asked_host();
        let (mut withheld, mut added) = (Withheld::default(), Vec::new());
        self.headers(gateway, head, ledger, &mut withheld, &mut added);
        let host = self.upstream.settings().host.as_ref();
        // Of nobody there is nothing to say.
        let named = self.caller.user.is_some();
        let caller = named.then(|| identity::headers(self.caller));
        let outbound = Outbound {
            headers: &head.headers,
            host: host.map_or(asked.as_bytes(), HeaderValue::as_bytes),
            asked: asked.as_bytes(),
            sender: self.sender,
            via: gateway.plan.via.then_some(head.version),
            withheld: &withheld.names,
            caller: caller.as_ref().map_or(&[], |caller| &caller[..]),
            added: &added,
            upgrade: self.upgrade.is_some(),
            traceparent: ledger.traceparent(),
        };
        let outgoing = Outgoing {
            target: self.target(gateway, head)?,
            headers: &outbound,
            method: &head.method,
            upload: Arc::clone(&upload),
            handshake: self.upgrade.map(|upgrade| &upgrade.handshake),
        };
        ledger.uploads(&upload);
        let mut sent = send::send(self.upstream, self.timeout, outgoing, body);
        let mut answer = tokio::select! {
            biased;
            answer = &mut sent => answer?,
            () = seat.was_cut() => return Err(Refusal::Stopping),
        };
        ledger.answered_by(answer.lease.server());
        if self.upgrade.is_some_and(|upgrade| upgrade.by_connect) && answer.head.status.is_success()
        {
            return Err(SendError::NotUpgraded.into());
        }
        let over = answer.body.is_end_stream();
        let kind = inbound(&head.method, &mut answer.head, over, self.stream.always);
        if gateway.plan.via {
            add_via(&mut answer.head.headers, answer.head.version);
        }
        // What hyper's client left there is of the upstream's hop, and so is its version: an HTTP/1.0 server's would take the chunks away
        // from the client, and with them the only way to say that the answer broke.
        answer.head.extensions.clear();
        answer.head.version = Version::HTTP_11;
        Ok(Box::new(Passed {
            answer,
            kind,
            timeouts: self.timeout,
            policy: self.stream,
            seat,
            upload,
        }))
    }

    /// What of the client's headers stays here, and what weir says itself. What it has taken its caller from is weir's, and goes no
    /// further unless the file says so.
    ///
    /// Plain tests in place of `extend(Option)`: that is thirty instructions where there is nothing, which is nearly always.
    fn headers(
        &self,
        gateway: &Gateway,
        head: &Parts,
        ledger: &Ledger,
        withheld: &mut Withheld,
        added: &mut Vec<(HeaderName, HeaderValue)>,
    ) {
        for name in head.headers.keys() {
            if gateway.plan.reserved.contains(name.as_str()) {
                withheld.header(name.clone());
            }
        }
        if !withheld.names.is_empty() {
            ledger.forged();
        }
        let auth = self.route.auth;
        if let Some(auth) = auth.map(|index| &gateway.plan.auth[index]) {
            let authorization = self.authorization == Authorization::Unless;
            auth.verifier
                .withhold(&head.headers, authorization, withheld);
        }
        if self.cookies == Cookies::Strip {
            // Of every table, also where the route asks nobody: a browser sends what it has.
            let tables = gateway.plan.auth.iter();
            let names: Vec<_> = tables
                .flat_map(|auth| auth.verifier.cookie_names())
                .collect();
            withhold_cookies(&head.headers, &names, withheld);
        }
        if let Some(line) = withheld.cookies.take() {
            added.push((header::COOKIE, line));
        }
        if let Some(list) = withheld.protocols.take() {
            added.push((header::SEC_WEBSOCKET_PROTOCOL, list));
        }
        if matches!(
            self.authorization,
            Authorization::Strip | Authorization::Replace
        ) {
            withheld.authorization();
        }
        if let Some(signer) = &gateway.plan.identity {
            self.sign(signer, &ledger.request_id(), added);
        }
        if ledger.is_metered() {
            // What it used must be readable, whatever its client can unpack: otherwise asking for gzip would be the way past a budget.
            withheld.header(header::ACCEPT_ENCODING);
            let identity = HeaderValue::from_static("identity");
            added.push((header::ACCEPT_ENCODING, identity));
        }
    }

    /// Who the caller is, in a token of weir's own.
    fn sign(&self, signer: &Signer, request_id: &str, added: &mut Vec<(HeaderName, HeaderValue)>) {
        let upstream = &self.upstream.settings().name;
        let Some(token) = signer.sign(self.caller, upstream, request_id, SystemTime::now()) else {
            return;
        };
        if self.authorization == Authorization::Replace {
            let bearer = [b"Bearer ", token.as_bytes()].concat();
            if let Ok(mut value) = HeaderValue::from_bytes(&bearer) {
                value.set_sensitive(true);
                added.push((header::AUTHORIZATION, value));
            }
        }
        added.push((identity::IDENTITY, token));
    }

    /// What the client asked for. HTTP/1.0 may come without one: then the server's own is the best there is.
    fn asked_host(&self) -> Cow<'_, str> {
        match &self.asked.authority {
            Some(authority) => authority.as_str().into(),
            None => self.upstream.settings().servers[0].to_string().into(),
        }
    }

    /// Origin form: the rewritten path, and the query exactly as it came, but for a token in it that weir has read. A question about the
    /// server as a whole stays one.
    fn target(&self, gateway: &Gateway, head: &Parts) -> Result<PathAndQuery, Refusal> {
        if is_of_server(head) {
            return Ok(PathAndQuery::from_static("*"));
        }
        let path = self.rewrite.apply(&self.asked.path);
        let auth = self.route.auth;
        let reads_query = auth.is_some_and(|index| gateway.plan.auth[index].reads_query);
        let target = match head.uri.query() {
            Some(query) if reads_query && self.upgrade.is_some() => {
                match upgrade::without_token(query) {
                    Some(rest) => format!("{path}?{rest}"),
                    None => path.into_owned(),
                }
            }
            _ => match head.uri.path_and_query() {
                // It need not begin with its path: in `http://a.test?q` that is only meant.
                Some(sent) if sent.path() == path && sent.as_str().starts_with('/') => {
                    return Ok(sent.clone());
                }
                _ => with_query(&path, head),
            },
        };
        PathAndQuery::from_maybe_shared(target).map_err(|_| Refusal::Internal)
    }
}

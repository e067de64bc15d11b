//! The middle of an exchange that an upstream answers: the request as the upstream will see it, the send, the answer as the client will.
//! Which headers and how they travel is weir-proxy's; this file brings it the facts.

use std::{pin::pin, sync::Arc, time::SystemTime};

use http::{
    HeaderMap, HeaderName, HeaderValue, Version, header, request::Parts, uri::PathAndQuery,
};
use weir_auth::{Caller, Withheld, identity, upgrade, withhold_cookies};
use weir_config::plan::{Authorization, Cookies};
use weir_proxy::{
    Body, ClientBody, Upload,
    downstream::Waiting,
    error::SendError,
    forwarded::Sender,
    inbound::{self, Kind},
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
pub(crate) struct Forward<'a> {
    pub(crate) upstream: &'a Arc<UpstreamState>,
    pub(crate) rewrite: &'a Rewrite,
    pub(crate) stream: &'a StreamPolicy,
    pub(crate) timeout: &'a Timeouts,
    pub(crate) authorization: Authorization,
    pub(crate) cookies: Cookies,
    pub(crate) client: &'a Client,
    pub(crate) sender: &'a Sender,
    pub(crate) caller: &'a Caller,
    pub(crate) asked: &'a Asked,
    pub(crate) upgrade: Option<&'a Upgrade>,
}

/// An upstream's answer, with what the watch over its body needs.
pub(crate) struct Passed {
    pub(crate) answer: Answer,
    pub(crate) kind: Kind,
    pub(crate) timeouts: Timeouts,
    pub(crate) policy: StreamPolicy,
    pub(crate) waiting: Waiting,
    pub(crate) upload: Arc<Upload>,
}

impl Forward<'_> {
    /// Sends the request and waits for the answer's head.
    pub(crate) async fn run(
        &self,
        gateway: &Gateway,
        head: Parts,
        body: ClientBody,
        ledger: &mut Ledger,
    ) -> Result<Passed, Refusal> {
        let waiting = self.client.downstream.wait_on_upstream();
        let max_body = gateway.plan.routes[self.asked.route].max_body;
        let (body, upload) = Body::request(body, max_body, gateway.plan.client.body_idle);
        let asked = self.asked_host(&head.headers)?;
        let (withheld, added) = self.headers(gateway, &head, ledger);
        let outbound = Outbound {
            headers: &head.headers,
            host: self.upstream.settings().host.as_ref().unwrap_or(&asked),
            asked: &asked,
            sender: self.sender,
            via: gateway.plan.via.then_some(head.version),
            withheld: &withheld.names,
            caller: &identity::headers(self.caller),
            added: &added,
            upgrade: self.upgrade.is_some(),
            traceparent: ledger.traceparent(),
        };
        let outgoing = Outgoing {
            target: self.target(gateway, &head)?,
            headers: &outbound,
            method: &head.method,
            body,
            upload: Arc::clone(&upload),
            handshake: self.upgrade.map(|upgrade| &upgrade.handshake),
        };
        ledger.uploads(&upload);
        // Pinned here and not in the macro, which would move it once more.
        let mut sent = pin!(send::send(self.upstream, self.timeout, outgoing));
        let mut answer = tokio::select! {
            biased;
            answer = &mut sent => answer?,
            () = self.client.downstream.was_cut() => return Err(Refusal::Stopping),
        };
        ledger.answered_by(answer.lease.server());
        if self.upgrade.is_some_and(|upgrade| upgrade.by_connect) && answer.head.status.is_success()
        {
            return Err(SendError::NotUpgraded.into());
        }
        let kind = Kind::of(&head.method, &answer.head, &answer.body, self.stream.always);
        inbound::inbound(answer.head.status, &mut answer.head.headers, kind.stream);
        if gateway.plan.via {
            add_via(&mut answer.head.headers, answer.head.version);
        }
        // What hyper's client left there is of the upstream's hop, and so is its version: an HTTP/1.0 server's would take the chunks away
        // from the client, and with them the only way to say that the answer broke.
        answer.head.extensions.clear();
        answer.head.version = Version::HTTP_11;
        Ok(Passed {
            answer,
            kind,
            timeouts: *self.timeout,
            policy: self.stream.clone(),
            waiting,
            upload,
        })
    }

    /// What of the client's headers stays here, and what weir says itself. What it has taken its caller from is weir's, and goes no
    /// further unless the file says so.
    fn headers(
        &self,
        gateway: &Gateway,
        head: &Parts,
        ledger: &Ledger,
    ) -> (Withheld, Vec<(HeaderName, HeaderValue)>) {
        let reserved = |name: &&HeaderName| gateway.plan.reserved.contains(name.as_str());
        let mut withheld = Withheld {
            names: head.headers.keys().filter(reserved).cloned().collect(),
            ..Withheld::default()
        };
        if !withheld.names.is_empty() {
            ledger.forged();
        }
        let mut added = Vec::new();
        let upstream = &self.upstream.settings().name;
        let signed = gateway.plan.identity.as_ref().and_then(|signer| {
            signer.sign(
                self.caller,
                upstream,
                &ledger.request_id(),
                SystemTime::now(),
            )
        });
        let auth = gateway.plan.routes[self.asked.route].auth;
        if let Some(auth) = auth.map(|index| &gateway.plan.auth[index]) {
            let authorization = self.authorization == Authorization::Unless;
            auth.verifier
                .withhold(&head.headers, authorization, &mut withheld);
        }
        if self.cookies == Cookies::Strip {
            // Of every table, also where the route asks nobody: a browser sends what it has.
            let tables = gateway.plan.auth.iter();
            let names: Vec<_> = tables
                .flat_map(|auth| auth.verifier.cookie_names())
                .collect();
            withhold_cookies(&head.headers, &names, &mut withheld);
        }
        let cookies = withheld.cookies.take();
        added.extend(cookies.map(|line| (header::COOKIE, line)));
        let protocols = withheld.protocols.take();
        added.extend(protocols.map(|list| (header::SEC_WEBSOCKET_PROTOCOL, list)));
        match self.authorization {
            Authorization::Unless | Authorization::Pass => {}
            Authorization::Strip => withheld.names.push(header::AUTHORIZATION),
            Authorization::Replace => {
                withheld.names.push(header::AUTHORIZATION);
                let bearer = signed
                    .as_ref()
                    .map(|token| [b"Bearer ", token.as_bytes()].concat());
                if let Some(Ok(mut value)) = bearer.as_deref().map(HeaderValue::from_bytes) {
                    value.set_sensitive(true);
                    added.push((header::AUTHORIZATION, value));
                }
            }
        }
        added.extend(signed.map(|token| (identity::IDENTITY, token)));
        if ledger.is_metered() {
            // What it used must be readable, whatever its client can unpack: otherwise asking for gzip would be the way past a budget.
            withheld.names.push(header::ACCEPT_ENCODING);
            added.push((
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("identity"),
            ));
        }
        (withheld, added)
    }

    /// What the client asked for. HTTP/1.0 may come without one: then the server's own is the best there is.
    fn asked_host(&self, headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
        let server;
        let host = match &self.asked.authority {
            Some(authority) => authority.as_str(),
            None => {
                server = self.upstream.settings().servers[0].to_string();
                &server
            }
        };
        // Nearly always the client has written it in this form.
        match headers.get(header::HOST) {
            Some(sent) if sent.as_bytes() == host.as_bytes() => Ok(sent.clone()),
            _ => HeaderValue::from_str(host).map_err(|_| Refusal::Internal),
        }
    }

    /// Origin form: the rewritten path, and the query exactly as it came, but for a token in it that weir has read. A question about the
    /// server as a whole stays one.
    fn target(&self, gateway: &Gateway, head: &Parts) -> Result<PathAndQuery, Refusal> {
        if is_of_server(head) {
            return Ok(PathAndQuery::from_static("*"));
        }
        let path = self.rewrite.apply(&self.asked.path);
        let auth = gateway.plan.routes[self.asked.route].auth;
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

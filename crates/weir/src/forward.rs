//! The middle of an exchange that an upstream answers: the request as the upstream will see it, the send, the answer as the client will.
//! Which headers and how they travel is weir-proxy's; this file brings it the facts.

use std::{cell::Cell, sync::Arc, time::SystemTime};

use http::{HeaderValue, Uri, Version, header, request::Parts, uri::PathAndQuery};
use hyper::body::Incoming;
use weir_auth::{Caller, identity, upgrade};
use weir_config::plan::Authorization;
use weir_proxy::{
    Body, Upload,
    downstream::Waiting,
    error::SendError,
    forwarded::Sender,
    inbound::{self, Kind},
    outbound::Outbound,
    send::{self, Answer, Outgoing},
    settings::{StreamPolicy, Timeouts},
    upstream::UpstreamState,
    via::add_via,
    websocket::Handshake,
};
use weir_route::Rewrite;

use crate::{
    client::Client,
    gateway::Gateway,
    ledger::Ledger,
    pipeline::{Asked, with_query},
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
        body: Incoming,
        ledger: &mut Ledger,
    ) -> Result<Passed, Refusal> {
        let waiting = self.client.downstream.wait_on_upstream();
        let max_body = gateway.plan.routes[self.asked.route].max_body;
        let (body, upload) = Body::request(body, max_body, gateway.plan.client.body_idle);
        let outgoing = Outgoing {
            target: self.target(gateway, &head)?,
            headers: self.headers(gateway, &head, ledger)?,
            method: head.method.clone(),
            body,
            upload: Arc::clone(&upload),
            handshake: self.upgrade.map(|upgrade| upgrade.handshake.clone()),
        };
        ledger.uploads(&upload);
        let mut answer = tokio::select! {
            biased;
            answer = send::send(self.upstream, self.timeout, outgoing) => answer?,
            () = self.client.downstream.was_cut() => return Err(Refusal::Stopping),
        };
        ledger.answered_by(answer.lease.server());
        if self.upgrade.is_some_and(|upgrade| upgrade.by_connect) && answer.head.status.is_success()
        {
            return Err(SendError::NotUpgraded.into());
        }
        let kind = Kind::of(&head.method, &answer.head, &answer.body, self.stream.always);
        inbound::inbound(&mut answer.head.headers, kind.stream);
        if gateway.plan.via {
            add_via(&mut answer.head.headers, answer.head.version);
        }
        // What hyper's client left there (an odd reason phrase) is of the upstream's hop, and so is its version: an HTTP/1.0 server's would
        // take the chunks away from the client, and with them the only way to say that the answer broke.
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

    fn headers(
        &self,
        gateway: &Gateway,
        head: &Parts,
        ledger: &Ledger,
    ) -> Result<http::HeaderMap, Refusal> {
        let mut identity = identity::headers(self.caller);
        let upstream = &self.upstream.settings().name;
        let signed = gateway.plan.identity.as_ref().and_then(|signer| {
            signer.sign(
                self.caller,
                upstream,
                &ledger.request_id(),
                SystemTime::now(),
            )
        });
        identity.extend(signed.clone().map(|token| (identity::IDENTITY, token)));
        let forged = Cell::new(false);
        let reserved = |name: &str| {
            let reserved = identity::is_reserved(name, &[] as &[&str]);
            forged.set(forged.get() | reserved);
            reserved
        };
        let outbound = Outbound {
            headers: &head.headers,
            host: match &self.upstream.settings().host {
                Some(host) => host.clone(),
                None => self.asked_host()?,
            },
            asked: self.asked_host()?,
            sender: self.sender,
            via: gateway.plan.via.then_some(head.version),
            identity: &identity,
            traceparent: ledger.traceparent(),
            reserved: &reserved,
        };
        let mut headers = outbound.headers();
        if forged.get() {
            ledger.forged();
        }
        self.credentials(gateway, &mut headers, signed.as_ref());
        if self.upgrade.is_some() {
            Handshake::write(&mut headers);
        }
        Ok(headers)
    }

    /// What weir has taken its caller from is weir's, and goes no further unless the file says so.
    fn credentials(
        &self,
        gateway: &Gateway,
        headers: &mut http::HeaderMap,
        signed: Option<&HeaderValue>,
    ) {
        let auth = gateway.plan.routes[self.asked.route].auth;
        if let Some(auth) = auth.map(|index| &gateway.plan.auth[index]) {
            auth.verifier
                .take_away(headers, self.authorization == Authorization::Unless);
        }
        match self.authorization {
            Authorization::Unless | Authorization::Pass => {}
            Authorization::Strip => drop(headers.remove(header::AUTHORIZATION)),
            Authorization::Replace => {
                headers.remove(header::AUTHORIZATION);
                let bearer = signed.map(|token| [b"Bearer ", token.as_bytes()].concat());
                if let Some(Ok(mut value)) = bearer.as_deref().map(HeaderValue::from_bytes) {
                    value.set_sensitive(true);
                    headers.insert(header::AUTHORIZATION, value);
                }
            }
        }
    }

    /// What the client asked for. HTTP/1.0 may come without one: then the server's own is the best there is.
    fn asked_host(&self) -> Result<HeaderValue, Refusal> {
        let settings = self.upstream.settings();
        let host = match &self.asked.authority {
            Some(authority) => authority.to_string(),
            None => settings.servers[0].to_string(),
        };
        HeaderValue::from_str(&host).map_err(|_| Refusal::Internal)
    }

    /// Origin form: the rewritten path, and the query exactly as it came, but for a token in it that weir has read.
    fn target(&self, gateway: &Gateway, head: &Parts) -> Result<Uri, Refusal> {
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
            _ => with_query(&path, head),
        };
        PathAndQuery::from_maybe_shared(target)
            .map(Uri::from)
            .map_err(|_| Refusal::Internal)
    }
}

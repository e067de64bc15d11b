//! The record of one exchange: opened with its request, told what happens, closed exactly once, also when it is dropped half-way.
//! Closing counts it and writes its line. It decides nothing.

mod access;
mod closing;

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts,
    uri::PathAndQuery,
};
use tokio::time::Instant;
use weir_auth::Caller;
use weir_limit::{Allowed, Slot, Wait};
use weir_meter::{
    Conversation, Held, RouteSeries,
    log::{Event, Refused},
    trace::TraceContext,
};
use weir_proxy::{
    Exchange, Upload,
    compress::{Coding, Wish},
    forwarded::Sender,
    stall::Stall,
};

use crate::{
    client::Client, gateway::Gateway, patience::Busy, refusal::Refusal, reservation::Reservation,
};

/// What nginx made the custom for a client that left before any status was sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// See the module.
pub(crate) struct Ledger {
    facts: Box<Facts>,
}

/// Boxed, so that it moves from the pipeline into the body without being copied.
struct Facts {
    gateway: Arc<Gateway>,
    /// `None` until it is known.
    route: Option<usize>,
    started: Instant,
    connection: Arc<Client>,
    client: IpAddr,
    method: Method,
    /// Shared with the request's head, as the user agent is.
    target: Option<PathAndQuery>,
    version: Version,
    user_agent: Option<HeaderValue>,
    https: bool,
    origin: Option<HeaderValue>,
    wish: Option<Wish>,
    stall: Option<Arc<Stall>>,
    trace: TraceContext,
    caller: Option<Arc<Caller>>,
    /// What the only limit of the route decided; most have one or none.
    limit: Option<(usize, Result<Allowed, Wait>)>,
    told: Vec<(HeaderName, HeaderValue)>,
    status: u16,
    reason: Option<&'static str>,
    server: Option<Arc<str>>,
    upload: Option<Arc<Upload>>,
    /// There is more of the request than its head, which concerns nobody unless it is uploaded.
    unread: bool,
    slots: Vec<Slot>,
    reservations: Vec<Reservation>,
    open_stream: Option<Held>,
    conversation: Option<Conversation>,
    /// `None` once closed.
    busy: Option<Busy>,
}

impl Facts {
    /// Where it is counted.
    fn series(&self) -> &RouteSeries {
        match self.route {
            Some(route) => &self.gateway.series[route],
            None => &self.gateway.unrouted,
        }
    }

    fn user(&self) -> Option<&str> {
        self.caller.as_ref()?.user.as_deref()
    }

    fn tenant(&self) -> Option<&str> {
        self.caller.as_ref()?.tenant.as_deref()
    }

    /// Without the query, which may carry secrets.
    fn path(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::path)
    }
}

impl Ledger {
    /// With the request's head in hand.
    pub(crate) fn open(
        gateway: &Arc<Gateway>,
        client: &Arc<Client>,
        sender: &Sender,
        head: &Parts,
        has_body: bool,
    ) -> Self {
        client.downstream.begun();
        let facts = Facts {
            gateway: Arc::clone(gateway),
            route: None,
            started: Instant::now(),
            connection: Arc::clone(client),
            client: sender.address,
            method: head.method.clone(),
            target: head.uri.path_and_query().cloned(),
            version: head.version,
            user_agent: head.headers.get(header::USER_AGENT).cloned(),
            https: sender.https,
            origin: None,
            wish: None,
            stall: head.extensions.get().cloned(),
            trace: TraceContext::from_headers(&head.headers),
            caller: None,
            limit: None,
            told: Vec::new(),
            status: CLIENT_CLOSED_REQUEST,
            reason: None,
            server: None,
            upload: None,
            unread: has_body,
            slots: Vec::new(),
            reservations: Vec::new(),
            open_stream: None,
            conversation: None,
            busy: Some(client.patience.busy()),
        };
        Self {
            facts: Box::new(facts),
        }
    }

    /// The route is known: from here on it is counted there. Whose page asks matters where the route answers other sites.
    pub(crate) fn routed(&mut self, gateway: &Gateway, route: usize, headers: &HeaderMap) {
        self.facts.route = Some(route);
        if gateway.plan.routes[route].cors.is_some() {
            self.facts.origin = weir_auth::cors::origin(headers).cloned();
        }
    }

    /// How the client would have the answer compressed, where its route compresses.
    pub(crate) fn wishes(&mut self, wish: Option<Wish>) {
        self.facts.wish = wish;
    }

    /// The caller is known.
    pub(crate) fn identified(&mut self, caller: &Arc<Caller>) {
        self.facts.caller = Some(Arc::clone(caller));
    }

    /// What a limit tells the client, whatever the answer will be.
    pub(crate) fn tells(&mut self, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) {
        self.facts.told.extend(headers);
    }

    /// The same of the only limit that was asked, by its number: put into words where they go out.
    pub(crate) fn tells_of(&mut self, limit: usize, answer: &Result<Allowed, Wait>) {
        self.facts.limit = Some((limit, *answer));
    }

    /// Held until the exchange is over.
    pub(crate) fn holds(&mut self, slot: Slot) {
        self.facts.slots.push(slot);
    }

    /// Debited while the answer streams, and settled at its end.
    pub(crate) fn reserves(&mut self, reservation: Reservation) {
        self.facts.reservations.push(reservation);
    }

    /// Whether what the answer used is charged to somebody: then it must be readable.
    pub(crate) fn is_metered(&self) -> bool {
        !self.facts.reservations.is_empty()
    }

    /// Counts the request's body while it passes.
    pub(crate) fn uploads(&mut self, upload: &Arc<Upload>) {
        self.facts.upload = Some(Arc::clone(upload));
    }

    /// The rest of a refused head may follow, and whatever the client thinks comes after it.
    pub(crate) fn leaves_unread(&mut self) {
        self.facts.unread = true;
    }

    /// Which server answers.
    pub(crate) fn answered_by(&mut self, server: &Arc<str>) {
        self.facts.server = Some(Arc::clone(server));
    }

    /// weir's own span, for the upstream to continue.
    pub(crate) fn traceparent(&self) -> [u8; 55] {
        self.facts.trace.traceparent()
    }

    /// weir answers by itself.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        if let Refusal::Send(error) = refusal {
            tracing::debug!(
                error = error as &dyn std::error::Error,
                path = self.facts.path(),
                "no answer from the upstream"
            );
        }
        self.facts.reason = Some(refusal.reason());
        if refusal.is_of_caller() {
            self.audit(refusal);
        }
        self.facts.series().refused(refusal.reason());
    }

    fn audit(&self, refusal: &Refusal) {
        let facts = &*self.facts;
        let Some(audit) = &facts.gateway.audit else {
            return;
        };
        audit.write(&Event {
            timestamp: SystemTime::now(),
            event: "refused",
            detail: None,
            refused: Some(Refused {
                trace: &facts.trace,
                tenant: facts.tenant(),
                user: facts.user(),
                client: facts.client,
                method: access::word(&facts.method),
                path: facts.path(),
                route: facts.series().name(),
                status: refusal.status().as_u16(),
                reason: refusal.reason(),
            }),
        });
    }

    /// The request claimed a caller in a header of weir's own.
    pub(crate) fn forged(&self) {
        self.facts.series().forged();
    }

    /// What finds this exchange in every log: the trace's id.
    pub(crate) fn request_id(&self) -> String {
        String::from_utf8_lossy(self.facts.trace.trace_id()).into_owned()
    }

    /// The answer's head is about to go out: what is told on every answer of the listener and the route is added to it. Says how the body
    /// is to be compressed; `length`: what is known of its own.
    pub(crate) fn answered(
        &mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
        stream: bool,
        length: impl FnOnce(&HeaderMap) -> Option<u64>,
    ) -> Option<Coding> {
        let facts = &mut *self.facts;
        facts.status = status.as_u16();
        // Set, not added (as `extend` would): an upstream's own copy must not double what the operator asked for.
        // The listener's are for every answer; the route's come on top.
        let listener = facts.connection.listener(&facts.gateway);
        for (name, value) in listener.map_or(&[][..], |listener| &listener.headers) {
            headers.insert(name, value.clone());
        }
        if let Some(route) = facts.route.map(|route| &facts.gateway.plan.routes[route]) {
            for (name, value) in &route.headers {
                headers.insert(name, value.clone());
            }
            if let Some(cors) = &route.cors {
                cors.answer(facts.origin.as_ref(), headers);
            }
        }
        if let Some((limit, answer)) = facts.limit.take()
            && let Some(told) = &facts.gateway.limits[limit].headers
        {
            for (name, value) in told.after(&answer) {
                headers.append(name, value);
            }
        }
        for (name, value) in facts.told.drain(..) {
            headers.append(name, value);
        }
        let hsts = header::STRICT_TRANSPORT_SECURITY;
        if !facts.https && headers.keys().any(|name| *name == hsts) {
            // RFC 6797 section 7.2: in clear, anybody could have written it.
            headers.remove(hsts);
        }
        if stream {
            facts.open_stream = Some(facts.series().stream_opened());
        }
        // Behind weir's own coding nobody could read what the answer used.
        let wish = facts
            .wish
            .take()
            .filter(|_| facts.reservations.is_empty())?;
        let length = length(headers);
        wish.apply(status, headers, stream, length)
    }

    /// Hands the record to the body, which closes it.
    pub(crate) fn into_exchange(self, coding: Option<Coding>) -> Exchange {
        Exchange {
            downstream: Arc::clone(&self.facts.connection.downstream),
            started: self.facts.started,
            version: self.facts.version,
            stall: self.facts.stall.clone(),
            coding,
            observer: self.facts,
        }
    }
}

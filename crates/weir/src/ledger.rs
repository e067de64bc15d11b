//! The record of one exchange: opened with its request, told what happens, closed exactly once, also when it is dropped half-way.
//! Closing counts it and writes its line. It decides nothing.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header};
use tokio::time::Instant;
use weir_auth::Caller;
use weir_limit::Slot;
use weir_llm::Usage;
use weir_meter::{
    Conversation, Held, RouteSeries, Tokens,
    log::{Entry, Event, Level, Refused, StreamFacts},
    trace::TraceContext,
};
use weir_proxy::{
    Exchange, Upload,
    compress::{Coding, Wish},
    downstream::Abuse,
    forwarded::Sender,
    stall::Stall,
    summary::{Observer, Outcome, StreamSummary, Summary},
};

use crate::{
    client::Client, gateway::Gateway, patience::Busy, refusal::Refusal, reservation::Reservation,
    shared::Shared,
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
    series: Arc<RouteSeries>,
    route: Option<usize>,
    started: Instant,
    connection: Arc<Client>,
    client: IpAddr,
    method: Method,
    path: String,
    version: Version,
    user_agent: Option<HeaderValue>,
    https: bool,
    origin: Option<HeaderValue>,
    wish: Option<Wish>,
    stall: Option<Arc<Stall>>,
    trace: TraceContext,
    caller: Option<Arc<Caller>>,
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

impl Ledger {
    /// With the request's head in hand.
    pub(crate) fn open<B: http_body::Body>(
        gateway: &Arc<Gateway>,
        client: &Arc<Client>,
        sender: &Sender,
        request: &Request<B>,
    ) -> Self {
        client.downstream.begun();
        let facts = Facts {
            gateway: Arc::clone(gateway),
            series: Arc::clone(&gateway.unrouted),
            route: None,
            started: Instant::now(),
            connection: Arc::clone(client),
            client: sender.address,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            version: request.version(),
            user_agent: request.headers().get(header::USER_AGENT).cloned(),
            https: sender.https,
            origin: request.headers().get(header::ORIGIN).cloned(),
            wish: None,
            stall: request.extensions().get().cloned(),
            trace: TraceContext::from_headers(request.headers()),
            caller: None,
            told: Vec::new(),
            status: CLIENT_CLOSED_REQUEST,
            reason: None,
            server: None,
            upload: None,
            unread: !request.body().is_end_stream(),
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

    /// The route is known: from here on it is counted there.
    pub(crate) fn routed(&mut self, gateway: &Gateway, route: usize) {
        self.facts.route = Some(route);
        self.facts.series = Arc::clone(&gateway.series[route]);
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

    /// Held until the exchange is over.
    pub(crate) fn holds(&mut self, slot: Slot) {
        self.facts.slots.push(slot);
    }

    /// Debited while the answer streams, and settled at its end.
    pub(crate) fn reserves(&mut self, reservation: Reservation) {
        self.facts.reservations.push(reservation);
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
    pub(crate) fn traceparent(&self) -> HeaderValue {
        self.facts.trace.traceparent()
    }

    /// weir answers by itself.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        if let Refusal::Send(error) = refusal {
            tracing::debug!(
                error = error as &dyn std::error::Error,
                path = self.facts.path,
                "no answer from the upstream"
            );
        }
        self.facts.reason = Some(refusal.reason());
        if refusal.is_of_caller() {
            self.audit(refusal);
        }
        self.facts.series.refused(refusal.reason());
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
                method: facts.method.as_str(),
                path: &facts.path,
                route: facts.series.name(),
                status: refusal.status().as_u16(),
                reason: refusal.reason(),
            }),
        });
    }

    /// The request claimed a caller in a header of weir's own.
    pub(crate) fn forged(&self) {
        self.facts.series.forged();
    }

    /// What finds this exchange in every log: the trace's id.
    pub(crate) fn request_id(&self) -> String {
        self.facts.trace.trace_id_hex()
    }

    /// The answer's head is about to go out: what is told on every answer of the listener and the route is added to it. Says how the body
    /// is to be compressed; `length`: what is known of its own.
    pub(crate) fn answered(
        &mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
        stream: bool,
        length: Option<u64>,
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
        for (name, value) in facts.told.drain(..) {
            headers.append(name, value);
        }
        if !facts.https {
            // RFC 6797 section 7.2: in clear, anybody could have written it.
            headers.remove(header::STRICT_TRANSPORT_SECURITY);
        }
        if stream {
            facts.open_stream = Some(facts.series.stream_opened());
        }
        facts.wish.take()?.apply(status, headers, stream, length)
    }

    /// Hands the record to the body, which closes it.
    pub(crate) fn into_exchange(self) -> Exchange {
        Exchange {
            downstream: Arc::clone(&self.facts.connection.downstream),
            started: self.facts.started,
            version: self.facts.version,
            stall: self.facts.stall.clone(),
            observer: self.facts,
        }
    }
}

impl Observer for Facts {
    fn first_byte(&mut self, after: Duration) {
        if self.open_stream.is_some() {
            self.series.first_byte(after);
        }
    }

    fn first_event(&mut self, after: Duration) {
        self.series.first_event(after);
    }

    fn gap(&mut self, gap: Duration) {
        self.series.gap(gap);
    }

    fn events(&mut self, more: u32) -> bool {
        // Each of them counts, also when another has said to end.
        let mut may_go_on = true;
        for reservation in &mut self.reservations {
            may_go_on &= reservation.events(more);
        }
        may_go_on
    }

    fn wants_usage(&self) -> bool {
        !self.reservations.is_empty()
    }

    fn conversation(&mut self, id: &str) {
        self.conversation = Some(self.gateway.meter.conversation(id));
    }

    fn done(&mut self, summary: Summary) {
        self.close(&summary);
    }
}

impl Facts {
    fn user(&self) -> Option<&str> {
        self.caller.as_ref()?.user.as_deref()
    }

    fn tenant(&self) -> Option<&str> {
        self.caller.as_ref()?.tenant.as_deref()
    }

    fn close(&mut self, summary: &Summary) {
        let Some(mut busy) = self.busy.take() else {
            return;
        };
        let unread = match &self.upload {
            Some(upload) => !upload.done(),
            None => self.unread,
        };
        if unread {
            busy.leaves_unread();
        }
        let outcome = summary.outcome.as_str();
        let duration = self.started.elapsed();
        self.series
            .finished(&self.method, self.status, duration, outcome);
        self.settle(summary);
        if let Some(stream) = &summary.stream {
            self.count_stream(stream, summary.bytes, outcome);
        }
        if let Some(used) = &summary.used {
            self.count_used(used, outcome);
        }
        if self
            .route
            .is_none_or(|route| self.gateway.plan.routes[route].log)
        {
            self.write(summary, duration);
        }
    }

    fn settle(&mut self, summary: &Summary) {
        let streamed = summary.stream.iter().flat_map(|stream| &stream.usage);
        let used = streamed
            .chain(&summary.used)
            .map(|used| used.input.saturating_add(used.output))
            .reduce(u64::saturating_add);
        let answered = self.server.is_some() && (200..300).contains(&self.status);
        for reservation in &mut self.reservations {
            reservation.settle(used, answered);
        }
    }

    fn count_stream(&self, stream: &StreamSummary, bytes: u64, outcome: &'static str) {
        self.series.events(stream.events);
        self.series.bytes(bytes);
        self.series.stream_ended(outcome);
        if stream.dialect.is_none() {
            return;
        }
        let outcome = if stream.run_failed {
            "run_failed"
        } else {
            outcome
        };
        // A run may have asked several models, or told nothing of any: it is counted in both cases.
        if stream.usage.is_empty() {
            self.series.llm(None, None, outcome, None);
        }
        for used in &stream.usage {
            self.count_used(used, outcome);
        }
    }

    fn count_used(&self, used: &Usage, outcome: &'static str) {
        let tokens = Tokens {
            input: used.input,
            output: used.output,
            cached_input: used.cached_input,
            reasoning: used.reasoning,
        };
        let (provider, model) = (used.provider.as_deref(), used.model.as_deref());
        self.series.llm(provider, model, outcome, Some(&tokens));
    }

    fn write(&self, summary: &Summary, duration: Duration) {
        let stream = summary.stream.as_ref().map(|stream| StreamFacts {
            first_byte: summary.first_byte,
            first_event: stream.first_event,
            events: stream.events,
            max_gap: stream.max_gap,
            dialect: stream.dialect.and_then(weir_llm::Dialect::name),
            model: stream.usage.iter().find_map(|used| used.model.as_deref()),
            input_tokens: (!stream.usage.is_empty())
                .then(|| stream.usage.iter().map(|used| used.input).sum()),
            output_tokens: (!stream.usage.is_empty())
                .then(|| stream.usage.iter().map(|used| used.output).sum()),
            conversation: stream.conversation.as_deref(),
        });
        self.gateway.log.write(&Entry {
            timestamp: SystemTime::now(),
            level: level(summary.outcome, self.status),
            trace: &self.trace,
            tenant: self.tenant(),
            user: self.user(),
            message: "exchange",
            method: self.method.as_str(),
            path: &self.path,
            status: self.status,
            version: protocol(self.version),
            duration,
            route: self.series.name(),
            upstream: self.server.as_deref(),
            client: self.client,
            outcome: summary.outcome.as_str(),
            reason: self.reason,
            bytes_in: self.upload.as_ref().map(|upload| upload.bytes()),
            bytes_out: summary.bytes,
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
            stream,
        });
    }
}

impl Drop for Facts {
    /// Only the pipeline can drop it unclosed: the client left before there was an answer, or weir had to stop.
    fn drop(&mut self) {
        let outcome = if self.connection.downstream.is_cut() {
            Outcome::Shutdown
        } else {
            if self.busy.is_some() {
                self.connection.downstream.abandoned();
            }
            Outcome::ClientGone
        };
        self.close(&Summary {
            outcome,
            bytes: 0,
            first_byte: None,
            stream: None,
            used: None,
        });
    }
}

fn level(outcome: Outcome, status: u16) -> Level {
    match outcome {
        Outcome::Complete | Outcome::ClientGone if status < 500 => Level::Info,
        Outcome::Complete | Outcome::ClientGone if status == 500 => Level::Error,
        _ => Level::Warn,
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// A connection that hyper gave up, perhaps with an answer of its own: such a request never reached the pipeline, and counts all the same.
pub(crate) fn broken(shared: &Shared, peer: SocketAddr, error: &hyper::Error) {
    let status = match error {
        error if error.is_parse_too_large() => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        error if error.is_parse() => StatusCode::BAD_REQUEST,
        _ => {
            if let Some(reason) = http2_mistake(error) {
                shared.meter.connection_error(reason);
            }
            // The exchange, if there was one, has told its end itself.
            return tracing::debug!(%peer, error = error as &dyn std::error::Error, "connection broke");
        }
    };
    unparsed(
        shared,
        peer,
        status,
        if status == StatusCode::BAD_REQUEST {
            "malformed"
        } else {
            "head_too_large"
        },
    );
}

/// What the client did for which the library ended its HTTP/2 connection; `None`: it did not.
fn http2_mistake(error: &hyper::Error) -> Option<&'static str> {
    let error = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    if !error.is_library() {
        return None;
    }
    Some(match error.reason()? {
        h2::Reason::ENHANCE_YOUR_CALM => "http2_abuse",
        _ => "http2_malformed",
    })
}

/// A client that abuses its connection; each of its requests has told its end itself.
pub(crate) fn abused(shared: &Shared, peer: SocketAddr, how: Abuse) {
    let (reason, what) = match how {
        Abuse::RapidResets => ("rapid_reset", "takes back what it asks for"),
        Abuse::Flood => ("frame_flood", "sends frames that ask for nothing"),
    };
    shared.meter.connection_error(reason);
    tracing::warn!(%peer, "connection closed: the client {what}");
}

fn unparsed(shared: &Shared, peer: SocketAddr, status: StatusCode, reason: &'static str) {
    let gateway = shared.gateway.load();
    let method = Method::from_bytes(b"-").expect("a token");
    shared.meter.connection_error(reason);
    gateway.unrouted.refused(reason);
    gateway.unrouted.finished(
        &method,
        status.as_u16(),
        Duration::ZERO,
        Outcome::Complete.as_str(),
    );
    gateway.log.write(&Entry {
        timestamp: SystemTime::now(),
        level: Level::Info,
        trace: &TraceContext::from_headers(&HeaderMap::new()),
        tenant: None,
        user: None,
        message: "exchange",
        method: method.as_str(),
        path: "-",
        status: status.as_u16(),
        version: "-",
        duration: Duration::ZERO,
        route: gateway.unrouted.name(),
        upstream: None,
        client: peer.ip().to_canonical(),
        outcome: Outcome::Complete.as_str(),
        reason: Some(reason),
        bytes_in: None,
        bytes_out: 0,
        user_agent: None,
        stream: None,
    });
}

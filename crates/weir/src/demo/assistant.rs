//! The demo's assistant: AG-UI over SSE, word by word, on the paths of an agents server (`/api`) and of a CopilotKit runtime
//! (`/info`, `/agent/default/run`). It asks for no session: weir stands in front and says in headers who is asking.
//! What is said comes from `script`; here is only when, and what becomes of a run whose client leaves.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    script::{Ask, Script, Step},
    serve::{self, Answer},
};

/// The most bytes of a run's input: the demo's own conversations are far below.
const INPUT: usize = 1 << 20;

/// Answers on a free loopback port for as long as the runtime lives.
pub(super) async fn start() -> io::Result<SocketAddr> {
    let runs = Arc::new(Runs::default());
    serve::start(move |request| answer(Arc::clone(&runs), request)).await
}

async fn answer(runs: Arc<Runs>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path();
    match (request.method(), path) {
        (&Method::POST, "/api" | "/agent/default/run") => run(runs, request).await,
        // With nothing to replay, CopilotKit's own runtime answers a stream of no bytes at all.
        (&Method::POST, "/agent/default/connect") => event_stream(stream::empty()),
        (&Method::GET, "/info") => json_answer(
            StatusCode::OK,
            &json!({ "version": "demo", "agents": { "default": { "name": "default", "description": "says what weir is" } } }),
        ),
        (&Method::GET, "/health") => json_answer(StatusCode::OK, &runs.report()),
        (&Method::GET, "/ping") => json_answer(StatusCode::OK, &json!({ "pong": true })),
        (&Method::GET, "/whoami") => json_answer(StatusCode::OK, &told(request.headers())),
        (
            _,
            "/api"
            | "/agent/default/run"
            | "/agent/default/connect"
            | "/info"
            | "/health"
            | "/ping"
            | "/whoami",
        ) => problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "another method is needed here",
        ),
        _ => problem(
            StatusCode::NOT_FOUND,
            "the assistant has nothing of this name",
        ),
    }
}

/// The run asked for, as a stream. Its body is polled by the connection, so a client that leaves drops it where it stands.
async fn run(runs: Arc<Runs>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let json = head.headers.get(header::CONTENT_TYPE);
    if !json.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) {
        return problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a run is asked for in application/json",
        );
    }
    let Ok(body) = Limited::new(body, INPUT).collect().await else {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "a run's input is at most 1 MiB",
        );
    };
    let ask = match Ask::read(&body.to_bytes(), head.uri.query().unwrap_or_default()) {
        Ok(ask) => ask,
        Err(wrong) => return problem(StatusCode::UNPROCESSABLE_ENTITY, wrong),
    };
    let telling = Telling {
        due: Instant::now() + ask.pace,
        pace: ask.pace,
        run: Run::open(runs, &ask),
        script: Script::new(ask),
        broken: false,
    };
    event_stream(stream::unfold(telling, Telling::step))
}

/// A run on its way to its client.
struct Telling {
    script: Script,
    pace: Duration,
    /// When the next word may go out.
    due: Instant,
    run: Run,
    broken: bool,
}

impl Telling {
    /// The next event when its time has come. Words keep to the clock and not to the one before, so that one late word does
    /// not delay all after it; but a client that reads slowly is waited for, and gets no burst afterwards.
    async fn step(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.broken {
            return None;
        }
        let paced = self.script.paced();
        if paced {
            sleep_until(self.due).await;
            self.due = (self.due + self.pace).max(Instant::now());
        }
        match self.script.next(now_ms()) {
            Some(Step::Say(event)) => {
                self.run.words += u64::from(paced);
                Some((Ok(event), self))
            }
            Some(Step::Die) => {
                self.broken = true;
                self.run.end = End::Broken;
                Some((
                    Err(io::Error::other("the demo was asked to break here")),
                    self,
                ))
            }
            None => {
                self.run.end = End::Finished;
                None
            }
        }
    }
}

/// How the runs so far went, for `/health` to tell.
#[derive(Default)]
struct Runs {
    open: AtomicU64,
    finished: AtomicU64,
    broken: AtomicU64,
    cancelled: AtomicU64,
    /// Of the run that was cancelled last: its id and how many words it had said.
    last_cancelled: Mutex<Option<(String, u64)>>,
}

impl Runs {
    fn report(&self) -> Value {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let last = self
            .last_cancelled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        json!({
            "status": "ok",
            "runs": {
                "open": count(&self.open), "finished": count(&self.finished),
                "broken": count(&self.broken), "cancelled": count(&self.cancelled),
            },
            "last_cancelled": last.as_ref().map(|(run, words)| json!({ "run": run, "words": words })),
        })
    }
}

#[derive(Clone, Copy)]
enum End {
    Finished,
    Broken,
    Cancelled,
}

/// One run in the counts. Cancelled unless it is said otherwise before it is dropped: nobody tells a stream that its client left.
struct Run {
    runs: Arc<Runs>,
    id: String,
    words: u64,
    end: End,
}

impl Run {
    fn open(runs: Arc<Runs>, ask: &Ask) -> Self {
        runs.open.fetch_add(1, Ordering::Relaxed);
        Self {
            runs,
            id: ask.run().to_owned(),
            words: 0,
            end: End::Cancelled,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.runs.open.fetch_sub(1, Ordering::Relaxed);
        let ended = match self.end {
            End::Finished => &self.runs.finished,
            End::Broken => &self.runs.broken,
            End::Cancelled => {
                let mut last = self
                    .runs
                    .last_cancelled
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *last = Some((std::mem::take(&mut self.id), self.words));
                &self.runs.cancelled
            }
        };
        ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// What weir told the assistant of its caller; `null` where it told nothing.
fn told(headers: &HeaderMap) -> Value {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    json!({
        "user": header("x-weir-user"),
        "tenant": header("x-weir-tenant"),
        "roles": header("x-weir-roles"),
        "traceparent": header("traceparent"),
        "forwarded_for": header("x-forwarded-for"),
    })
}

fn event_stream(events: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Answer {
    let body = StreamBody::new(events.map_ok(Frame::data));
    let mut response = Response::new(UnsyncBoxBody::new(body));
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    serve::whole(
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
}

fn problem(status: StatusCode, wrong: &str) -> Answer {
    json_answer(status, &json!({ "error": wrong }))
}

/// Unix time in milliseconds; 0 on a clock before 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::{sleep, timeout},
    };

    use super::*;

    /// Sends one request and hands back the connection.
    async fn send(at: SocketAddr, line: &str, body: &str) -> TcpStream {
        let mut socket = TcpStream::connect(at).await.expect("it listens");
        let request = format!(
            "{line} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nContent-Type: application/json\r\nX-Weir-User: Ada\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        socket
    }

    /// Everything up to the end of the connection.
    async fn exchange(at: SocketAddr, line: &str, body: &str) -> String {
        let mut text = Vec::new();
        let mut socket = send(at, line, body).await;
        timeout(Duration::from_secs(20), socket.read_to_end(&mut text))
            .await
            .expect("in time")
            .expect("readable");
        String::from_utf8(text).expect("text")
    }

    /// Reads on until `wanted` has been seen.
    async fn until(socket: &mut TcpStream, wanted: &str) -> String {
        let mut seen = String::new();
        let mut piece = [0; 4096];
        while !seen.contains(wanted) {
            let read = timeout(Duration::from_secs(20), socket.read(&mut piece));
            let count = read.await.expect("in time").expect("readable");
            assert!(count > 0, "ended before {wanted}: {seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        seen
    }

    const ASK: &str =
        r#"{"threadId":"t","runId":"r7","messages":[{"role":"user","content":"what is a weir?"}]}"#;

    #[tokio::test]
    async fn a_run_is_an_event_stream_with_a_clean_end() {
        let at = start().await.expect("a free port");
        for path in ["/api?delay_ms=0", "/agent/default/run?delay_ms=0"] {
            let answer = exchange(at, &format!("POST {path}"), ASK).await;
            assert!(answer.contains("text/event-stream"), "{answer}");
            assert!(answer.contains("RUN_FINISHED"), "{answer}");
            assert!(answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_word_arrives_before_the_next_is_due() {
        let at = start().await.expect("a free port");
        let mut socket = send(at, "POST /api?delay_ms=400", ASK).await;
        let seen = until(&mut socket, "TEXT_MESSAGE_CONTENT").await;
        assert_eq!(seen.matches("TEXT_MESSAGE_CONTENT").count(), 1, "{seen}");
    }

    #[tokio::test]
    async fn a_run_told_to_die_has_no_clean_end() {
        let at = start().await.expect("a free port");
        let answer = exchange(at, "POST /api?delay_ms=1&die_after=2", ASK).await;
        assert_eq!(
            answer.matches("TEXT_MESSAGE_CONTENT").count(),
            2,
            "{answer}"
        );
        assert!(!answer.contains("\r\n0\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_leaves_cancels_its_run() {
        let at = start().await.expect("a free port");
        let mut socket = send(at, "POST /api?delay_ms=5000", ASK).await;
        until(&mut socket, "TEXT_MESSAGE_START").await;
        drop(socket);
        let gone = async {
            while !exchange(at, "GET /health", "")
                .await
                .contains(r#""cancelled":1"#)
            {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(4), gone)
            .await
            .expect("long before the word is due");
        let health = exchange(at, "GET /health", "").await;
        assert!(health.contains(r#""run":"r7""#), "{health}");
        assert!(health.contains(r#""open":0"#), "{health}");
    }

    #[tokio::test]
    async fn whoami_says_what_the_gateway_said() {
        let at = start().await.expect("a free port");
        let answer = exchange(at, "GET /whoami", "").await;
        assert!(answer.contains(r#""user":"Ada""#), "{answer}");
        assert!(answer.contains(r#""tenant":null"#), "{answer}");
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_with_its_status() {
        let at = start().await.expect("a free port");
        for (line, body, status) in [
            ("POST /api", "{", "422"),
            ("GET /api", "", "405"),
            ("GET /threads", "", "404"),
        ] {
            let answer = exchange(at, line, body).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
    }
}

//! hyper's server as a second opinion: whatever weir takes for requests, hyper takes for the same ones. And of what a client sends the same
//! comes through, in whatever pieces it is read.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use weir_h1::server::{Connection, Incoming, Service};
use weir_wire::Fault;

use crate::script::Script;

/// What a service was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    /// `None`: it broke.
    pub(crate) body: Option<Vec<u8>>,
}

/// What both services write down.
pub(crate) type Record = Arc<Mutex<Vec<Asked>>>;

/// Reads a request to its end and answers `ok`.
pub(crate) async fn answer<B: Body>(request: Request<B>, record: Record) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let headers = headers.collect();
    let body = body.collect().await.ok();
    let asked = Asked {
        line: format!("{} {} {:?}", head.method, head.uri, head.version),
        headers,
        body: body.map(|body| body.to_bytes().to_vec()),
    };
    record.lock().unwrap().push(asked);
    Response::new(Full::from("ok"))
}

/// Answers what is no request too, and writes down why.
pub(crate) struct Answers {
    pub(crate) asked: Record,
    pub(crate) refused: Arc<Mutex<Option<Fault>>>,
}

impl Service for Answers {
    type Body = Full<Bytes>;
    type Answer = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

    fn call(&self, request: Request<Incoming>, refused: Option<Fault>) -> Self::Answer {
        if let Some(fault) = refused {
            *self.refused.lock().unwrap() = Some(fault);
            let refusal = Response::builder().status(fault.status());
            return Box::pin(std::future::ready(refusal.body(Full::default()).unwrap()));
        }
        Box::pin(answer(request, Arc::clone(&self.asked)))
    }

    fn head_began(&self) {}
}

/// Polls to the end; gives up on what makes no progress.
pub(crate) fn run<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
    }
    None
}

/// What weir makes of these bytes, and why it takes no more of them.
fn weir(bytes: &[u8], size: usize) -> (Vec<Asked>, Option<&'static str>) {
    let (asked, refused) = (Record::default(), Arc::default());
    let service = Answers {
        asked: Arc::clone(&asked),
        refused: Arc::clone(&refused),
    };
    let connection = Connection::new(Script::of(bytes, size), Bytes::new(), service, true);
    run(connection).expect("it ends with its client").ok();
    let refused = refused.lock().unwrap().is_some().then_some("refused");
    let asked = asked.lock().unwrap().clone();
    (asked, refused)
}

fn hyper(bytes: &[u8]) -> Vec<Asked> {
    let asked = Record::default();
    let record = Arc::clone(&asked);
    let service = service_fn(move |request| {
        let answer = answer(request, Arc::clone(&record));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let io = TokioIo::new(Script::of(bytes, bytes.len()));
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(io, service);
    drop(run(connection));
    let asked = asked.lock().unwrap();
    asked.clone()
}

/// Pieces of messages in any order.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "HEAD http://a.test/x HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "Host: a.test\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Upgrade: x\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\n",
        "A: b\r\n",
        "A:\t b c \t\r\n",
        " ",
        ":",
        "5;a=b\r\n",
        "\0",
        "#",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Whole requests, one behind the other, so that most of what is compared is taken.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop::sample::select(vec![
        "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "\r\nGET /b HTTP/1.1\r\nHost: a.test\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
        "POST /d HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nyou\r\n0\r\n\r\n",
        "PUT /e HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /f HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        "GET /g HTTP/1.0\r\n\r\n",
    ]);
    prop::collection::vec(whole, 0..6).prop_map(|whole| whole.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn weir_and_hyper_take_the_same_requests(bytes in prop_oneof![nearly(), requests()]) {
        let (ours, refused) = weir(&bytes, bytes.len());
        let theirs = hyper(&bytes);
        // weir refuses more, and then hears nothing of what follows.
        let same = if refused.is_some() || ours.iter().any(|asked| asked.body.is_none()) {
            let whole = ours.iter().take_while(|asked| asked.body.is_some()).count();
            theirs.get(..whole) == Some(&ours[..whole])
        } else {
            theirs == ours
        };
        prop_assert!(same, "weir {ours:#?} {refused:?}\nhyper {theirs:#?}");
    }

    #[test]
    fn requests_come_through_in_any_pieces(
        bytes in prop_oneof![nearly(), requests()],
        size in 1usize..60,
    ) {
        prop_assert_eq!(weir(&bytes, bytes.len()), weir(&bytes, size));
    }

    #[test]
    fn no_bytes_are_too_much(bytes: Vec<u8>, size in 1usize..9) {
        weir(&bytes, size);
    }
}

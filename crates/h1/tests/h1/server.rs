//! The server's side: how answers are framed, what becomes of a connection behind them, and of a request that is not read.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use tokio::io::AsyncReadExt;
use weir_h1::server::{Broken, Connection, Incoming, Service, Switch};
use weir_wire::Fault;

use crate::{
    script::{Script, Tee},
    server_oracle::run,
};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;
type Answer = Box<dyn Fn(Request<Incoming>) -> Response<Body> + Send>;

/// Answers by a function; keeps the requests' bodies if asked to.
struct By(Answer);

impl Service for By {
    type Body = Body;
    type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

    fn call(&self, request: Request<Incoming>, refused: Option<Fault>) -> Self::Answer {
        let mut response = (self.0)(request);
        if let Some(fault) = refused {
            *response.status_mut() = StatusCode::from_u16(fault.status()).unwrap();
        }
        Box::pin(std::future::ready(response))
    }

    fn head_began(&self) {}
}

/// A body of these frames, of no known size.
fn frames(frames: Vec<Result<Frame<Bytes>, std::io::Error>>) -> Body {
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

fn full(text: &'static str) -> Body {
    http_body_util::Full::from(text)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What a client reads that sends these bytes, without the date.
fn heard(
    sent: &str,
    answer: impl Fn(Request<Incoming>) -> Response<Body> + Send + 'static,
) -> String {
    let written = Arc::new(Mutex::new(Vec::new()));
    let io = Tee(
        Script::of(sent.as_bytes(), sent.len()),
        Arc::clone(&written),
    );
    let connection = Connection::new(io, Bytes::new(), By(Box::new(answer)), true);
    run(connection).expect("it ends with its client").ok();
    let written = String::from_utf8(written.lock().unwrap().clone()).expect("text");
    let lines = written.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn an_answer_is_framed_by_what_is_known_of_it() {
    let sized = heard(GET, |_| Response::new(full("hi")));
    assert_eq!(sized, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let none = heard(GET, |_| Response::new(full("")));
    assert_eq!(none, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let pieces = || vec![Ok(Frame::data("ab".into())), Ok(Frame::data("c".into()))];
    let unsized_body = heard(GET, move |_| Response::new(frames(pieces())));
    assert_eq!(
        unsized_body,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    );
    let old = heard("GET / HTTP/1.0\r\n\r\n", move |_| {
        Response::new(frames(pieces()))
    });
    assert_eq!(old, "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nabc");
}

#[test]
fn what_has_no_body_by_its_status_or_method_has_none() {
    let with = |status: u16| {
        move |_| {
            let response = Response::builder()
                .status(status)
                .header("content-length", "2");
            response.body(full("hi")).unwrap()
        }
    };
    let head = GET.replace("GET", "HEAD");
    assert_eq!(
        heard(&head, with(200)),
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    );
    assert_eq!(
        heard(GET, with(304)),
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n"
    );
    assert_eq!(heard(GET, with(204)), "HTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn an_answer_cannot_frame_itself() {
    let lies = heard(GET, |_| {
        let response = Response::builder()
            .header("transfer-encoding", "gzip, chunked")
            .header("connection", "keep-alive, x")
            .header("trailer", "x");
        response.body(full("hi")).unwrap()
    });
    assert_eq!(lies, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    // Longer, and shorter, than it says: both break, and neither runs into the next answer.
    for (length, sent) in [("1", ""), ("3", "hi")] {
        let two = [GET, GET].concat();
        let heard = heard(&two, move |_| {
            let response = Response::builder().header("content-length", length);
            response
                .body(frames(vec![Ok(Frame::data("hi".into()))]))
                .unwrap()
        });
        let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{sent}");
        assert!(whole.starts_with(&heard), "{heard}");
    }
}

#[test]
fn trailers_are_sent_to_whoever_wants_them_if_they_were_announced() {
    let answer = |_| {
        let trailers = ["x-sum", "x-other"].map(|name| (name, HeaderValue::from_static("1")));
        let trailers: HeaderMap = trailers
            .into_iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value))
            .collect();
        let body = frames(vec![
            Ok(Frame::data("a".into())),
            Ok(Frame::trailers(trailers)),
        ]);
        Response::builder()
            .header("trailer", "X-Sum")
            .body(body)
            .unwrap()
    };
    let wanted = heard("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n", answer);
    assert!(
        wanted.ends_with("1\r\na\r\n0\r\nx-sum: 1\r\n\r\n"),
        "{wanted}"
    );
    let unwanted = heard(GET, answer);
    assert!(unwanted.ends_with("1\r\na\r\n0\r\n\r\n"), "{unwanted}");
}

#[test]
fn a_connection_lives_on_unless_somebody_says_otherwise() {
    let count = |sent: &str, response: fn() -> Response<Body>| {
        heard(sent, move |_| response()).matches("HTTP/1.").count()
    };
    let plain = || Response::new(full("hi"));
    assert_eq!(count(&[GET, "\r\n", GET, GET].concat(), plain), 3);
    let closes = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n";
    assert_eq!(count(&[closes, GET].concat(), plain), 1);
    assert_eq!(
        count(
            &["GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", GET].concat(),
            plain
        ),
        2
    );
    let says_close = || {
        let response = Response::builder().header(header::CONNECTION, "close");
        response.body(full("hi")).unwrap()
    };
    assert_eq!(count(&[GET, GET].concat(), says_close), 1);
}

#[test]
fn a_refused_head_is_answered_in_its_turn_and_nothing_behind_it() {
    let heard = heard(
        &[GET, "GET / HTTP/1.1\r\nA : b\r\n\r\n", GET].concat(),
        |request| {
            Response::builder()
                .header("x-method", request.method().as_str())
                .body(full(""))
                .unwrap()
        },
    );
    assert_eq!(
        heard,
        "HTTP/1.1 200 OK\r\nx-method: GET\r\ncontent-length: 0\r\n\r\n\
         HTTP/1.1 400 Bad Request\r\nx-method: GET\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
}

#[test]
fn a_body_that_nobody_reads_is_passed_over_if_it_is_here() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let two = [post, "hello", GET].concat();
    assert_eq!(
        heard(&two, |_| Response::new(full("")))
            .matches("200 OK")
            .count(),
        2
    );
    // It never comes: no request of what the client says next.
    assert_eq!(
        heard(post, |_| Response::new(full("")))
            .matches("200 OK")
            .count(),
        1
    );
}

#[test]
fn an_answer_before_the_whole_request_says_that_it_is_the_last() {
    let body = [
        "Content-Length: 5\r\n",
        "Content-Length: 5\r\nExpect: 100-continue\r\n",
    ];
    for lines in body {
        let post = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let heard = heard(&post, |_| Response::new(full("")));
        assert!(heard.ends_with("connection: close\r\n\r\n"), "{heard}");
    }
    // A client that waited to be asked, and was not: what comes may be the body or the next request.
    let both = format!("POST / HTTP/1.1\r\nHost: a\r\n{}\r\n{GET}", body[1]);
    let heard = heard(&both, |_| Response::new(full("")));
    assert_eq!(heard.matches("200 OK").count(), 1, "{heard}");
}

#[test]
fn whoever_waits_for_a_body_hears_that_it_is_over() {
    struct Woken(AtomicUsize);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let (woken, kept) = (
        Arc::new(Woken(AtomicUsize::new(0))),
        Arc::new(Mutex::new(None)),
    );
    let (waker, keep) = (Waker::from(Arc::clone(&woken)), Arc::clone(&kept));
    let answer: Answer = Box::new(move |request| {
        let mut body = request.into_body();
        let polled = Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        *keep.lock().unwrap() = Some(body);
        Response::new(full(""))
    });
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let mut io = Script::of(post.as_bytes(), post.len());
    io.stays = true;
    run(Connection::new(io, Bytes::new(), By(answer), true))
        .expect("it ends")
        .expect("it closes");
    assert_eq!(woken.0.load(Relaxed), 1);
}

#[test]
fn half_an_empty_line_is_no_beginning() {
    struct Began(Arc<AtomicUsize>);
    impl Service for Began {
        type Body = Body;
        type Answer = std::future::Ready<Response<Body>>;
        fn call(&self, _: Request<Incoming>, _: Option<Fault>) -> Self::Answer {
            std::future::ready(Response::new(full("")))
        }
        fn head_began(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    for (sent, began) in [("\r", false), ("\r\n\r", false), ("\r\nG", true)] {
        let count = Arc::new(AtomicUsize::new(0));
        let mut io = Script::of(sent.as_bytes(), 1);
        io.stays = true;
        let mut connection = Connection::new(io, Bytes::new(), Began(Arc::clone(&count)), true);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..20 {
            assert!(Pin::new(&mut connection).poll(&mut cx).is_pending());
        }
        assert_eq!(count.load(Relaxed) > 0, began, "{sent:?}");
    }
}

#[test]
fn the_client_is_asked_for_a_body_it_waits_with() {
    let expects = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let polls = |request: Request<Incoming>| {
        let mut body = request.into_body();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
        Response::new(full(""))
    };
    assert!(heard(expects, polls).starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    assert!(heard(expects, |_| Response::new(full(""))).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_body_kept_beyond_its_exchange_is_broken_and_reads_nothing_of_the_next() {
    let kept = Arc::new(Mutex::new(Vec::<Incoming>::new()));
    let keep = Arc::clone(&kept);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let answers = heard(&[post, post].concat(), move |request| {
        let mut cx = Context::from_waker(Waker::noop());
        let mut kept = keep.lock().unwrap();
        for body in &mut *kept {
            let polled = Pin::new(body).poll_frame(&mut cx);
            assert!(
                matches!(polled, Poll::Ready(Some(Err(Broken::Over)))),
                "{polled:?}"
            );
        }
        kept.push(request.into_body());
        Response::new(full(""))
    });
    assert_eq!(answers.matches("200 OK").count(), 2);
    let mut cx = Context::from_waker(Waker::noop());
    for body in &mut *kept.lock().unwrap() {
        let polled = Pin::new(body).poll_frame(&mut cx);
        assert!(
            matches!(polled, Poll::Ready(Some(Err(Broken::Over)))),
            "{polled:?}"
        );
    }
}

#[test]
fn a_head_that_comes_too_late_is_refused_and_silence_is_not() {
    for (sent, status) in [("GET / HT", "HTTP/1.1 408 Request Timeout\r\n"), ("", "")] {
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut io = Script::of(sent.as_bytes(), sent.len());
        io.stays = true;
        let answer: Answer = Box::new(|_| Response::new(full("")));
        let io = Tee(io, Arc::clone(&written));
        let mut connection = Connection::new(io, Bytes::new(), By(answer), true);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..9 {
            assert!(Pin::new(&mut connection).poll(&mut cx).is_pending());
        }
        connection.too_late();
        let ended = Pin::new(&mut connection).poll(&mut cx).is_ready();
        assert_eq!(ended, !sent.is_empty());
        assert!(String::from_utf8_lossy(&written.lock().unwrap()).starts_with(status));
    }
}

#[test]
fn whoever_leaves_answers_what_has_begun() {
    for (sent, answers) in [("", 0), ("GET / HTTP/1.1\r\nHo", 1)] {
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut script = Script::of(sent.as_bytes(), sent.len());
        script.pieces.push_back(b"st: a\r\n\r\n".to_vec());
        script.stays = true;
        let answer: Answer = Box::new(|_| Response::new(full("")));
        let io = Tee(script, Arc::clone(&written));
        let mut connection = Connection::new(io, Bytes::new(), By(answer), true);
        let mut cx = Context::from_waker(Waker::noop());
        if !sent.is_empty() {
            for _ in 0..2 {
                assert!(Pin::new(&mut connection).poll(&mut cx).is_pending());
            }
        }
        connection.leave();
        run(&mut connection).expect("it ends by itself").unwrap();
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(
            written.matches("connection: close\r\n").count(),
            answers,
            "{written}"
        );
    }
}

#[test]
fn behind_a_switch_the_socket_is_handed_over_with_what_was_read_of_it() {
    let switched = Arc::new(Mutex::new(None));
    let switches = Arc::clone(&switched);
    let sent = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nGET not HTTP";
    let answer = heard(sent, move |_| {
        let (switch, receiver) = Switch::new();
        *switches.lock().unwrap() = Some(receiver);
        let mut response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .body(full(""))
            .unwrap();
        response.extensions_mut().insert(switch);
        response
    });
    assert_eq!(
        answer,
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n"
    );
    let receiver = switched.lock().unwrap().take().expect("it was asked");
    let mut socket = run(receiver)
        .expect("it is there")
        .expect("it was switched");
    let mut rest = String::new();
    run(socket.read_to_string(&mut rest))
        .expect("it ends")
        .unwrap();
    assert_eq!(rest, "GET not HTTP");
}

#[test]
fn an_answer_that_breaks_has_no_end() {
    let broken = || {
        vec![
            Ok(Frame::data("ab".into())),
            Err(std::io::Error::other("broken")),
        ]
    };
    let heard = heard(&[GET, GET].concat(), move |_| {
        Response::new(frames(broken()))
    });
    assert!(!heard.contains("0\r\n\r\n"), "{heard}");
    assert!(heard.matches("HTTP/1.1").count() <= 1, "{heard}");
}

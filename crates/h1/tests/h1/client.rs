//! Whole exchanges: what comes through of an answer, what of a request goes out, and what becomes of the connection.

use std::task::{Context, Poll, Waker};

use crate::script::{Script, get, request, run};
use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use weir_h1::{Connection, Portion};

/// Frames of a body, one after the other; `None` stands for a pause.
type Frames = Vec<Option<Result<Frame<Bytes>, std::io::Error>>>;

fn body(frames: Frames) -> http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error> {
    let mut frames = frames.into_iter();
    StreamBody::new(futures(move || match frames.next() {
        Some(Some(frame)) => Poll::Ready(Some(frame)),
        Some(None) => Poll::Pending,
        None => Poll::Ready(None),
    }))
    .boxed_unsync()
}

fn futures<T>(poll: impl FnMut() -> Poll<Option<T>>) -> impl futures_util::Stream<Item = T> {
    let mut poll = poll;
    futures_util::stream::poll_fn(move |_| poll())
}

fn data(text: &'static str) -> Option<Result<Frame<Bytes>, std::io::Error>> {
    Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
}

#[test]
fn a_clean_end_gives_the_connection_back() {
    for (answer, text, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
            "hi",
            true,
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
            "",
            true,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
            "",
            true,
        ),
        (
            "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            "hi",
            true,
        ),
        // Its end is the connection's.
        ("HTTP/1.1 200 OK\r\n\r\nhi", "hi", false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            "hi",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
            "hi",
            false,
        ),
        // Two readers could differ on the end.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "hi",
            false,
        ),
        // Somebody's next answer.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "hi",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nHTTP/1.1",
            "hi",
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi",
            "",
            false,
        ),
    ] {
        let (heard, exchange) = get(Script::of(answer.as_bytes(), usize::MAX));
        assert_eq!(
            (heard.fault, exchange.release().is_some()),
            (None, kept),
            "{answer}"
        );
        // In pieces the unasked bytes may not have been read; then they are seen before the connection is used.
        for size in 1..answer.len() {
            let (heard, exchange) = get(Script::of(answer.as_bytes(), size));
            assert_eq!(
                (heard.body().as_str(), heard.fault.as_deref()),
                (text, None),
                "{answer}"
            );
            if let Some(mut connection) = exchange.release().filter(|_| !kept) {
                // The script pauses before each piece.
                assert!(
                    !(connection.is_quiet() && connection.is_quiet()),
                    "{answer} by {size}"
                );
            }
        }
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let ask = request(&Method::HEAD, Empty::<Bytes>::new());
    let mut exchange = Connection::new(Script::of(answer, usize::MAX)).ask(ask);
    let heard = run(&mut exchange);
    assert_eq!((heard.body(), heard.fault), (String::new(), None));
    assert_eq!(heard.head.unwrap().1["content-length"], "2");
    assert!(exchange.release().is_some());
}

#[test]
fn what_breaks_off_is_not_whole() {
    for (answer, text, fault) in [
        ("", "", "closed"),
        ("HTTP/1.1 200 OK\r\n", "", "closed"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            "hi",
            "closed",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhi",
            "hi",
            "closed",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
            "hi",
            "closed",
        ),
        // What was right is still passed on.
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n",
            "hi",
            "chunk",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n",
            "hi",
            "chunk",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: \0\r\n\r\n",
            "hi",
            "trailer",
        ),
    ] {
        for size in 1..=answer.len().max(1) {
            let (heard, exchange) = get(Script::of(answer.as_bytes(), size));
            assert_eq!(
                (heard.body().as_str(), heard.fault.as_deref()),
                (text, Some(fault)),
                "{answer} by {size}"
            );
            assert!(exchange.release().is_none());
        }
    }
}

#[test]
fn trailers_come_last() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n";
    for size in [1, 7, usize::MAX] {
        let (heard, exchange) = get(Script::of(answer, size));
        let trailers = heard.trailers.expect("trailers");
        assert_eq!(
            trailers.get_all("x-sum").iter().collect::<Vec<_>>(),
            ["1", "2"]
        );
        assert!(exchange.release().is_some());
    }
}

/// So that the framing of an answer to the client does not depend on how the upstream's bytes were cut.
#[test]
fn the_end_of_a_chunked_body_is_not_known_before_it_was_asked_for() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let body = Empty::<Bytes>::new();
    let ask = request(&Method::GET, body);
    let mut exchange = Connection::new(Script::of(answer, usize::MAX)).ask(ask);
    let mut cx = Context::from_waker(Waker::noop());
    while exchange.poll_head(&mut cx).is_pending() {}
    assert!(!exchange.is_end_stream() && exchange.size_hint().exact().is_none());
    assert!(matches!(exchange.poll_portion(&mut cx), Poll::Ready(None)));
    assert!(exchange.is_end_stream());
}

#[test]
fn interim_answers_are_bounded() {
    let (interim, last) = (
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    for (count, fault) in [(32, None), (33, Some("interim_answers"))] {
        for size in [1, 100, usize::MAX] {
            let answer = interim.repeat(count) + last;
            let (heard, _) = get(Script::of(answer.as_bytes(), size));
            assert_eq!(heard.fault.as_deref(), fault);
        }
    }
}

#[test]
fn after_a_101_the_stream_is_handed_over() {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi";
    for size in [1, answer.len() - 1, usize::MAX] {
        let ask = request(&Method::GET, Empty::<Bytes>::new());
        let mut exchange = Connection::new(Script::of(answer, size)).ask(ask);
        let mut cx = Context::from_waker(Waker::noop());
        while exchange.poll_head(&mut cx).is_pending() {}
        let (script, read) = exchange.into_parts();
        let rest: Vec<u8> = script.pieces.into_iter().flatten().collect();
        assert_eq!([&read[..], &rest].concat(), b"\x81\x02hi");
    }
}

#[test]
fn memory_is_bounded_by_the_longest_head() {
    let cookies = format!(
        "HTTP/1.1 200 OK\r\n{}",
        "Set-Cookie: a=b\r\n".repeat(1_000_000)
    );
    let line = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(1 << 20));
    for (bytes, fault) in [(cookies, "too_many_headers"), (line, "head_too_large")] {
        for size in [1000, usize::MAX] {
            let ask = request(&Method::GET, Empty::<Bytes>::new());
            let mut exchange = Connection::new(Script::of(bytes.as_bytes(), size)).ask(ask);
            assert_eq!(run(&mut exchange).fault.as_deref(), Some(fault));
            assert!(exchange.into_parts().0.read <= 2 * 65536);
        }
    }
}

/// Large reads are passed on as they are, chunks in them too; nothing is lost at their edges.
#[test]
fn large_bodies_come_whole() {
    let text: Vec<u8> = (0..400_000_u32).map(|n| (n % 251) as u8).collect();
    let chunked = |size: usize| {
        let chunks = text
            .chunks(size)
            .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        [head, chunks.flatten().collect(), b"0\r\n\r\n".to_vec()].concat()
    };
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
    for answer in [
        [length.as_bytes(), &text].concat(),
        [b"HTTP/1.1 200 OK\r\n\r\n", &text[..]].concat(),
        chunked(100),
        chunked(5000),
        chunked(100_000),
    ] {
        for size in [1000, 70_000, usize::MAX] {
            let (heard, _) = get(Script::of(&answer, size));
            assert_eq!(heard.fault, None);
            assert!(heard.frames.concat() == text);
        }
    }
    let answer = [b"HTTP/1.1 200 OK\r\n\r\n", &text[..]].concat();
    let (heard, _) = get(Script::of(&answer, usize::MAX));
    assert!(heard.frames.iter().any(|frame| frame.len() > 64 * 1024));
    // Not before something was taken: nobody knows yet whether the client takes anything.
    assert!(heard.frames[..2].concat().len() <= 2 * 8 * 1024);
}

#[test]
fn a_small_body_goes_out_with_its_head() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for (ask, sent) in [
        (
            request(
                &Method::POST,
                Full::new(Bytes::from_static(b"hi")).boxed_unsync(),
            ),
            "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi",
        ),
        (
            request(
                &Method::POST,
                body(vec![data("h"), data("i")])
                    .map_err(|_| unreachable!())
                    .boxed_unsync(),
            ),
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        ),
    ] {
        let mut exchange = Connection::new(Script::of(answer, usize::MAX)).ask(ask);
        assert_eq!(run(&mut exchange).fault, None);
        let (script, _) = exchange.into_parts();
        assert_eq!((script.text().as_str(), script.written.len()), (sent, 1));
    }
}

#[test]
fn a_request_goes_on_beside_its_answer() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi";
    let frames = vec![data("one"), None, None, None, data("two")];
    let mut exchange =
        Connection::new(Script::of(answer, 42)).ask(request(&Method::POST, body(frames)));
    let mut cx = Context::from_waker(Waker::noop());
    while exchange.poll_head(&mut cx).is_pending() {}
    // The rest of the answer does not come before the request is whole.
    let heard = run_body(&mut exchange);
    assert_eq!(heard, ("hi".to_owned(), true));
    let (script, _) = exchange.into_parts();
    assert!(script.text().ends_with("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
}

fn run_body<B>(exchange: &mut weir_h1::Exchange<Script, B>) -> (String, bool)
where
    B: http_body::Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut text = String::new();
    loop {
        match exchange.poll_portion(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(Portion::Data(data)))) => text += &String::from_utf8_lossy(&data),
            Poll::Ready(Some(Ok(Portion::Trailers(_)))) => panic!("no trailers were sent"),
            Poll::Ready(Some(Err(_))) => return (text, true),
            Poll::Ready(None) => return (text, false),
        }
    }
}

/// A server may refuse what it is sent, and close. Its answer is what the client is to get.
#[test]
fn an_early_answer_is_heard_when_the_rest_cannot_be_sent() {
    let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    for breaks in [1, 60, 100, 5000] {
        for size in [1, usize::MAX] {
            let script = Script {
                breaks: Some(breaks),
                ..Script::of(answer, size)
            };
            let ask = request(&Method::POST, Full::new(Bytes::from(vec![b'x'; 1 << 20])));
            let mut exchange = Connection::new(script).ask(ask);
            let heard = run(&mut exchange);
            assert_eq!(
                (heard.body().as_str(), heard.fault.as_deref()),
                ("no", None)
            );
            assert_eq!(heard.head.unwrap().0, 413);
            assert!(exchange.release().is_none(), "half a request was sent");
        }
    }
}

/// On a kept connection that the server has closed meanwhile, what can be heard is no answer.
#[test]
fn a_request_of_which_nothing_was_sent_can_be_sent_elsewhere() {
    let stale = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    let script = Script {
        breaks: Some(0),
        ..Script::of(stale, usize::MAX)
    };
    let ask = request(&Method::POST, body(vec![data("one"), None, data("two")]));
    let mut exchange = Connection::new(script).ask(ask);
    let heard = run(&mut exchange);
    assert_eq!((heard.fault.as_deref(), heard.head), (Some("io"), None));
    assert!(!exchange.heard());
    let unsent = exchange.into_unsent().expect("not a byte was taken");
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let mut exchange = Connection::new(Script::of(answer, 1)).ask(unsent);
    assert_eq!(run(&mut exchange).head.unwrap().0, 200);
    let (script, _) = exchange.into_parts();
    assert!(
        script
            .text()
            .ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    );
}

#[test]
fn a_request_that_breaks_breaks_the_exchange() {
    let gone = || Some(Err(std::io::ErrorKind::ConnectionReset.into()));
    let stays = || Script {
        stays: true,
        ..Script::default()
    };
    let ask = request(&Method::POST, body(vec![data("one"), gone()]));
    let mut exchange = Connection::new(stays()).ask(ask);
    assert_eq!(run(&mut exchange).fault.as_deref(), Some("request"));

    for frames in [vec![data("four")], vec![data("t")]] {
        let ask = request(&Method::POST, Sized(body(frames)));
        let mut exchange = Connection::new(stays()).ask(ask);
        assert_eq!(run(&mut exchange).fault.as_deref(), Some("length"));
        let (script, _) = exchange.into_parts();
        assert!(!script.text().contains("four"), "not a byte too many");
    }
}

/// Says that it has two bytes.
struct Sized<B>(B);

impl<B: http_body::Body + Unpin> http_body::Body for Sized<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(2)
    }
}

#[tokio::test]
async fn a_connection_is_quiet_until_its_server_says_or_closes_something() {
    let (near, mut far) = tokio::io::duplex(64);
    let mut connection = Connection::new(near);
    assert!(connection.is_quiet());
    far.write_all(b"H").await.expect("room");
    assert!(!connection.is_quiet());

    let (near, far) = tokio::io::duplex(64);
    let mut connection = Connection::new(near);
    drop(far);
    assert!(!connection.is_quiet());
}

#[tokio::test]
async fn dropped_it_closes_at_once() {
    let (near, mut far) = tokio::io::duplex(1024);
    let mut exchange = Connection::new(near).ask(request(&Method::GET, Empty::<Bytes>::new()));
    let answer = b"HTTP/1.1 200 OK\r\n\r\nhi";
    far.write_all(answer).await.expect("room");
    let head = std::future::poll_fn(|cx| exchange.poll_head(cx)).await;
    assert_eq!(head.expect("an answer").status, 200);
    drop(exchange);
    assert!(far.write_all(b"more").await.is_err());
}

proptest! {
    /// However little the socket takes at a time, the request is the same.
    #[test]
    fn a_request_goes_out_whole(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12_000), 0..6),
        takes in prop_oneof![100usize..140, 1000usize..30_000],
    ) {
        let frames = pieces.iter().map(|piece| Some(Ok(Frame::data(Bytes::from(piece.clone())))));
        let script = Script { takes: Some(takes), ..Script::of(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", usize::MAX) };
        let mut exchange = Connection::new(script).ask(request(&Method::POST, body(frames.collect())));
        let heard = run(&mut exchange);
        prop_assert_eq!(heard.fault, None);
        let sent = exchange.into_parts().0.written.concat();
        let mut wanted = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            wanted.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            wanted.extend_from_slice(piece);
            wanted.extend_from_slice(b"\r\n");
        }
        wanted.extend_from_slice(b"0\r\n\r\n");
        prop_assert!(sent == wanted);
    }
}

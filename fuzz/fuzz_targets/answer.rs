//! Of what an upstream sends the same is heard, whatever the pieces in which it was read.
#![no_main]

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Method, uri::PathAndQuery};
use http_body_util::Empty;
use libfuzzer_sys::fuzz_target;
use weir_fuzz::Pieces;
use weir_h1::{Connection, Portion, RequestHead};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = heard(bytes, bytes.len().max(1));
    let pieces = heard(bytes, usize::from(size).max(1));
    assert!(whole.body.len() <= bytes.len());
    assert_eq!(whole, pieces);
});

/// What came through. Which of several faults is found first may depend on the pieces, so only that there was one.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    head: Option<(u16, HeaderMap)>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    broke: bool,
}

fn heard(bytes: &[u8], size: usize) -> Heard {
    let pieces = Pieces::new(bytes, size);
    let request = RequestHead::new(&Method::GET, &PathAndQuery::from_static("/"));
    let mut exchange = Connection::new(pieces).ask(request.body(Empty::<Bytes>::new()));
    let mut cx = Context::from_waker(Waker::noop());
    let mut heard = Heard::default();
    match exchange.poll_head(&mut cx) {
        Poll::Ready(Ok(head)) => heard.head = Some((head.status.as_u16(), head.headers)),
        Poll::Ready(Err(_)) => heard.broke = true,
        Poll::Pending => unreachable!("there is always something to read"),
    }
    while !heard.broke {
        match exchange.poll_portion(&mut cx) {
            Poll::Ready(Some(Ok(Portion::Data(data)))) => heard.body.extend_from_slice(&data),
            Poll::Ready(Some(Ok(Portion::Trailers(trailers)))) => heard.trailers = Some(*trailers),
            Poll::Ready(Some(Err(_))) => heard.broke = true,
            Poll::Ready(None) => break,
            Poll::Pending => unreachable!("there is always something to read"),
        }
    }
    heard
}

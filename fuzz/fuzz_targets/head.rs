//! Of what a client sends the same is asked, whatever the pieces in which it was read.
#![no_main]

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use weir_fuzz::Pieces;
use weir_h1::server::{Connection, Incoming, Service};
use weir_wire::Fault;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = asked(bytes, bytes.len().max(1));
    let pieces = asked(bytes, usize::from(size).max(1));
    assert_eq!(whole, pieces);
});

/// Each request's head and body. Which of several faults is found first may depend on the pieces, so only that there was one.
type Asked = Vec<(String, Option<Bytes>)>;

struct Record(Arc<Mutex<Asked>>);

impl Service for Record {
    type Body = Full<Bytes>;
    type Answer = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

    fn call(&self, request: Request<Incoming>, refused: Option<Fault>) -> Self::Answer {
        let record = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let head = match refused {
                Some(_) => "refused".to_owned(),
                None => format!("{} {} {:?}", head.method, head.uri, head.headers),
            };
            let body = body.collect().await.ok().map(|body| body.to_bytes());
            record.lock().expect("one thread").push((head, body));
            Response::new(Full::default())
        })
    }

    fn head_began(&self) {}
}

fn asked(bytes: &[u8], size: usize) -> Asked {
    let record = Arc::default();
    let pieces = Pieces::new(bytes, size);
    let mut connection = pin!(Connection::new(
        pieces,
        Bytes::new(),
        Record(Arc::clone(&record)),
        true
    ));
    let mut cx = Context::from_waker(Waker::noop());
    // Pending only when so many requests came together that others have their turn.
    while connection.as_mut().poll(&mut cx).is_pending() {}
    let asked = record.lock().expect("one thread").clone();
    asked
}

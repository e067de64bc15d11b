//! One request and its answer on a connection, from the first byte written to the last one read. Polled by whoever wants the answer; dropped
//! at any time, it closes the connection.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{StatusCode, response};
use http_body::{Body, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use weir_wire::Answers;

use crate::{
    Connection, Fault, Request,
    answer::Answer,
    begun::Begun,
    body::{Framing, Reading},
    lent::{self, Piece},
    portion::Portion,
    upload::Upload,
};

/// Interim answers (1xx) before the final one.
const INTERIM: u32 = 32;

/// Read at first at most, in bytes, and twice as much after each read that could have been larger: a piece is asked for before its client has
/// shown that it takes any, and hundreds of streams of an HTTP/2 client that never does can wait with one each. Small answers and events come
/// whole in it, and a large one costs five reads more.
const FIRST_READ: usize = 8 * 1024;

/// See the module. [`Exchange::poll_head`] first, then [`Exchange::poll_portion`] to the end, then [`Exchange::release`].
#[derive(Debug)]
pub struct Exchange<S, B> {
    connection: Connection<S>,
    upload: Upload<B>,
    awaited: Awaited,
    body: Reading,
    kept: bool,
    /// How much is read at a time.
    most: usize,
}

/// The head that is waited for.
#[derive(Debug)]
struct Awaited {
    head_only: bool,
    heard: bool,
    interim: u32,
    begun: Begun,
}

impl<S, B> Exchange<S, B> {
    pub(crate) fn new(connection: Connection<S>, request: Request<B>) -> Self {
        Self {
            connection,
            upload: request.upload,
            awaited: Awaited {
                head_only: request.head_only,
                heard: false,
                interim: 0,
                begun: Begun::default(),
            },
            body: Reading::new(Framing::None),
            kept: false,
            most: FIRST_READ,
        }
    }

    /// Whether the server has said anything.
    pub fn heard(&self) -> bool {
        self.awaited.heard
    }

    /// The request, if not a byte of it was written: it can be sent on another connection, whatever its method.
    pub fn into_unsent(self) -> Option<Request<B>> {
        self.upload.is_untouched().then_some(Request {
            upload: self.upload,
            head_only: self.awaited.head_only,
        })
    }

    /// Whether [`Exchange::poll_portion`] has no more to give.
    pub fn is_end_stream(&self) -> bool {
        self.body.is_over()
    }

    /// The connection, where only what the server says next can bring more of the body: all of the request was sent, and all that was read of
    /// the answer handed on.
    pub fn awaits(&mut self) -> Option<&S> {
        if !self.body.is_drained() || self.upload.is_under_way() {
            return None;
        }
        self.waits();
        Some(&self.connection.io)
    }

    /// More of the answer's body is waited for. It may be a stream, and a silent one holds no more than it must.
    fn waits(&mut self) {
        if !self.body.is_sized() {
            self.connection.answers.forget();
        }
    }

    /// The answer's body, where all of it came with its head: there are no portions then.
    pub fn whole(&mut self) -> Option<Bytes> {
        self.body.whole()
    }

    /// The size of the answer's body, where its head tells.
    pub fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// The stream itself and what was read of it, after a 101.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.connection.io, self.body.into_rest())
    }
}

impl<S, B> Exchange<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin,
{
    /// Sends the request and waits for the head of its final answer. Interim answers are passed over, but for a 101.
    ///
    /// # Errors
    /// See [`Fault`]. A server that stops taking the request is none: its answer is still waited for.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<response::Parts>, Fault<B::Error>>> {
        let Connection { io, answers } = &mut self.connection;
        loop {
            self.upload.poll(io, cx)?;
            let read = ready!(lent::poll_bytes(io, cx, FIRST_READ)).map_err(Fault::Io)?;
            if let Some((answer, rest)) = self.awaited.read(answers, read)? {
                self.kept = answer.kept;
                self.body = Reading::new(answer.framing);
                self.body.fill(Piece::Large(rest));
                return Poll::Ready(Ok(answer.parts));
            }
        }
    }

    /// The next portion of the answer's body. What is left of the request is sent beside.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn poll_portion(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Portion, Fault<B::Error>>>> {
        let io = &mut self.connection.io;
        loop {
            if let Some(portion) = self.body.next() {
                return Poll::Ready(Some(portion.map_err(Fault::Answer)));
            }
            if self.body.is_over() {
                return Poll::Ready(None);
            }
            if self.upload.is_under_way() {
                self.upload.poll(io, cx)?;
            }
            let (body, most) = (&mut self.body, self.most);
            let Poll::Ready(read) = lent::poll_read(io, cx, most, |piece| {
                (piece.len() == most, body.fill(piece))
            }) else {
                self.waits();
                return Poll::Pending;
            };
            if matches!(read, Ok((true, _))) {
                self.most = (most * 2).min(lent::SIZE);
            }
            match read {
                Ok((_, true)) => {}
                Ok((_, false)) => return Poll::Ready(Some(Err(Fault::Closed))),
                Err(error) => return Poll::Ready(Some(Err(Fault::Io(error)))),
            }
        }
    }

    /// The connection, if it may carry another request: this one was sent whole and answered whole, nothing came behind the answer, and the
    /// server has not said that it would close.
    pub fn release(self) -> Option<Connection<S>> {
        let clean = self.kept && self.upload.is_done() && self.body.is_clean();
        clean.then_some(self.connection)
    }
}

impl Awaited {
    /// Takes what was read; the final answer's head, if it is whole. What follows it is the body's.
    fn read<E: std::error::Error>(
        &mut self,
        answers: &mut Answers,
        read: Bytes,
    ) -> Result<Option<(Answer, Bytes)>, Fault<E>> {
        if read.is_empty() {
            return Err(Fault::Closed);
        }
        self.heard = true;
        let Some(mut bytes) = self.begun.with(read) else {
            return Ok(None);
        };
        while !bytes.is_empty() {
            let Some(head) = answers.next(&mut bytes).map_err(Fault::Answer)? else {
                self.begun.keep(bytes);
                break;
            };
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some((Answer::new(head, self.head_only), bytes)));
            }
            self.interim += 1;
            if self.interim > INTERIM {
                return Err(Fault::Answer(weir_wire::Fault::Interim));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::{Method, uri::PathAndQuery};
    use http_body_util::Empty;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::RequestHead;

    type Asked = Exchange<DuplexStream, Empty<Bytes>>;

    async fn asked(
        connection: Connection<DuplexStream>,
        server: &mut DuplexStream,
        head: &str,
    ) -> Asked {
        let request = RequestHead::new(&Method::GET, &PathAndQuery::from_static("/"));
        let mut exchange = connection.ask(request.body(Empty::new()));
        let answer = format!("HTTP/1.1 200 OK\r\nServer: a\r\n{head}");
        server
            .write_all(answer.as_bytes())
            .await
            .expect("it is read");
        let head = poll_fn(|cx| exchange.poll_head(cx)).await;
        assert!(head.is_ok());
        exchange
    }

    fn remembers(exchange: &Asked) -> bool {
        format!("{:?}", exchange.connection).contains("server")
    }

    #[tokio::test]
    async fn what_may_be_a_silent_stream_holds_no_lines_of_heads_before() {
        let (io, mut server) = duplex(1024);
        let mut connection = Connection::new(io);
        for known in [false, true] {
            let sized = "Content-Length: 1\r\n\r\n";
            let mut exchange = asked(connection, &mut server, sized).await;
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(exchange.poll_portion(&mut cx).is_pending());
            assert_eq!(remembers(&exchange), known);
            server.write_all(b"a").await.expect("it is read");
            assert!(matches!(
                exchange.poll_portion(&mut cx),
                Poll::Ready(Some(Ok(_)))
            ));
            connection = exchange.release().expect("it was answered whole");
        }
        let chunked = "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
        let mut exchange = asked(connection, &mut server, chunked).await;
        assert!(remembers(&exchange));
        assert!(poll_fn(|cx| exchange.poll_portion(cx)).await.is_some());
        assert!(exchange.awaits().is_some());
        assert!(!remembers(&exchange));
    }
}

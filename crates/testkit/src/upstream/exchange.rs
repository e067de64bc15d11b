//! One request at an upstream, and everything a script can do with it: read its body, answer in any pieces, stay silent, die in
//! several ways, or end well and give the connection back for the next request.

use tokio::sync::oneshot;

use super::connection::{Connection, Gone, How};
use crate::{body::Decoder, clock::within, head::Head};

/// One request and the connection it came on. Dropped, it closes the connection.
#[derive(Debug)]
pub struct Exchange {
    /// The request's head.
    pub head: Head,
    connection: Connection,
    body: Decoder,
    back: oneshot::Sender<Connection>,
}

impl Exchange {
    pub(super) fn new(
        head: Head,
        connection: Connection,
        back: oneshot::Sender<Connection>,
    ) -> Self {
        let body = Decoder::new(head.request_framing());
        Self {
            head,
            connection,
            body,
            back,
        }
    }

    /// Which of the upstream's connections this came on, from 0.
    #[must_use]
    pub fn connection(&self) -> usize {
        self.connection.number
    }

    /// A header of the request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The request's whole body; what came of it if the peer left before its end.
    pub async fn body(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(piece) = self.piece().await {
            out.extend(piece);
        }
        out
    }

    /// The next piece of the request's body; `None` at its end, or when the peer left.
    pub async fn piece(&mut self) -> Option<Vec<u8>> {
        let body = &mut self.body;
        let taken = self.connection.take(|bytes| {
            let piece = body.take(bytes);
            (!piece.is_empty() || body.done()).then_some(piece)
        });
        within("the request's body", taken)
            .await
            .filter(|piece| !piece.is_empty())
    }

    /// The next bytes as they come, framed by nothing: for what follows a 101. `None` at the end.
    pub async fn raw(&mut self) -> Option<Vec<u8>> {
        let taken = self
            .connection
            .take(|bytes| (!bytes.is_empty()).then(|| std::mem::take(bytes)));
        within("bytes", taken).await
    }

    /// Whether the request's body came to its end.
    #[must_use]
    pub fn body_done(&self) -> bool {
        self.body.done()
    }

    /// Stops reading from the socket, or goes on with it.
    pub fn read(&self, on: bool) {
        self.connection.read(on);
    }

    /// Sends these bytes as they are. A peer that has left is no error: see `gone`.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) {
        let sent = within("weir to read", self.connection.write(bytes.as_ref())).await;
        if sent.is_err() {
            // A script that sends until its peer has left must let the connection's reader notice that.
            tokio::task::yield_now().await;
        }
    }

    /// Sends a head: `head("200 OK", &["content-length: 0"])`.
    pub async fn head(&self, status: &str, headers: &[&str]) {
        let mut text = format!("HTTP/1.1 {status}\r\n");
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        self.send(text).await;
    }

    /// Sends an answer with its length.
    pub async fn answer(&self, status: &str, headers: &[&str], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        self.send([text.as_bytes(), body].concat()).await;
    }

    /// Starts a chunked event stream.
    pub async fn stream(&self) {
        self.head(
            "200 OK",
            &[
                "content-type: text/event-stream",
                "transfer-encoding: chunked",
            ],
        )
        .await;
    }

    /// Sends a chunk.
    pub async fn chunk(&self, data: impl AsRef<[u8]>) {
        self.send(chunk(data)).await;
    }

    /// Sends the last chunk and gives the connection back.
    pub async fn end(self) {
        self.send("0\r\n\r\n").await;
        self.done();
    }

    /// Gives the connection back for the next request.
    pub fn done(self) {
        // Nobody waits for it when the upstream is gone; then it closes.
        let _ = self.back.send(self.connection);
    }

    /// Waits until the peer leaves.
    pub async fn gone(&self) -> Gone {
        self.connection.gone().await
    }

    /// Whether the peer has left already.
    #[must_use]
    pub fn left(&self) -> Option<Gone> {
        self.connection.left()
    }

    /// Closes with FIN.
    pub async fn close(self) {
        self.connection.close(How::Closed).await;
    }

    /// Closes with RST.
    pub async fn reset(self) {
        self.connection.close(How::Reset).await;
    }

    /// Sends these bytes and closes, bytes and FIN in one segment.
    pub async fn close_with(self, bytes: impl AsRef<[u8]>) {
        self.connection.hold_back();
        self.send(bytes).await;
        self.connection.close(How::Closed).await;
    }
}

/// A chunk around these bytes.
#[must_use]
pub fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

//! A client that sees every byte. It sends exactly what it is given, hands out an answer's body piece by piece as it arrives,
//! and tells the three ways an answer can end apart: properly, by a close too early, by a reset.

use std::{io, net::SocketAddr};

use rustls::ClientConnection;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub use crate::answer::{Answer, End};
use crate::{
    body::Decoder,
    clock::within,
    head::{Head, find},
    sockets,
    tls::Tls,
    transport::Transport,
};

/// One connection of a client.
#[derive(Debug)]
pub struct Client {
    stream: Transport,
    local: SocketAddr,
    peer: SocketAddr,
    /// Read from the socket, not yet handed out.
    buffer: Vec<u8>,
    /// How the socket's read side ended.
    ended: Option<End>,
    /// The answer's body that is being read.
    body: Option<Decoder>,
    /// Body bytes taken from the buffer, not yet handed out.
    taken: Vec<u8>,
    /// The methods of the requests whose answers are still to come: an answer to HEAD has no body.
    asked: std::collections::VecDeque<String>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect(peer: SocketAddr) -> Self {
        Self::try_connect(peer).await.expect("a listener")
    }

    /// As `connect`; `None` when nobody listens there.
    pub async fn try_connect(peer: SocketAddr) -> Option<Self> {
        let stream = dial(peer).await?;
        Some(Self::over(Transport::Clear(stream), peer))
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// When the handshake fails. With TLS 1.3 a server that wants a certificate says so only after it.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn secured(peer: SocketAddr, tls: &Tls) -> io::Result<Self> {
        Self::secured_behind(peer, "", tls).await
    }

    /// As `secured`, after these bytes in clear: what a proxy of TCP connections says first.
    ///
    /// # Errors
    /// As `secured`.
    ///
    /// # Panics
    /// As `secured`.
    pub async fn secured_behind(
        peer: SocketAddr,
        first: impl AsRef<[u8]>,
        tls: &Tls,
    ) -> io::Result<Self> {
        let mut stream = dial(peer).await.expect("a listener");
        stream.write_all(first.as_ref()).await?;
        let connector = tokio_rustls::TlsConnector::from(tls.config());
        let stream = within("a handshake", connector.connect(tls.name(), stream)).await?;
        Ok(Self::over(Transport::Tls(Box::new(stream)), peer))
    }

    fn over(stream: Transport, peer: SocketAddr) -> Self {
        Self {
            local: stream.socket().local_addr().expect("a live socket"),
            stream,
            peer,
            buffer: Vec::new(),
            ended: None,
            body: None,
            taken: Vec::new(),
            asked: std::collections::VecDeque::new(),
        }
    }

    /// What the handshake came to.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn session(&self) -> &ClientConnection {
        self.stream.session().expect("a connection by TLS")
    }

    /// Says close_notify and keeps the socket open.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn goodbye(&mut self) {
        self.stream.goodbye();
        self.stream.flush().await.expect("a live socket");
    }

    /// Our address, as the peer sees it.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What the kernels hold of what we sent: Linux only.
    #[must_use]
    pub fn held(&self) -> Option<sockets::Held> {
        sockets::held(self.local, self.peer)
    }

    /// What the kernels hold of what the peer sent us: Linux only.
    #[must_use]
    pub fn awaiting(&self) -> Option<sockets::Held> {
        sockets::held(self.peer, self.local)
    }

    /// Sends these bytes as they are.
    ///
    /// # Panics
    /// When the connection is gone or takes nothing any more.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("a peer that reads");
    }

    /// As `send`, for a peer that may have closed.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("the peer to read", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Sends a request without a body: `request("GET", "/path", &["cookie: a=b"])`. Host is `a.test` unless given.
    pub async fn request(&mut self, method: &str, target: &str, headers: &[&str]) {
        self.request_with(method, target, headers, None).await;
    }

    /// Sends a request with a body, its length declared.
    pub async fn post(&mut self, target: &str, headers: &[&str], body: impl AsRef<[u8]>) {
        self.request_with("POST", target, headers, Some(body.as_ref()))
            .await;
    }

    async fn request_with(
        &mut self,
        method: &str,
        target: &str,
        headers: &[&str],
        body: Option<&[u8]>,
    ) {
        self.asked.push_back(method.to_owned());
        self.send(request(method, target, headers, body)).await;
    }

    /// Reads the next head; interim answers (1xx but 101) are passed over.
    ///
    /// # Panics
    /// When the connection ends before a whole head came.
    pub async fn head(&mut self) -> Head {
        match self.try_head().await {
            Ok(head) => head,
            Err(end) => panic!(
                "an answer's head was to come, but {end:?} after {:?}",
                String::from_utf8_lossy(&self.buffer)
            ),
        }
    }

    /// As `head`, where the connection may end instead.
    ///
    /// # Errors
    /// `Eof` or `Reset` when it ended before a whole head came.
    pub async fn try_head(&mut self) -> Result<Head, End> {
        let head = loop {
            match Head::take(&mut self.buffer) {
                Some(head) if matches!(head.status(), 100 | 102..=199) => {}
                Some(head) => break head,
                None => within("an answer's head", self.fill()).await?,
            }
        };
        let method = self.asked.pop_front();
        self.body = Some(Decoder::new(
            head.answer_framing(method.as_deref().unwrap_or("GET")),
        ));
        self.taken.clear();
        Ok(head)
    }

    /// Reads the next head though it be an interim answer (1xx).
    ///
    /// # Panics
    /// When the connection ends before a whole head came.
    pub async fn interim(&mut self) -> Head {
        within("an interim answer", async {
            loop {
                if let Some(head) = Head::take(&mut self.buffer) {
                    return head;
                }
                self.fill().await.expect("an interim answer, not the end");
            }
        })
        .await
    }

    /// The next bytes as they come, framed by nothing: for what follows a 101. `None` at the end.
    pub async fn raw(&mut self) -> Option<Vec<u8>> {
        if self.buffer.is_empty() {
            let _ = within("bytes", self.fill()).await;
        }
        Some(std::mem::take(&mut self.buffer)).filter(|bytes| !bytes.is_empty())
    }

    /// The next piece of the body, as soon as one is there.
    ///
    /// # Errors
    /// How the body ended, when nothing more comes.
    pub async fn piece(&mut self) -> Result<Vec<u8>, End> {
        within("a piece of the body", self.next_piece()).await
    }

    /// Reads on until the body read since the last call holds `mark`, and hands that out up to and with the mark.
    ///
    /// # Panics
    /// When the body ends before.
    pub async fn until(&mut self, mark: &str) -> String {
        within(&format!("{mark:?}"), async {
            loop {
                if let Some(at) = find(&self.taken, mark.as_bytes()) {
                    let out: Vec<u8> = self.taken.drain(..at + mark.len()).collect();
                    return String::from_utf8_lossy(&out).into_owned();
                }
                match self.more().await {
                    Ok(more) => self.taken.extend(more),
                    Err(end) => {
                        panic!(
                            "{mark:?} was to come, but {end:?} after {:?}",
                            String::from_utf8_lossy(&self.taken)
                        )
                    }
                }
            }
        })
        .await
    }

    /// The next event of an SSE body, with the empty line that ends it.
    pub async fn event(&mut self) -> String {
        self.until("\n\n").await
    }

    /// All the body that is still to come, and how it ended.
    pub async fn rest(&mut self) -> (Vec<u8>, End) {
        within("the end of the body", async {
            let mut out = Vec::new();
            loop {
                match self.next_piece().await {
                    Ok(piece) => out.extend(piece),
                    Err(end) => return (out, end),
                }
            }
        })
        .await
    }

    /// The next answer, whole.
    pub async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let (body, end) = self.rest().await;
        Answer { head, body, end }
    }

    /// Waits until the peer closes, and says how. What it still sends is thrown away.
    pub async fn closed(&mut self) -> End {
        within("the connection's end", async {
            loop {
                self.buffer.clear();
                if let Err(end) = self.fill().await {
                    return end;
                }
            }
        })
        .await
    }

    /// Closes our sending half; the answer can still be read.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.expect("a live socket");
    }

    /// Closes with FIN, whatever is still unread.
    ///
    /// The kernel would send RST instead if unread bytes lay in our receive buffer, so those are taken first.
    pub fn close(self) {
        let mut sink = [0; 64 * 1024];
        while self
            .stream
            .socket()
            .try_read(&mut sink)
            .is_ok_and(|read| read > 0)
        {}
    }

    /// Closes with RST.
    pub fn reset(self) {
        sockets::reset_on_close(self.stream.socket());
    }

    async fn next_piece(&mut self) -> Result<Vec<u8>, End> {
        if !self.taken.is_empty() {
            return Ok(std::mem::take(&mut self.taken));
        }
        self.more().await
    }

    async fn more(&mut self) -> Result<Vec<u8>, End> {
        loop {
            let body = self.body.as_mut().expect("a head was read before its body");
            let piece = body.take(&mut self.buffer);
            if !piece.is_empty() {
                return Ok(piece);
            }
            if body.done() {
                return Err(End::Clean);
            }
            let by_close = body.ends_by_close();
            if let Err(end) = self.fill().await {
                return Err(if by_close && end == End::Eof {
                    End::Clean
                } else {
                    end
                });
            }
        }
    }

    /// Reads once from the socket into the buffer.
    async fn fill(&mut self) -> Result<(), End> {
        if let Some(end) = self.ended {
            return Err(end);
        }
        let end = match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => End::Eof,
            Ok(_) => return Ok(()),
            Err(_) => End::Reset,
        };
        self.ended = Some(end);
        Err(end)
    }
}

pub(crate) async fn dial(peer: SocketAddr) -> Option<TcpStream> {
    let stream = within("a connection", TcpStream::connect(peer))
        .await
        .ok()?;
    stream.set_nodelay(true).expect("a live socket");
    Some(stream)
}

/// One request on a connection of its own.
pub async fn get(peer: SocketAddr, target: &str, headers: &[&str]) -> Answer {
    ask(peer, "GET", target, headers).await
}

/// One request with this method and without a body on a connection of its own.
pub async fn ask(peer: SocketAddr, method: &str, target: &str, headers: &[&str]) -> Answer {
    let mut client = Client::connect(peer).await;
    client.request(method, target, headers).await;
    client.answer().await
}

/// The bytes of a request. Host is `a.test` unless one is given; with a body, its length is declared.
#[must_use]
pub fn request(method: &str, target: &str, headers: &[&str], body: Option<&[u8]>) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    if !headers
        .iter()
        .any(|header| header.to_ascii_lowercase().starts_with("host:"))
    {
        text.push_str("Host: a.test\r\n");
    }
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    if let Some(body) = body {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

//! A connection of one client to a gateway, in clear or with TLS, and the heads it sends over it.

use std::{io, sync::Arc};

use rustls::{ClientConfig, HandshakeKind, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::Client;
use crate::workloads::{Action, Carrier};

/// Bytes both ways.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// 2 KiB of a chat request.
pub(super) fn body() -> Vec<u8> {
    let mut body = br#"{"threadId":"t-1","messages":[{"role":"user","content":""#.to_vec();
    body.resize(2045, b'a');
    body.extend(b"\"}]}"[1..].iter());
    body
}

/// How a client connects.
#[derive(Debug)]
pub(super) struct Dial {
    tls: Option<Arc<ClientConfig>>,
}

impl Dial {
    pub(super) fn new(client: &Client) -> io::Result<Self> {
        let (resume, protocol): (bool, &[u8]) = match client.workload.carrier {
            Carrier::Plain | Carrier::PlainOnce => return Ok(Self { tls: None }),
            Carrier::Tls => (false, b"http/1.1"),
            Carrier::TlsOnce { resume } => (resume, b"http/1.1"),
            Carrier::H2 => (false, b"h2"),
        };
        let config = client
            .target
            .secrets
            .client(resume, protocol)
            .map_err(io::Error::other)?;
        Ok(Self { tls: Some(config) })
    }

    pub(super) async fn connect(&self, client: &Client) -> io::Result<Box<dyn Io>> {
        let socket = TcpStream::connect(client.target.address).await?;
        socket.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(socket));
        };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let stream = TlsConnector::from(tls.clone())
            .connect(name, socket)
            .await?;
        if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
            && client.course.counts(tokio::time::Instant::now())
        {
            client.tally.borrow_mut().resumed += 1;
        }
        Ok(Box::new(stream))
    }
}

/// The request of this client, whole but for an upload's body.
pub(super) fn request(client: &Client) -> Vec<u8> {
    let (method, body, length) = match client.workload.action {
        Action::Post => ("POST", body(), Some(body().len() as u64)),
        Action::Upload(bytes) => ("POST", Vec::new(), Some(bytes)),
        _ => ("GET", Vec::new(), None),
    };
    let once = matches!(
        client.workload.carrier,
        Carrier::PlainOnce | Carrier::TlsOnce { .. }
    );
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: weir-load\r\nAccept: */*\r\nAuthorization: Bearer {}\r\n",
        client.path(),
        client.target.secrets.token
    );
    if let Some(length) = length {
        head += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    }
    if once {
        head += "Connection: close\r\n";
    }
    let mut bytes = (head + "\r\n").into_bytes();
    bytes.extend(body);
    bytes
}

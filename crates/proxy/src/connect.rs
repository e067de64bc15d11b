//! Opens a connection to a server, in clear or by TLS, and hands it to hyper's HTTP/1.1 client: the only place that resolves names
//! and dials.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::client::TlsStream;

use crate::{lease::Connection, settings::Server, tls::Secure};

/// The longest answer head taken from an upstream, in bytes; the read buffer grows up to it. More is refused as invalid.
const MAX_HEAD: usize = 64 * 1024;

pub(crate) async fn open(server: &Server, secure: Option<&Secure>) -> io::Result<Connection> {
    let heard = Arc::new(AtomicBool::new(false));
    let line = Line {
        stream: dial(server, secure).await?,
        heard: Arc::clone(&heard),
    };
    let (send, driver) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(line))
        .await
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(async move {
        // What goes wrong here reaches the exchange through its own future or body; an idle connection's end is nobody's news.
        let _ = driver.with_upgrades().await;
    });
    Ok(Connection {
        send,
        driver,
        heard,
    })
}

/// A connection over which HTTP can be spoken, for health checks too.
pub(crate) async fn dial(server: &Server, secure: Option<&Secure>) -> io::Result<Transport> {
    let stream = match server {
        Server::Address(address) => TcpStream::connect(address).await?,
        Server::Name { host, port } => by_name(host, *port).await?,
    };
    // Nagle holds a small request or a streamed piece back for up to 40 ms.
    stream.set_nodelay(true)?;
    Ok(match secure {
        None => Transport::Plain(stream),
        Some(secure) => Transport::Tls(Box::new(secure.shake(stream, server).await?)),
    })
}

/// Tries each address the name stands for, in the resolver's order; the last error speaks for all.
async fn by_name(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

/// A connection in clear or by TLS.
pub(crate) enum Transport {
    Plain(TcpStream),
    /// Boxed: a session is a kilobyte, and most connections have none. A server that closes without close_notify gives an error here, so
    /// an answer that ends by closing cannot be cut short by somebody in between.
    Tls(Box<TlsStream<TcpStream>>),
}

/// One call for either kind.
macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Plain($stream) => $call,
            Transport::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// The connection, and whether the server has said anything since the flag was last cleared. hyper reports a connection that closed before
/// and one that closed within the answer's head alike, but only after the first may a request be sent again.
struct Line {
    stream: Transport,
    heard: Arc<AtomicBool>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.heard.store(true, Relaxed);
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

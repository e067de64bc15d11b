//! Opens a connection to a server, in clear or by TLS: the only place that resolves names and dials.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::client::TlsStream;

use crate::{
    error::NoHttp2,
    multiplex::{self, Peer, Turns},
    settings::Server,
    tls::Secure,
    watched::Body,
};

/// A connection for HTTP/1.1.
pub(crate) async fn open(
    server: &Server,
    secure: Option<&Secure>,
) -> io::Result<weir_h1::Connection<Transport>> {
    dial(server, secure).await.map(weir_h1::Connection::new)
}

/// The same for HTTP/2. Ready when the server has told its settings, so that nobody is sent to it before it is known how many streams it takes:
/// one round trip more on a new connection, against requests that are refused unseen or wait behind streams without end.
pub(crate) async fn open_shared(
    server: &Server,
    secure: Option<&Secure>,
) -> io::Result<(http2::SendRequest<Body>, Arc<Peer>)> {
    let stream = dial(server, secure).await?;
    let turns = Turns::default();
    let (send, mut driver) = multiplex::builder(turns.clone())
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let peer = Arc::<Peer>::default();
    poll_fn(|cx| {
        turns.register(cx.waker());
        match Pin::new(&mut driver).poll(cx) {
            Poll::Pending if peer.hear(&driver) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(unsettled(error))),
        }
    })
    .await?;
    let hears = Arc::clone(&peer);
    // Ends when nobody holds a sender any more.
    tokio::spawn(poll_fn(move |cx| {
        let polled = Pin::new(&mut driver).poll(cx);
        if polled.is_pending() {
            hears.hear(&driver);
        }
        polled.map(drop)
    }));
    Ok((send, peer))
}

/// What it means when a connection ends before the server's settings came: it broke, or something else than HTTP/2 is spoken there.
fn unsettled(error: hyper::Error) -> io::Error {
    let nonsense = std::error::Error::source(&error)
        .and_then(|error| error.downcast_ref::<h2::Error>())
        .is_some_and(|error| !error.is_io());
    if nonsense {
        NoHttp2.into()
    } else {
        io::Error::other(error)
    }
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
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(TcpStream),
    /// Boxed: a session is a kilobyte, and most connections have none. A server that closes without close_notify gives an error here, so
    /// an answer that ends by closing cannot be cut short by somebody in between.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Pending: nothing is there to be read, and the task is woken when something is. Ready may be wrong: a session of TLS is not asked.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(stream) => stream.poll_read_ready(cx).map(drop),
            Self::Tls(_) => Poll::Ready(()),
        }
    }
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

//! An upstream that does what the test says, byte by byte. A test takes each exchange in its own hands and so runs in lock-step
//! with weir, or gives a script that is run for every exchange. Every connection is watched from its first byte to its last,
//! and the time at which its peer left is kept: that time is what weir's promises about cancelling are measured by.

mod connection;
mod exchange;

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    clock::{eventually, within},
    head::Head,
};
use connection::Connection;
pub use connection::{Gone, How};
pub use exchange::{Exchange, chunk};

/// A listening upstream. It stops to accept when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    exchanges: mpsc::UnboundedReceiver<Exchange>,
    accepting: JoinHandle<()>,
}

/// What happened at an upstream so far.
#[derive(Debug, Default)]
struct Ledger {
    accepted: AtomicUsize,
    open: Arc<AtomicUsize>,
    requests: Mutex<Vec<Head>>,
    /// Connections that wait for a request.
    idle: AtomicUsize,
    /// Counts the calls of `close_idle`.
    closing: watch::Sender<usize>,
}

/// How a connection's exchanges are dealt with.
type Handler = Arc<dyn Fn(Exchange) + Send + Sync>;

impl Upstream {
    /// One whose exchanges the test takes, one by one, with `exchange`.
    pub async fn start() -> Self {
        let (sender, exchanges) = mpsc::unbounded_channel();
        // An upstream that the test has dropped answers nobody; the exchange is dropped and its connection closed.
        let handler = Arc::new(move |exchange| drop(sender.send(exchange)));
        Self::listen(handler, exchanges, None).await
    }

    /// As `start`, with a receive buffer so small that a body nobody reads soon stops its sender.
    pub async fn start_narrow() -> Self {
        let (sender, exchanges) = mpsc::unbounded_channel();
        let handler = Arc::new(move |exchange| drop(sender.send(exchange)));
        Self::listen(handler, exchanges, Some(4096)).await
    }

    /// One that runs `script` for every exchange. A script that does not hand its exchange back with `done` closes the connection.
    pub async fn scripted<F>(script: impl Fn(Exchange) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handler = Arc::new(move |exchange| drop(tokio::spawn(script(exchange))));
        Self::listen(handler, mpsc::unbounded_channel().1, None).await
    }

    /// One that answers every exchange with 200 and this text, and keeps its connections.
    pub async fn saying(text: &'static str) -> Self {
        Self::scripted(move |mut exchange| async move {
            exchange.body().await;
            exchange
                .answer("200 OK", &["content-type: text/plain"], text)
                .await;
            exchange.done();
        })
        .await
    }

    async fn listen(
        handler: Handler,
        exchanges: mpsc::UnboundedReceiver<Exchange>,
        receive_buffer: Option<u32>,
    ) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(([127, 0, 0, 1], 0).into())
            .expect("a free port");
        if let Some(size) = receive_buffer {
            // Accepted connections inherit it.
            socket
                .set_recv_buffer_size(size)
                .expect("a settable buffer");
        }
        // The usual 128 would drop what a thousand clients open at once, and the kernel would try again only a second later.
        let listener = socket.listen(4096).expect("a bound socket");
        let address = listener.local_addr().expect("a bound socket");
        let ledger = Arc::new(Ledger::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&ledger), handler));
        Self {
            address,
            ledger,
            exchanges,
            accepting,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next exchange, once its request's head has come.
    ///
    /// # Panics
    /// When none comes, or when this upstream is scripted.
    pub async fn exchange(&mut self) -> Exchange {
        within("a request at the upstream", self.exchanges.recv())
            .await
            .expect("an upstream whose exchanges the test takes")
    }

    /// An exchange whose head has already come, if there is one.
    pub fn pending(&mut self) -> Option<Exchange> {
        self.exchanges.try_recv().ok()
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.ledger.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.ledger.open.load(Ordering::SeqCst)
    }

    /// Closes every connection on which no exchange is, as a server does whose keep-alive time is over, once there is one.
    pub async fn close_idle(&self) {
        let idle = eventually("an idle connection", async || {
            Some(self.ledger.idle.load(Ordering::SeqCst)).filter(|idle| *idle > 0)
        })
        .await;
        let open = self.open();
        self.ledger.closing.send_modify(|calls| *calls += 1);
        eventually("the idle connections to close", async || {
            (self.open() + idle <= open).then_some(())
        })
        .await;
    }

    /// The heads of all requests so far.
    ///
    /// # Panics
    /// Never: a poisoned list is a list all the same.
    #[must_use]
    pub fn requests(&self) -> Vec<Head> {
        self.ledger
            .requests
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, ledger: Arc<Ledger>, handler: Handler) {
    while let Ok((stream, _)) = listener.accept().await {
        let number = ledger.accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(
            stream,
            number,
            Arc::clone(&ledger),
            Arc::clone(&handler),
        ));
    }
}

/// One connection: a request, its exchange, and the next request if the exchange gave the connection back.
async fn serve(stream: TcpStream, number: usize, ledger: Arc<Ledger>, handler: Handler) {
    let mut connection = Connection::new(stream, number, Arc::clone(&ledger.open));
    loop {
        let mut closing = ledger.closing.subscribe();
        ledger.idle.fetch_add(1, Ordering::SeqCst);
        let head = tokio::select! {
            head = connection.head() => head,
            _ = closing.changed() => None,
        };
        ledger.idle.fetch_sub(1, Ordering::SeqCst);
        let Some(head) = head else {
            return connection.close(How::Closed).await;
        };
        ledger
            .requests
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(head.clone());
        let (back, returned) = oneshot::channel();
        handler(Exchange::new(head, connection, back));
        let Ok(given_back) = returned.await else {
            return;
        };
        connection = given_back;
    }
}

/// An address at which connections are refused for as long as this lives.
#[derive(Debug)]
pub struct Nobody {
    /// Bound and never listening: so no other test can be given the port.
    _socket: socket2::Socket,
    address: SocketAddr,
}

impl Nobody {
    /// Takes a free port.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn here() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .expect("a free port");
        let address = socket
            .local_addr()
            .expect("a bound socket")
            .as_socket()
            .expect("an IP address");
        Self {
            _socket: socket,
            address,
        }
    }

    /// Where nobody listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

//! The listening sockets: bound all together or not at all, one per worker and address, let go without losing whoever waits in their queue.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{net::TcpListener, sync::watch};
use weir_config::plan::Listener;

use crate::{client, shared::Shared};

/// Connections that may wait to be accepted, per socket. The kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Which `[[listen]]` a socket belongs to: by address, and among those of one address (a port 0 may stand there twice) by number. It
/// stays the same over reloads that keep the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    /// As the file says it.
    pub(crate) address: SocketAddr,
    /// How many tables before it have the same address.
    pub(crate) nth: usize,
}

impl Id {
    /// Its table in a plan, if it is there.
    pub(crate) fn of(self, listeners: &[Listener]) -> Option<&Listener> {
        listeners
            .iter()
            .filter(|listener| listener.address == self.address)
            .nth(self.nth)
    }

    /// Of each listener of a plan.
    pub(crate) fn all(listeners: &[Listener]) -> Vec<Self> {
        let before = |index: usize, address| {
            listeners[..index]
                .iter()
                .filter(|other| other.address == address)
                .count()
        };
        listeners
            .iter()
            .enumerate()
            .map(|(index, &Listener { address, .. })| Self {
                address,
                nth: before(index, address),
            })
            .collect()
    }
}

/// How long a socket that closes still takes connections whose handshake had begun.
const LATE: Duration = Duration::from_millis(250);

/// An address in service: dropping it closes its sockets on every worker.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The table in the file.
    pub(crate) asked: Id,
    /// As bound; differs in the port where the file says 0.
    pub(crate) bound: SocketAddr,
    /// Its drop is what the accept loops wait for.
    open: watch::Sender<()>,
}

/// One worker's share of an address.
#[derive(Debug)]
pub(crate) struct Share {
    id: Id,
    socket: StdListener,
    open: watch::Receiver<()>,
}

/// Binds an address once per worker.
pub(crate) fn bind(id: Id, workers: usize) -> io::Result<(Listening, Vec<Share>)> {
    // With SO_REUSEPORT a second weir on the same port would be no error but half the connections: ask first, without it.
    let probe = socket(id.address, false)?;
    let bound = probe
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("not an internet address"))?;
    drop(probe);
    let (open, closed) = watch::channel(());
    let sockets = spread(bound, workers)?;
    let shares = sockets
        .into_iter()
        .map(|socket| Share {
            id,
            socket,
            open: closed.clone(),
        })
        .collect();
    Ok((
        Listening {
            asked: id,
            bound,
            open,
        },
        shares,
    ))
}

/// One socket per worker, so that the kernel deals connections out and no worker waits for another's lock.
#[cfg(unix)]
fn spread(address: SocketAddr, workers: usize) -> io::Result<Vec<StdListener>> {
    (0..workers)
        .map(|_| listening(socket(address, true)?))
        .collect()
}

/// Where SO_REUSEPORT is missing the workers share one socket, and whoever is free accepts.
#[cfg(not(unix))]
fn spread(address: SocketAddr, workers: usize) -> io::Result<Vec<StdListener>> {
    let first = listening(socket(address, false)?)?;
    (1..workers)
        .map(|_| first.try_clone())
        .chain([Ok(first.try_clone()?)])
        .collect()
}

fn socket(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    #[cfg(unix)]
    {
        // A restart must not wait for the connections of the life before; on Windows the option means something else.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
    }
    #[cfg(not(unix))]
    let _ = reuse_port;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listening(socket: Socket) -> io::Result<StdListener> {
    // Nagle would hold an event back until the one before is acknowledged, up to 40 ms. Said here once: what is accepted inherits it.
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Listening {
    /// Stops accepting on it. Every worker empties its queue first, because closing a socket resets what waits there; the future
    /// resolves when all have done so.
    pub(crate) fn close(self) -> impl Future<Output = ()> {
        self.open.send_replace(());
        async move { self.open.closed().await }
    }
}

/// Accepts on one share until its address is let go. Runs on the worker.
pub(crate) async fn accept(share: Share, shared: Arc<Shared>) {
    let (id, mut open) = (share.id, share.open);
    let listener = match TcpListener::from_std(share.socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listening socket could not be used"),
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = open.changed() => break,
        };
        match accepted {
            // Boxed, because a task's future is moved nine times on its way into the task and out of it, and this one is large.
            Ok((stream, peer)) => drop(tokio::spawn(Box::pin(client::serve(
                stream,
                peer,
                id,
                Arc::clone(&shared),
            )))),
            Err(error) => breathe(&shared, &error).await,
        }
    }
    refuse_more(&listener);
    // Nothing new can come, but handshakes that had begun end within a round trip or two.
    let end = tokio::time::Instant::now() + LATE;
    while let Ok(accepted) = tokio::time::timeout_at(end, listener.accept()).await {
        if let Ok((stream, peer)) = accepted {
            tokio::spawn(client::serve(stream, peer, id, Arc::clone(&shared)));
        }
    }
}

/// Drops whatever knocks from now on, and still takes whoever is in the door. Who knocked in vain knocks again a second later, and
/// finds the door closed or another weir behind it.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn refuse_more(listener: &TcpListener) {
    use socket2::SockFilter;
    // Classic BPF on the TCP header: the byte of the flags; a SYN in it, and no byte of the packet passes.
    let no_syn = [
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x45, 0, 1, 0x02),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    if let Err(error) = socket2::SockRef::from(listener).attach_filter(&no_syn) {
        tracing::debug!(%error, "a closing socket may reset whoever connects now");
    }
}

/// Elsewhere whoever connects in this moment is reset.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn refuse_more(_: &TcpListener) {}

/// A failed accept is the peer's (gone again already) or a lack of descriptors. Trying again at once would spin in the second case.
async fn breathe(shared: &Shared, error: &io::Error) {
    shared.meter.connection_error("accept");
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        tracing::warn!(%error, "accept failed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

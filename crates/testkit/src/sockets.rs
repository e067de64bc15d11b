//! What a test does to a socket beside reading and writing: closing it with a reset, letting the last bytes and the FIN leave
//! in one segment, and asking the kernel what it holds. The questions are answered from `/proc`, so on Linux only.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpStream;

/// Makes the close that follows a reset: what was not sent is thrown away and the peer gets RST instead of FIN.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // An error means that the peer has already gone, and then there is nobody to reset.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Holds back what is written until the connection closes, so that it leaves in the FIN's own segment.
pub(crate) fn hold_back(stream: &TcpStream) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_cork(true)?;
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
    Ok(())
}

/// A port that nobody listens on just now, for programs that cannot say which one they were given. Not one of those that the system deals
/// out by itself (on Linux from 32768): a test that opens thousands of connections beside would have taken it by the time it is wanted. The
/// port 10,000 above it is none of those either: a Redis cluster wants that too.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u16> = 12_000..22_000;
    // Tests run side by side as processes: each begins to look somewhere else.
    let seed = RandomState::new().hash_one(std::process::id());
    let start = u16::try_from(seed % u64::from(PORTS.end - PORTS.start)).expect("in the range");
    (PORTS.start + start..PORTS.end)
        .chain(PORTS)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// A connection from this address, one of this machine's. It blocks.
///
/// # Errors
/// What the socket says.
pub fn connect_from(from: SocketAddr, to: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// A client's side of a connection, as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Bytes that we wrote and that the peer's kernel has not yet taken.
    pub unsent: u64,
    /// Bytes that the peer's kernel took and its program has not read.
    pub unread: u64,
}

/// What the two kernels' ends of the connection between `ours` and `theirs` hold; `None` when it is no longer there.
#[must_use]
pub fn held(ours: SocketAddr, theirs: SocketAddr) -> Option<Held> {
    // A busy machine has thousands of sockets here, most of them waiting out their time: only what names our port is looked into.
    let port = format!(":{:04X} ", ours.port());
    let text = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let sockets: Vec<_> = text
        .lines()
        .filter(|line| line.contains(&port))
        .filter_map(parse)
        .collect();
    let unsent = sockets.iter().find(|socket| socket.is(ours, theirs))?.tx;
    let unread = sockets.iter().find(|socket| socket.is(theirs, ours))?.rx;
    Some(Held { unsent, unread })
}

/// How many file descriptors a process has open.
///
/// # Panics
/// Where there is no `/proc/PID/fd`.
#[must_use]
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("a process with /proc/PID/fd")
        .count()
}

/// How many bytes of memory a process holds: the resident set.
///
/// # Panics
/// Where there is no `/proc/PID/status`.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).expect("a process with /proc/PID/status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("a VmRSS line");
    let kilobytes: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number of kB");
    kilobytes * 1024
}

struct Seen {
    local: u16,
    remote: u16,
    tx: u64,
    rx: u64,
}

impl Seen {
    fn is(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        // Everything here is on loopback, where a pair of ports names a connection.
        self.local == local.port() && self.remote == remote.port()
    }
}

/// A line of `/proc/net/tcp` as far as it matters here (proc_net_tcp(5): hexadecimal `address:port` twice, state, `tx_queue:rx_queue`).
fn parse(line: &str) -> Option<Seen> {
    let mut fields = line.split_whitespace().skip(1);
    let mut port = || u16::from_str_radix(fields.next()?.split_once(':')?.1, 16).ok();
    let (local, remote) = (port()?, port()?);
    let (tx, rx) = fields.nth(1)?.split_once(':')?;
    Some(Seen {
        local,
        remote,
        tx: u64::from_str_radix(tx, 16).ok()?,
        rx: u64::from_str_radix(rx, 16).ok()?,
    })
}

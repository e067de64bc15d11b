//! The attacks: many connections that cost the attacker next to nothing. Each is bounded in number and ends with its run. A connection
//! that weir closes is counted and opened again after a second, as an attacker would.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::spawn_local,
    time::sleep,
};

use super::super::place;

/// An attack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    kinds: &'static [(Kind, usize)],
    /// Connections, of those that the attack would have.
    scale: f64,
    /// What the gateway's memory may grow by.
    pub(super) bound_mib: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Connects and says nothing.
    Silent,
    /// A head that never ends, a byte each ten seconds.
    HalfHead,
    /// A body that comes at a byte a second.
    SlowBody,
    /// A TLS ClientHello that comes at a byte a second.
    SlowHello,
    /// HTTP/2: heads that are small on the wire and large when unpacked, 200 on each connection.
    Bomb,
    /// HTTP/2: 200 answers asked for and a window of nothing.
    NoWindow,
    /// An answer of 100 MB, read at 1 KB a second.
    SlowReader,
}

impl Attack {
    /// All of them, with as many connections as so many descriptors allow.
    pub(super) fn all(descriptors: usize) -> [Self; 3] {
        let all = [
            Self {
                name: "slow-heads",
                kinds: &[
                    (Kind::Silent, 5000),
                    (Kind::HalfHead, 5000),
                    (Kind::SlowBody, 100),
                    (Kind::SlowHello, 100),
                ],
                scale: 1.0,
                bound_mib: 256.0,
            },
            Self {
                name: "h2-bomb",
                kinds: &[(Kind::Bomb, 20), (Kind::NoWindow, 20)],
                scale: 1.0,
                bound_mib: 64.0,
            },
            Self {
                name: "slow-readers",
                kinds: &[(Kind::SlowReader, 200)],
                scale: 1.0,
                bound_mib: 128.0,
            },
        ];
        all.map(|attack| attack.within(descriptors))
    }

    /// weir keeps a quarter of its descriptors back, and healthy clients need some.
    fn within(self, descriptors: usize) -> Self {
        let wanted: usize = self.kinds.iter().map(|(_, count)| count).sum();
        let most = (descriptors * 3 / 4).saturating_sub(500);
        if wanted <= most {
            return self;
        }
        let scale = most as f64 / wanted as f64;
        eprintln!(
            "SCALED DOWN: {} to {:.0} % of its connections, {descriptors} descriptors allow no more",
            self.name,
            scale * 100.0
        );
        Self { scale, ..self }
    }

    /// What it does, with its numbers.
    pub(super) fn title(&self) -> String {
        let kinds: Vec<String> = self
            .kinds
            .iter()
            .map(|&(kind, count)| format!("{} {}", self.scaled(count), kind.words()))
            .collect();
        kinds.join(", ")
    }

    fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(1)
    }
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Silent => "silent connections",
            Self::HalfHead => "heads that never end",
            Self::SlowBody => "bodies at 1 B/s",
            Self::SlowHello => "TLS hellos at 1 B/s",
            Self::Bomb => "HTTP/2 connections of header bombs",
            Self::NoWindow => "with 200 answers each and no window",
            Self::SlowReader => "readers of 100 MB at 1 KB/s",
        }
    }
}

/// Attacks until the channel closes. `open` counts connections at their most, `closed` those that weir ended.
pub(super) fn run(
    attack: Attack,
    plain: SocketAddr,
    tls: Option<SocketAddr>,
    core: Option<usize>,
    open: &Arc<AtomicUsize>,
    closed: &Arc<AtomicUsize>,
    stop: &mpsc::Receiver<()>,
) {
    place::pin(core);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        for &(kind, count) in attack.kinds {
            let address = if kind == Kind::SlowHello {
                tls.unwrap_or(plain)
            } else {
                plain
            };
            for number in 0..attack.scaled(count) {
                let (open, closed) = (open.clone(), closed.clone());
                spawn_local(async move {
                    loop {
                        if let Ok(socket) = TcpStream::connect(address).await {
                            open.fetch_add(1, Relaxed);
                            let _ = attacker(kind, socket).await;
                            open.fetch_sub(1, Relaxed);
                            closed.fetch_add(1, Relaxed);
                        }
                        sleep(Duration::from_secs(1)).await;
                    }
                });
                // 2,000 new connections a second: the attack is what they do, not how they come.
                if number % 20 == 19 {
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
        while matches!(stop.try_recv(), Err(mpsc::TryRecvError::Empty)) {
            sleep(Duration::from_millis(50)).await;
        }
    });
}

async fn attacker(kind: Kind, mut socket: TcpStream) -> io::Result<()> {
    match kind {
        Kind::Silent => ignore(&mut socket).await,
        Kind::HalfHead => {
            socket
                .write_all(b"GET /tiny HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
                .await?;
            drip(&mut socket, b"a", Duration::from_secs(10)).await
        }
        Kind::SlowBody => {
            socket
                .write_all(
                    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
                )
                .await?;
            drip(&mut socket, b"a", Duration::from_secs(1)).await
        }
        Kind::SlowHello => {
            // A handshake record of 512 bytes that announces a ClientHello.
            socket
                .write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])
                .await?;
            drip(&mut socket, b"\0", Duration::from_secs(1)).await
        }
        Kind::Bomb => {
            socket.write_all(&opening(65_535)).await?;
            for stream in 0..200 {
                socket.write_all(&bomb(stream * 2 + 1)).await?;
                sleep(Duration::from_millis(20)).await;
            }
            ignore(&mut socket).await
        }
        Kind::NoWindow => {
            let mut out = opening(0);
            for stream in 0..200 {
                out.extend(frame(1, 5, stream * 2 + 1, &head(b"/download?1000000")));
            }
            socket.write_all(&out).await?;
            ignore(&mut socket).await
        }
        Kind::SlowReader => {
            socket
                .write_all(b"GET /download?100000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await?;
            let mut block = [0; 1024];
            while socket.read(&mut block).await? > 0 {
                sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        }
    }
}

/// Reads until weir closes.
async fn ignore(socket: &mut TcpStream) -> io::Result<()> {
    let mut block = [0; 1024];
    while socket.read(&mut block).await? > 0 {}
    Ok(())
}

/// Writes a byte now and then until weir closes.
async fn drip(socket: &mut TcpStream, byte: &[u8], every: Duration) -> io::Result<()> {
    let mut block = [0; 1024];
    loop {
        tokio::select! {
            read = socket.read(&mut block) => if read? == 0 { return Ok(()) },
            () = sleep(every) => socket.write_all(byte).await?,
        }
    }
}

/// The preface and SETTINGS with this initial window.
fn opening(window: u32) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut settings = vec![0, 4];
    settings.extend(window.to_be_bytes());
    out.extend(frame(4, 0, 0, &settings));
    out
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short frame")
        .to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A GET in HPACK that leaves the dynamic table empty.
fn head(path: &[u8]) -> Vec<u8> {
    // :method GET, :scheme http, then :path and :authority as literals without indexing.
    let mut block = vec![
        0x82,
        0x86,
        0x04,
        u8::try_from(path.len()).expect("a short path"),
    ];
    block.extend(path);
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    block
}

/// A head of 16 KB that names one entry of the dynamic table 16,000 times.
fn bomb(stream: u32) -> Vec<u8> {
    let mut block = head(b"/tiny");
    block.extend([0x40, 1, b'a', 0]);
    block.resize(block.len() + 16_000, 0xbe);
    frame(1, 5, stream, &block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_leave_room_for_healthy_clients() {
        for descriptors in [1024, 4096, 20_000, 1_000_000] {
            for attack in Attack::all(descriptors) {
                let all: usize = attack
                    .kinds
                    .iter()
                    .map(|&(_, count)| attack.scaled(count))
                    .sum();
                assert!(all < descriptors * 3 / 4, "{descriptors}: {all}");
            }
        }
        assert!(Attack::all(20_000).iter().all(|attack| attack.scale >= 1.0));
    }

    #[test]
    fn a_frame_says_its_length_and_stream() {
        let frame = bomb(5);
        assert_eq!(
            u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize,
            frame.len() - 9
        );
        assert!(frame.len() - 9 <= 16_384, "within the default maximum");
        assert_eq!(&frame[3..9], &[1, 5, 0, 0, 0, 5]);
    }
}

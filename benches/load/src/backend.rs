//! What stands behind every gateway: an HTTP/1.1 server on one thread that does as little as its answers need, so that the gateway is what
//! is measured. The last segment of the path says what is wanted: `tiny`, `echo`, `download`, `upload`, `stream`, `idle`,
//! `turns`.

use std::{net::SocketAddr, sync::mpsc, thread, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use crate::{event, head::Head, place};

/// A backend that serves as long as the process lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    /// Its thread, for its share of a core.
    pub(crate) thread: i32,
}

const TINY: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n{\"status\":\"ok\",\"n\":1234567}";
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
    cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
/// Large enough that a write costs little, small enough to stay in the cache.
const BLOCK: usize = 256 * 1024;

/// What `turns` waits for before each event behind the first: a permit from who has read the one before.
pub(crate) static TURN: Semaphore = Semaphore::const_new(0);

/// Starts it on its core.
pub(crate) fn start(core: Option<usize>) -> Result<Backend> {
    let (tell, told) = mpsc::channel();
    thread::Builder::new()
        .name("backend".into())
        .spawn(move || {
            place::pin(core);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(place::local(0)).await;
                let address = listener.as_ref().ok().and_then(|l| l.local_addr().ok());
                let _ = tell.send(address.map(|address| (address, place::this_thread())));
                let Ok(listener) = listener else { return };
                loop {
                    // Out of descriptors: the ones that are open will close.
                    let Ok((socket, _)) = listener.accept().await else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    tokio::spawn(async move {
                        let _ = socket.set_nodelay(true);
                        // A client or gateway that leaves is the end of the connection and nothing else.
                        let _ = serve(socket).await;
                    });
                }
            });
        })?;
    let (address, thread) = told
        .recv()
        .ok()
        .flatten()
        .context("the backend cannot listen")?;
    Ok(Backend { address, thread })
}

async fn serve(mut socket: TcpStream) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let head = loop {
            if let Some(head) = Head::of_request(&buffer) {
                break head;
            }
            if socket.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let (what, query) = asked(&buffer[..head.length]);
        match what {
            b"download" => {
                let bytes = number(query);
                take(&mut socket, &mut buffer, head.length, head.body).await?;
                download(&mut socket, bytes).await?;
            }
            b"stream" => {
                let every = Duration::from_millis(number(query));
                return stream(socket, every).await;
            }
            b"idle" => return stream(socket, Duration::MAX).await,
            b"turns" => return turns(socket).await,
            b"echo" => {
                let body = whole(&mut socket, &mut buffer, &head).await?;
                let mut answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                )
                .into_bytes();
                answer.extend(body);
                socket.write_all(&answer).await?;
            }
            _ => {
                take(&mut socket, &mut buffer, head.length, head.body).await?;
                socket.write_all(TINY).await?;
            }
        }
    }
}

/// The last segment of the path, and the query.
fn asked(head: &[u8]) -> (&[u8], &[u8]) {
    let target = head.split(|&b| b == b' ').nth(1).unwrap_or_default();
    let mut parts = target.splitn(2, |&b| b == b'?');
    let path = parts.next().unwrap_or_default();
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    // The segment is copied into no string: it is compared with a few words.
    (last, parts.next().unwrap_or_default())
}

fn number(query: &[u8]) -> u64 {
    std::str::from_utf8(query)
        .ok()
        .and_then(|q| q.parse().ok())
        .unwrap_or(0)
}

/// The body of a request, removed from the buffer together with its head.
async fn whole(
    socket: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: &Head,
) -> std::io::Result<Vec<u8>> {
    let end = head.length + usize::try_from(head.body).unwrap_or(usize::MAX);
    while buffer.len() < end {
        if socket.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let rest = buffer.split_off(end);
    let mut request = std::mem::replace(buffer, rest);
    Ok(request.split_off(head.length))
}

/// Reads a body and forgets it.
async fn take(
    socket: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: usize,
    body: u64,
) -> std::io::Result<()> {
    let here = (buffer.len() - head).min(usize::try_from(body).unwrap_or(usize::MAX));
    buffer.drain(..head + here);
    let mut left = body - here as u64;
    if left == 0 {
        return Ok(());
    }
    let mut block = vec![0; BLOCK];
    while left > 0 {
        let most = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = socket.read(&mut block[..most]).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        left -= read as u64;
    }
    Ok(())
}

async fn download(socket: &mut TcpStream, bytes: u64) -> std::io::Result<()> {
    thread_local!(static ZEROS: &'static [u8] = Box::leak(vec![b'x'; BLOCK].into_boxed_slice()));
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {bytes}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    let block = ZEROS.with(|zeros| *zeros);
    let mut left = bytes;
    while left > 0 {
        let now = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        socket.write_all(&block[..now]).await?;
        left -= now as u64;
    }
    Ok(())
}

/// An event at once, then one each time, stamped when it is written; until somebody closes. `MAX` is silence after the first.
async fn stream(mut socket: TcpStream, every: Duration) -> std::io::Result<()> {
    let mut out = STREAM.to_vec();
    event::first(&mut out);
    socket.write_all(&out).await?;
    let mut next = Instant::now();
    let mut number = 0;
    let mut ignored = [0; 64];
    loop {
        next += every.min(Duration::from_secs(3600));
        tokio::select! {
            () = sleep_until(next) => {}
            read = socket.read(&mut ignored) => if read? == 0 { return Ok(()) } else { continue },
        }
        out.clear();
        number += 1;
        event::write(&mut out, number);
        socket.write_all(&out).await?;
    }
}

/// An event at once, then one for each permit: however slow the reader is, no two of them come together.
async fn turns(mut socket: TcpStream) -> std::io::Result<()> {
    let mut out = STREAM.to_vec();
    event::first(&mut out);
    socket.write_all(&out).await?;
    let mut number = 0;
    let mut ignored = [0; 64];
    loop {
        tokio::select! {
            permit = TURN.acquire() => permit.map_err(std::io::Error::other)?.forget(),
            read = socket.read(&mut ignored) => if read? == 0 { return Ok(()) } else { continue },
        }
        out.clear();
        number += 1;
        event::write(&mut out, number);
        socket.write_all(&out).await?;
    }
}

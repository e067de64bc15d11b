//! A client that carries large bodies one after the other. Bytes count when they pass, so that a window may end in the middle of one.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

use super::{
    Client,
    link::{self, Dial, Io},
};
use crate::{head::Head, workloads::Action};

const BLOCK: usize = 256 * 1024;

pub(super) async fn run(client: Client) {
    let over = client.course.over.notified();
    tokio::select! {
        () = over => {}
        _ = carry(&client) => client.failed(),
    }
}

async fn carry(client: &Client) -> io::Result<()> {
    let dial = Dial::new(client)?;
    let mut link = dial.connect(client).await?;
    let request = link::request(client);
    let mut block = vec![b'x'; BLOCK];
    loop {
        link.write_all(&request).await?;
        if let Action::Upload(bytes) = client.workload.action {
            send(client, &mut *link, bytes, &block).await?;
        }
        receive(client, &mut *link, &mut block).await?;
        client.ready();
    }
}

fn passed(client: &Client, bytes: usize) {
    // The first body makes the client ready, which with 64 MiB may take a while: half a mebibyte is answer enough.
    client.ready();
    if client.course.counts(Instant::now()) {
        client.tally.borrow_mut().done += bytes as u64;
    }
}

async fn send(client: &Client, link: &mut dyn Io, bytes: u64, block: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let now = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        link.write_all(&block[..now]).await?;
        passed(client, now);
        left -= now as u64;
    }
    Ok(())
}

async fn receive(client: &Client, link: &mut dyn Io, block: &mut [u8]) -> io::Result<()> {
    let upload = matches!(client.workload.action, Action::Upload(_));
    let mut begin = Vec::with_capacity(4096);
    let head = loop {
        if link.read_buf(&mut begin).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(head) = Head::of_answer(&begin) {
            break head;
        }
    };
    if head.status != 200 {
        return Err(io::Error::other(format!("status {}", head.status)));
    }
    let mut left = head.body.saturating_sub((begin.len() - head.length) as u64);
    while left > 0 {
        let read = link.read(block).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !upload {
            passed(client, read);
        }
        left = left.saturating_sub(read as u64);
    }
    Ok(())
}

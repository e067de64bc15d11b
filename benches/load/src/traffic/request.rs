//! A client that sends small requests one after the other, at its pace or as fast as they are answered.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Client,
    link::{self, Dial, Io},
};
use crate::{
    head::{Head, chunked_end},
    workloads::Carrier,
};

pub(super) async fn run(client: Client) {
    let Ok(dial) = Dial::new(&client) else {
        return client.failed();
    };
    let request = link::request(&client);
    let once = matches!(
        client.workload.carrier,
        Carrier::PlainOnce | Carrier::TlsOnce { .. }
    );
    let mut kept: Option<Box<dyn Io>> = None;
    let mut next = Instant::now() + client.offset;
    loop {
        if let Some(interval) = client.interval {
            sleep_until(next).await;
            // One that is late does not make up for it in a burst: the rate that was reached is shown.
            next = (next + interval).max(Instant::now());
        }
        let began = Instant::now();
        if client.course.is_over(began) {
            return;
        }
        let answered = exchange(&client, &dial, &mut kept, &request).await;
        let ended = Instant::now();
        if once || answered.is_err() {
            kept = None;
        }
        match answered {
            Ok(()) => {
                client.ready();
                if client.course.counts(began) {
                    let mut tally = client.tally.borrow_mut();
                    tally.done += 1;
                    tally.latency.record(ended - began);
                }
            }
            Err(_) => {
                if client.course.counts(began) {
                    client.failed();
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn exchange(
    client: &Client,
    dial: &Dial,
    kept: &mut Option<Box<dyn Io>>,
    request: &[u8],
) -> io::Result<()> {
    if kept.is_none() {
        *kept = Some(dial.connect(client).await?);
    }
    let Some(link) = kept else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    link.write_all(request).await?;
    let mut buffer = Vec::with_capacity(4096);
    loop {
        if link.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = Head::of_answer(&buffer) else {
            continue;
        };
        // Each of our answers has a body: one without it is a gateway's own.
        if head.status != 200 || (head.body == 0 && !head.chunked) {
            return Err(io::Error::other(format!("status {}", head.status)));
        }
        let body = &buffer[head.length..];
        let whole = if head.chunked {
            chunked_end(body).is_some()
        } else {
            body.len() as u64 >= head.body
        };
        if whole {
            return Ok(());
        }
    }
}

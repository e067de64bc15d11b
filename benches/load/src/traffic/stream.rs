//! A client that opens one event stream and reads it until it is told that the window is over.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

use super::{
    Client,
    link::{self, Dial},
};
use crate::{event, head::Head};

pub(super) async fn run(client: Client) {
    let over = client.course.over.notified();
    tokio::select! {
        () = over => {}
        // It ends only by a failure: the backend's streams do not end.
        _ = read(&client) => client.failed(),
    }
}

async fn read(client: &Client) -> io::Result<()> {
    let dial = Dial::new(client)?;
    let mut permit = client.target.door.acquire().await.ok();
    let began = Instant::now();
    let mut link = dial.connect(client).await?;
    link.write_all(&link::request(client)).await?;
    let mut buffer = Vec::with_capacity(1024);
    let head = loop {
        if let Some(head) = Head::of_answer(&buffer) {
            break head;
        }
        if link.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    if head.status != 200 {
        return Err(io::Error::other(format!("status {}", head.status)));
    }
    buffer.drain(..head.length);
    let mut arrivals = Arrivals::new(began);
    loop {
        arrivals.take(client, &mut buffer);
        if arrivals.any() {
            permit = None;
        }
        if link.read_buf(&mut buffer).await? == 0 {
            drop(permit);
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Counts the events of one stream, in order.
#[derive(Debug)]
pub(super) struct Arrivals {
    began: Instant,
    expected: u64,
}

impl Arrivals {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, expected: 0 }
    }

    pub(super) fn any(&self) -> bool {
        self.expected > 0
    }

    pub(super) fn take(&mut self, client: &Client, buffer: &mut Vec<u8>) {
        let now = Instant::now();
        let clock = event::now();
        let mut tally = client.tally.borrow_mut();
        let counts = client.course.counts(now);
        event::take(buffer, |event| {
            if self.expected == 0 {
                tally.first.record(now - self.began);
                client.ready();
            }
            tally.lost += event.number.saturating_sub(self.expected);
            self.expected = event.number + 1;
            if counts {
                tally.done += 1;
                let delay = clock.saturating_sub(event.sent);
                tally.latency.record(std::time::Duration::from_nanos(delay));
            }
        });
    }
}

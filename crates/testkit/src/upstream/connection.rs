//! One accepted connection. A task of its own reads it all the time, also while a script is busy or silent, so that the moment
//! in which the peer leaves is known to the millisecond; a test can make it stop reading, to let bytes pile up.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{net::TcpStream, sync::watch, task::JoinHandle};

use crate::{clock::within, head::Head, sockets};

/// When and how a peer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// When the upstream saw it.
    pub at: Instant,
    /// How.
    pub how: How,
}

/// How a peer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With FIN.
    Closed,
    /// With RST.
    Reset,
}

#[derive(Debug)]
pub(super) struct Connection {
    wire: Arc<Wire>,
    reader: JoinHandle<()>,
    /// Which of the upstream's connections this is, from 0.
    pub(super) number: usize,
}

#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    inbox: watch::Sender<Inbox>,
    reading: watch::Sender<bool>,
    open: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Inbox {
    /// Read and not yet taken.
    bytes: Vec<u8>,
    gone: Option<Gone>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, number: usize, open: Arc<AtomicUsize>) -> Self {
        // Each write of a script is to be a segment of its own.
        let _ = stream.set_nodelay(true);
        open.fetch_add(1, Ordering::SeqCst);
        let wire = Arc::new(Wire {
            stream,
            inbox: watch::Sender::default(),
            reading: watch::Sender::new(true),
            open,
        });
        let reader = tokio::spawn(read(Arc::clone(&wire)));
        Self {
            wire,
            reader,
            number,
        }
    }

    /// The next request's head; `None` when the peer left instead.
    pub(super) async fn head(&self) -> Option<Head> {
        self.take(Head::take).await
    }

    /// Waits until `take` finds in what was read what it looks for; `None` when the peer left before.
    pub(super) async fn take<T>(
        &self,
        mut take: impl FnMut(&mut Vec<u8>) -> Option<T>,
    ) -> Option<T> {
        let mut news = self.wire.inbox.subscribe();
        loop {
            let (mut found, mut gone) = (None, false);
            self.wire.inbox.send_if_modified(|inbox| {
                found = take(&mut inbox.bytes);
                gone = inbox.gone.is_some();
                false
            });
            if found.is_some() || gone {
                return found;
            }
            news.changed().await.ok()?;
        }
    }

    /// Waits until the peer leaves.
    pub(super) async fn gone(&self) -> Gone {
        let mut news = self.wire.inbox.subscribe();
        let inbox = within(
            "weir to leave the upstream",
            news.wait_for(|inbox| inbox.gone.is_some()),
        )
        .await;
        inbox
            .ok()
            .and_then(|inbox| inbox.gone)
            .expect("a connection that ended")
    }

    /// Whether the peer has left already.
    pub(super) fn left(&self) -> Option<Gone> {
        self.wire.inbox.borrow().gone
    }

    pub(super) fn read(&self, on: bool) {
        self.wire.reading.send_replace(on);
    }

    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.wire.stream.writable().await?;
            match self.wire.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn hold_back(&self) {
        sockets::hold_back(&self.wire.stream).expect("a live socket");
    }

    /// Closes, with RST if so asked. When this returns the socket is closed.
    pub(super) async fn close(mut self, how: How) {
        if how == How::Reset {
            sockets::reset_on_close(&self.wire.stream);
        }
        self.reader.abort();
        let _ = (&mut self.reader).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn read(wire: Arc<Wire>) {
    let mut reading = wire.reading.subscribe();
    let mut piece = [0; 64 * 1024];
    let how = loop {
        if reading.wait_for(|on| *on).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            // Asked to stop, or the socket has something.
            _ = reading.changed() => continue,
            ready = wire.stream.readable() => if ready.is_err() { break How::Reset },
        }
        match wire.stream.try_read(&mut piece) {
            Ok(0) => break How::Closed,
            Ok(read) => wire
                .inbox
                .send_modify(|inbox| inbox.bytes.extend_from_slice(&piece[..read])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break How::Reset,
        }
    };
    let at = Instant::now();
    wire.inbox
        .send_modify(|inbox| inbox.gone = Some(Gone { at, how }));
}

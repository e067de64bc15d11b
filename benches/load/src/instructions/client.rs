//! The client of a count: one connection, and on it one thing after the other, so that no two of them are ever under way or come together.

use std::{
    io::{Error, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Result, ensure};

use crate::{
    backend, event,
    head::{Head, chunked_end},
};

/// What is asked for, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    /// With 2 KiB.
    Post,
    /// Of one stream, each sent when the one before it was read.
    Event,
}

#[derive(Debug)]
pub(super) struct Client {
    socket: TcpStream,
    kind: Kind,
    request: Vec<u8>,
    /// What was read and not yet taken.
    buffer: Vec<u8>,
}

impl Client {
    /// Connects, and opens the stream if events are wanted.
    pub(super) fn open(address: SocketAddr, path: &str, kind: Kind, token: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let (method, body) = match kind {
            Kind::Post => ("POST", vec![b'a'; 2048]),
            Kind::Get | Kind::Event => ("GET", Vec::new()),
        };
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: weir-load\r\nAccept: */*\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend(body);
        if kind == Kind::Event {
            socket.write_all(&request)?;
        }
        Ok(Self {
            socket,
            kind,
            request,
            buffer: Vec::new(),
        })
    }

    /// So many requests and their answers, or so many events.
    pub(super) fn play(&mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            if self.kind == Kind::Event {
                self.event()?;
            } else {
                self.exchange()?;
            }
        }
        Ok(())
    }

    fn exchange(&mut self) -> Result<()> {
        self.socket.write_all(&self.request)?;
        self.buffer.clear();
        loop {
            if let Some(head) = Head::of_answer(&self.buffer) {
                ensure!(head.status == 200, "weir answered {}", head.status);
                let body = &self.buffer[head.length..];
                if body.len() as u64 >= head.body && (!head.chunked || chunked_end(body).is_some())
                {
                    return Ok(());
                }
            }
            self.read()?;
        }
    }

    fn event(&mut self) -> Result<()> {
        let mut seen = false;
        while !seen {
            self.read()?;
            event::take(&mut self.buffer, |_| seen = true);
        }
        backend::TURN.add_permits(1);
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        let mut block = [0; 16 * 1024];
        let read = self.socket.read(&mut block)?;
        ensure!(read > 0, Error::from(ErrorKind::UnexpectedEof));
        self.buffer.extend(&block[..read]);
        Ok(())
    }
}

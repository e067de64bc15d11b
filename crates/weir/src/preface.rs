//! Which protocol a client speaks on a plain connection: HTTP/2 with prior knowledge (RFC 9113 section 3.3) begins with a preface that no
//! HTTP/1.1 request can begin with. Reads no further than it must to tell them apart, and hands on what it read.

use std::io;

use tokio::{io::Interest, net::TcpStream};

use crate::client::Protocol;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes read so far; survives its future, so that a deadline can tell silence from a beginning.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    bytes: [u8; PREFACE.len()],
    len: usize,
}

impl Ahead {
    /// What was read, to be parsed all the same.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Reads until the protocol is known. A client that closes before is HTTP/1.1's to deal with.
    pub(crate) async fn protocol(&mut self, stream: &TcpStream) -> io::Result<Protocol> {
        while self.len < PREFACE.len() {
            stream.ready(Interest::READABLE).await?;
            match stream.try_read(&mut self.bytes[self.len..]) {
                Ok(0) => return Ok(Protocol::Http1),
                Ok(read) => self.len += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if !PREFACE.starts_with(self.bytes()) {
                return Ok(Protocol::Http1);
            }
        }
        Ok(Protocol::Http2)
    }
}

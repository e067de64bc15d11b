//! Which protocol a client speaks on a plain connection: HTTP/2 with prior knowledge (RFC 9113 section 3.3) begins with a preface that no
//! HTTP/1.1 request can begin with. What it read is handed on: as a rule the whole head of the first request, so that looking costs no
//! read of its own.

use std::{future::poll_fn, io, mem::MaybeUninit};

use bytes::Bytes;
use tokio::{io::ReadBuf, net::TcpStream};

use crate::{client::Protocol, socket};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Room for most heads.
const ROOM: usize = 2048;

/// The bytes read so far; survives its future, so that a deadline can tell silence from a beginning.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    bytes: Vec<u8>,
    /// They did not come in time.
    pub(crate) is_late: bool,
}

impl Ahead {
    /// Whether the client has said anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was read, to be parsed all the same.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }

    /// Reads until the protocol is known. A client that closes before is HTTP/1.1's to deal with.
    pub(crate) async fn protocol(&mut self, stream: &TcpStream) -> io::Result<Protocol> {
        while self.bytes.len() < PREFACE.len() {
            poll_fn(|cx| stream.poll_read_ready(cx)).await?;
            match self.read(stream) {
                Ok(0) => return Ok(Protocol::Http1),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let said = &self.bytes[..self.bytes.len().min(PREFACE.len())];
            if !PREFACE.starts_with(said) {
                return Ok(Protocol::Http1);
            }
        }
        Ok(Protocol::Http2)
    }

    /// Reads what is there, and takes no more room than that: a browser opens connections that it never uses.
    fn read(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let mut room = [const { MaybeUninit::uninit() }; ROOM];
        let mut read = ReadBuf::uninit(&mut room);
        let count = socket::try_read(stream, &mut read)?;
        self.bytes.extend_from_slice(read.filled());
        Ok(count)
    }
}

//! As much of an HTTP/1.1 head as the generator and the backend must know: where it ends, its status, and how its body is framed. Both sides
//! are ours or a gateway's, so nothing is checked that is not needed; it is no parser to learn from.

use memchr::memmem;

/// A head that has arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes up to and including the empty line.
    pub(crate) length: usize,
    /// Of an answer; 0 in a request.
    pub(crate) status: u16,
    /// Bytes that follow by Content-Length.
    pub(crate) body: u64,
    pub(crate) chunked: bool,
}

impl Head {
    pub(crate) fn of_request(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes, 0)
    }

    pub(crate) fn of_answer(bytes: &[u8]) -> Option<Self> {
        let digits = bytes.get(9..12)?;
        let status = digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u16::from(digit & 15));
        Self::read(bytes, status)
    }

    fn read(bytes: &[u8], status: u16) -> Option<Self> {
        let length = memmem::find(bytes, b"\r\n\r\n")? + 4;
        let mut head = Self {
            length,
            status,
            body: 0,
            chunked: false,
        };
        for line in bytes[..length].split(|&b| b == b'\n').skip(1) {
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                head.body = std::str::from_utf8(value).ok()?.parse().ok()?;
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case(b"chunked");
            }
        }
        Some(head)
    }
}

/// Where a chunked body ends in `bytes`, if it does: past its last, empty chunk.
pub(crate) fn chunked_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = at + memmem::find(bytes.get(at..)?, b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            let end = line + 4;
            return (bytes.len() >= end).then_some(end);
        }
        at = line + 2 + size + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_heads_that_gateways_write() {
        let answer = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 27\r\n\r\n{";
        let head = Head::of_answer(answer).expect("a head");
        assert_eq!(
            (head.length, head.status, head.body),
            (answer.len() - 1, 200, 27)
        );
        let stream = b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(Head::of_answer(stream).expect("a head").chunked);
        assert_eq!(Head::of_request(b"GET / HTTP/1.1\r\nhost: a\r\n"), None);
    }

    #[test]
    fn a_chunked_body_ends_behind_its_last_chunk_only() {
        let body = b"5\r\nhello\r\n3;x=y\r\nyou\r\n0\r\n\r\n";
        assert_eq!(chunked_end(body), Some(body.len()));
        for cut in 0..body.len() {
            assert_eq!(chunked_end(&body[..cut]), None, "{cut}");
        }
    }
}

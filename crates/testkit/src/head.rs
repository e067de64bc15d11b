//! The head of a message, kept as it came: names in the sender's spelling, every line in order. Reads both requests and
//! answers; says nothing about bodies beyond how the head frames them.

use crate::body::Framing;

/// The head of a request or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The first line without its line end.
    pub line: String,
    /// The header lines in order, names as sent, values without surrounding blanks.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Takes a head off the front of `buffer` once it is there whole. Empty lines before it are skipped.
    pub(crate) fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let start = buffer
            .iter()
            .position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let end = find(&buffer[start..], b"\r\n\r\n")? + start;
        let text = String::from_utf8_lossy(&buffer[start..end]).into_owned();
        buffer.drain(..end + 4);
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                (name.to_owned(), value.trim().to_owned())
            })
            .collect();
        Some(Self { line, headers })
    }

    /// The first value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a header, one per line.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = name.to_owned();
        self.headers
            .iter()
            .filter(move |(given, _)| given.eq_ignore_ascii_case(&name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether one of the header's comma-separated members is `member`.
    #[must_use]
    pub fn lists(&self, name: &str, member: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|given| given.trim().eq_ignore_ascii_case(member))
    }

    /// The status of an answer.
    ///
    /// # Panics
    /// When the first line is no status line.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("not a status line: {:?}", self.line))
    }

    /// The method of a request.
    #[must_use]
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// The target of a request, as sent.
    #[must_use]
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// How the body of this request is framed.
    pub(crate) fn request_framing(&self) -> Framing {
        if self.lists("transfer-encoding", "chunked") {
            Framing::Chunked
        } else {
            Framing::Length(self.length().unwrap_or(0))
        }
    }

    /// How the body of this answer to `method` is framed.
    pub(crate) fn answer_framing(&self, method: &str) -> Framing {
        let status = self.status();
        if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            Framing::Length(0)
        } else if self.lists("transfer-encoding", "chunked") {
            Framing::Chunked
        } else {
            self.length().map_or(Framing::UntilClose, Framing::Length)
        }
    }

    fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }
}

/// Where `needle` starts in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::Head;
    use crate::body::Framing;

    #[test]
    fn a_head_is_taken_once_it_is_whole() {
        let mut buffer = b"\r\nHTTP/1.1 200 \r\nX-A: 1\r\nx-a:  2 \r\n\r".to_vec();
        assert_eq!(Head::take(&mut buffer), None);
        buffer.extend_from_slice(b"\nrest");
        let head = Head::take(&mut buffer).expect("a whole head");
        assert_eq!(head.line, "HTTP/1.1 200 ");
        assert_eq!(head.status(), 200);
        assert_eq!(head.all("X-a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(buffer, b"rest");
    }

    #[test]
    fn the_head_and_the_method_frame_the_body() {
        let head = |text: &str| Head::take(&mut text.as_bytes().to_vec()).expect("a whole head");
        let chunked = head("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n");
        assert_eq!(chunked.answer_framing("GET"), Framing::Chunked);
        assert_eq!(chunked.answer_framing("HEAD"), Framing::Length(0));
        assert_eq!(
            head("HTTP/1.0 200 OK\r\n\r\n").answer_framing("GET"),
            Framing::UntilClose
        );
        assert_eq!(
            head("HTTP/1.1 304 X\r\ncontent-length: 9\r\n\r\n").answer_framing("GET"),
            Framing::Length(0)
        );
        assert_eq!(
            head("POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n").request_framing(),
            Framing::Length(9)
        );
        assert_eq!(
            head("GET / HTTP/1.1\r\n\r\n").request_framing(),
            Framing::Length(0)
        );
    }
}

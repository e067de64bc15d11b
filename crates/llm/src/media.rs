//! Which answers have events to be read.

/// What an answer's content type says about its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `text/event-stream`
    Sse,
    /// Anything else: its bytes are not looked at. Also the right word for an event stream with a Content-Encoding.
    Other,
}

impl Media {
    /// From the value of a Content-Type header. Parameters do not matter: `text/event-stream; charset=utf-8` is one too.
    #[must_use]
    pub fn of(content_type: &[u8]) -> Self {
        let essence = content_type
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        if essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"text/event-stream")
        {
            Self::Sse
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_event_stream_is_scanned() {
        let table: &[(&str, Media)] = &[
            ("text/event-stream", Media::Sse),
            ("text/event-stream; charset=utf-8", Media::Sse),
            ("Text/Event-Stream ;charset=utf-8", Media::Sse),
            ("text/event-streams", Media::Other),
            ("multipart/mixed; boundary=\"-\"", Media::Other),
            ("application/json; x=text/event-stream", Media::Other),
            ("", Media::Other),
        ];
        for (content_type, media) in table {
            assert_eq!(Media::of(content_type.as_bytes()), *media, "{content_type}");
        }
    }
}

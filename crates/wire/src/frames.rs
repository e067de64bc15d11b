//! Where HTTP/2's frames begin in what a client sends, by their headers alone (RFC 9113 section 4.1). Whether they are right is for the library
//! behind to say; this is for whoever counts them.

const HEADER: usize = 9;
/// `PRI * HTTP/2.0` and what belongs to it (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// A frame's header, without its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Of the payload, in bytes.
    pub length: u32,
    /// The type.
    pub kind: u8,
    /// As on the wire.
    pub flags: u8,
}

/// One direction of a connection, from the client's preface on.
#[derive(Debug)]
pub struct Frames {
    head: [u8; HEADER],
    /// Bytes of `head` that have come.
    have: usize,
    /// Bytes until the next header.
    left: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            head: [0; HEADER],
            have: 0,
            left: PREFACE,
        }
    }
}

impl Frames {
    /// Reads on; each header that is complete with these bytes is handed out.
    pub fn read(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead)) {
        loop {
            let passed = self.left.min(bytes.len());
            self.left -= passed;
            bytes = &bytes[passed..];
            let taken = (HEADER - self.have).min(bytes.len());
            self.head[self.have..][..taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < HEADER {
                return;
            }
            self.have = 0;
            let [a, b, c, kind, flags, ..] = self.head;
            let length = u32::from_be_bytes([0, a, b, c]);
            self.left = length as usize;
            each(FrameHead {
                length,
                kind,
                flags,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        sent.extend(b"\0\0\0\x04\0\0\0\0\0");
        sent.extend(b"\0\0\x08\x06\x01\0\0\0\0\0\0\0\x09\x06\0\0\0");
        sent.extend(b"\0\x01\x00\x00\x01\0\0\0\x01");
        sent.extend([0xff; 256]);
        sent.extend(b"\0\0\0\x04\x01\0\0\0\0");
        let head = |length, kind, flags| FrameHead {
            length,
            kind,
            flags,
        };
        let expected = [head(0, 4, 0), head(8, 6, 1), head(256, 0, 1), head(0, 4, 1)];
        for size in [1, 2, 5, 8, 9, 10, 23, 24, 25, 100, sent.len()] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in sent.chunks(size) {
                frames.read(piece, |head| found.push(head));
            }
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }
}

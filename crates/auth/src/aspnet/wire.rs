//! The primitives of .NET's BinaryReader and BinaryWriter: little-endian integers, and strings with their length in front
//! in seven-bit groups (LEB128). Reading takes any bytes and fails softly.

/// Bytes still to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// A count or a version: never negative where it is asked for.
    pub(super) fn count(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        let value = u32::from_le_bytes(*head);
        (value <= i32::MAX as u32).then_some(value)
    }

    /// Valid UTF-8 only. (.NET puts U+FFFD for the rest, which makes two texts one.)
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let mut length = 0usize;
        for shift in [0, 7, 14, 21, 28] {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let (text, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                return str::from_utf8(text).ok();
            }
        }
        None
    }
}

/// A count, as .NET's `Write(int)`.
pub(super) fn write_count(out: &mut Vec<u8>, count: usize) {
    let count = i32::try_from(count).expect("a ticket is made in memory, from far fewer parts");
    out.extend_from_slice(&count.to_le_bytes());
}

/// A text with its length in front.
pub(super) fn prefixed(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_text(&mut out, text);
    out
}

/// A text with its length in front, as .NET's `Write(string)`.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_and_counts_that_lie_are_no_text() {
        assert_eq!(Reader(b"\x05abcd").text(), None);
        assert_eq!(Reader(b"\xff\xff\xff\xff\x07").text(), None);
        assert_eq!(Reader(b"\x80\x80\x80\x80\x80\x00").text(), None);
        assert_eq!(Reader(b"\x02\xff\xfe").text(), None);
        assert_eq!(Reader(b"\xff\xff\xff\xff").count(), None);
        assert_eq!(Reader(b"\x01\x00\x00").count(), None);
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(text in ".{0,300}", count in 0usize..=i32::MAX as usize) {
            let mut out = prefixed(&text);
            write_count(&mut out, count);
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.text(), Some(text.as_str()));
            prop_assert_eq!(reader.count(), Some(count as u32));
            prop_assert!(reader.0.is_empty());
        }

        #[test]
        fn any_bytes_can_be_tried(bytes: Vec<u8>) {
            Reader(&bytes).text();
            Reader(&bytes).count();
        }
    }
}

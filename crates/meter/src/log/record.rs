//! Access lines on their way: what a worker copies, and the writer makes lines of.
//!
//! A line is put together by the writer, a batch at a time. That takes some three thousand instructions, spread over a hundred lines of code: in
//! a batch they stay in the processor's cache, where a worker has to fetch them anew for every request. What it copies is the facts as they
//! are, and the texts one behind the other.

use super::{
    Format,
    entry::{Entry, StreamFacts},
    json::{self, SHOWN},
    text,
};

/// Of a text this much is copied: more than is shown, so that the line says that there was more.
const COPIED: usize = SHOWN + 4;

/// How long a text of an exchange is. Where it stands follows: behind those before it.
type Length = u16;

/// Lines that wait.
#[derive(Default)]
pub(super) struct Records {
    records: Vec<Record>,
    texts: Vec<u8>,
    /// How many of them are of streams, whose facts have a place of their own.
    streams: usize,
}

/// One of them.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are of the large one, and boxed it would be an allocation for each"
)]
enum Record {
    /// An exchange.
    Exchange(Entry<Length>),
    /// Put together already, and so long.
    Line(usize),
}

/// What all lines of a log have in common.
pub(super) struct Form {
    pub(super) format: Format,
    /// The `service` field.
    pub(super) service: Box<str>,
}

impl Records {
    /// What an exchange's line is to be made of.
    pub(super) fn exchange(&mut self, entry: &Entry<&[u8]>) {
        let texts = &mut self.texts;
        let record = entry.map(|text| {
            let copied = &text[..text.len().min(COPIED)];
            texts.extend_from_slice(copied);
            copied.len() as Length
        });
        self.streams += usize::from(record.stream.is_some());
        self.records.push(Record::Exchange(record));
    }

    /// A line with its end.
    pub(super) fn line(&mut self, line: &[u8]) {
        self.texts.extend_from_slice(line);
        self.records.push(Record::Line(line.len()));
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.texts.len()
            + self.records.len() * size_of::<Record>()
            + self.streams * size_of::<StreamFacts<Length>>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Forgets all of them, and most of the room of those beyond so many bytes.
    pub(super) fn clear(&mut self, kept: usize) {
        self.records.clear();
        self.records.shrink_to(kept / size_of::<Record>());
        self.texts.clear();
        self.texts.shrink_to(kept);
        self.streams = 0;
    }

    /// Puts them together, at most `most` at once, and hands each part with the number of its lines to `write`.
    pub(super) fn lines(&self, form: &Form, most: usize, mut write: impl FnMut(&[u8], u64)) {
        let (mut lines, mut texts) = (Vec::new(), &self.texts[..]);
        for records in self.records.chunks(most) {
            lines.clear();
            for record in records {
                record.put(&mut texts, form, &mut lines);
            }
            write(&lines, records.len() as u64);
        }
    }
}

impl Record {
    /// `texts`: its own and those behind them, of which its own are taken.
    fn put(&self, texts: &mut &[u8], form: &Form, lines: &mut Vec<u8>) {
        let mut text = |length: usize| {
            let (text, rest) = texts.split_at(length);
            *texts = rest;
            text
        };
        match self {
            Self::Line(length) => lines.extend_from_slice(text(*length)),
            Self::Exchange(record) => {
                let entry = record.map(|length| text(length.into()));
                match form.format {
                    Format::Json => json::write(&entry, &form.service, lines),
                    Format::Text => text::write(&entry, lines),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::entry::tests::sample;

    fn lines(records: &Records, format: Format, most: usize) -> Vec<(Vec<u8>, u64)> {
        let form = Form {
            format,
            service: "weir".into(),
        };
        let mut parts = Vec::new();
        records.lines(&form, most, |text, lines| {
            parts.push((text.to_vec(), lines))
        });
        parts
    }

    #[test]
    fn a_copy_makes_the_same_line_whatever_it_holds() {
        let agent: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let broken = ["é".repeat(SHOWN).as_bytes(), b"\xff"].concat();
        for cut in [
            0,
            1,
            7,
            8,
            SHOWN - 1,
            SHOWN,
            SHOWN + 1,
            COPIED,
            COPIED + 1,
            5000,
        ] {
            let mut entry = sample();
            entry.path = &agent[..cut];
            entry.user = Some(&broken[..cut.min(broken.len())]);
            entry.user_agent = Some(&agent[agent.len() - cut..]);
            let mut records = Records::default();
            records.exchange(&entry);
            let mut json = Vec::new();
            json::write(&entry, "weir", &mut json);
            assert_eq!(lines(&records, Format::Json, 9), [(json, 1)], "{cut}");
            let mut words = Vec::new();
            text::write(&entry, &mut words);
            assert_eq!(lines(&records, Format::Text, 9), [(words, 1)], "{cut}");
        }
    }

    #[test]
    fn lines_keep_their_order_and_come_so_many_at_once() {
        let mut records = Records::default();
        for line in [b"a\n", b"b\n", b"c\n"] {
            records.line(line);
        }
        let parts = [(b"a\nb\n".to_vec(), 2), (b"c\n".to_vec(), 1)];
        assert_eq!(lines(&records, Format::Json, 2), parts);
        records.clear(0);
        assert!(records.is_empty() && records.size() == 0);
        assert_eq!(lines(&records, Format::Json, 2), []);
    }
}

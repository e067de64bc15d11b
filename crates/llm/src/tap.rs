//! Listens to an answer as it passes: where its events end, what they say about tokens, conversation and end.
//!
//! A tap takes bytes and gives facts; it holds back nothing and changes nothing. An event whose JSON is spread over several `data:` lines
//! is counted but not read: no known server sends one.

use crate::{
    Dialect, End, Media, Usage, agui,
    facts::Facts,
    openai,
    sse::{Line, Position, Scanner},
};

/// Data lines in which a dialect is looked for before the stream counts as unknown, and costs no more than the scan.
const TRIES: u32 = 8;

/// Listens to one answer.
#[derive(Debug)]
pub struct Tap {
    media: Media,
    scanner: Scanner,
    reader: Reader,
}

/// What one piece of the answer brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Events that it completed.
    pub events: u32,
    /// The stream's first content stands in it: AG-UI's first `TEXT_MESSAGE_CONTENT`, OpenAI's first delta with something in it. True at
    /// most once in a stream, and never in an unknown dialect.
    pub first_content: bool,
}

impl Tap {
    /// At the start of an answer's body. Of [`Media::Other`] nothing is read.
    #[must_use]
    pub fn new(media: Media) -> Self {
        Self {
            media,
            scanner: Scanner::new(),
            reader: Reader::default(),
        }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        if self.media == Media::Other {
            return Fed::default();
        }
        let before = (self.scanner.events(), self.reader.facts.content);
        self.scanner.push(bytes, |line| self.reader.line(line));
        self.since(before)
    }

    /// Takes the next bytes of the body up to the end of the first event in them, and says how many those are: for whoever may have to stop
    /// there. At least one, unless `bytes` is empty.
    pub fn feed_event(&mut self, bytes: &[u8]) -> (usize, Fed) {
        if self.media == Media::Other {
            return (bytes.len(), Fed::default());
        }
        let before = (self.scanner.events(), self.reader.facts.content);
        let reader = &mut self.reader;
        let taken = self.scanner.push_event(bytes, |line| reader.line(line));
        (taken, self.since(before))
    }

    fn since(&self, (events, content): (u64, bool)) -> Fed {
        Fed {
            events: u32::try_from(self.scanner.events() - events).unwrap_or(u32::MAX),
            first_content: self.reader.facts.content && !content,
        }
    }

    /// What the stream speaks, as far as is known.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.reader.dialect
    }

    /// How the stream said that it is over, if it did. Only a whole event counts, its empty line included.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.reader.facts.end
    }

    /// What the stream says it used: one entry per provider and model, all runs of an AG-UI stream added up, of an OpenAI stream the last
    /// figure.
    #[must_use]
    pub fn usage(&self) -> &[Usage] {
        &self.reader.facts.usage
    }

    /// AG-UI's threadId, at most 256 bytes of it.
    #[must_use]
    pub fn conversation(&self) -> Option<&str> {
        self.reader.facts.conversation.as_deref()
    }

    /// Whether a comment or an event may be put after the bytes fed so far.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.media == Media::Sse && self.scanner.position() == Position::Boundary
    }

    /// Events completed so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.scanner.events()
    }
}

/// Hands each data line to whoever understands it.
#[derive(Debug)]
struct Reader {
    dialect: Dialect,
    tries_left: u32,
    facts: Facts,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            dialect: Dialect::Unknown,
            tries_left: TRIES,
            facts: Facts::default(),
        }
    }
}

impl Reader {
    fn line(&mut self, line: Line<'_>) {
        match line {
            Line::Field {
                name: b"data",
                value,
                ..
            } => self.data(value),
            // Anthropic, OpenAI's responses and weir itself say it so.
            Line::Field {
                name: b"event",
                value: b"error",
                ..
            } if self.dialect == Dialect::Unknown => {
                self.facts.ending = Some(Some(End::Failed));
            }
            Line::EventEnd => self.facts.event_ended(),
            Line::Field { .. } | Line::Comment | Line::Blank => {}
        }
    }

    fn data(&mut self, value: &[u8]) {
        if self.dialect == Dialect::Unknown && self.tries_left > 0 {
            self.tries_left -= 1;
            if agui::speaks(value) {
                self.dialect = Dialect::AgUi;
            } else if openai::speaks(value) {
                self.dialect = Dialect::OpenAiChat;
            }
        }
        match self.dialect {
            Dialect::Unknown => {}
            Dialect::AgUi => agui::read(value, &mut self.facts),
            Dialect::OpenAiChat => openai::read(value, &mut self.facts),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const AGUI: &str = "data: {\"type\":\"RUN_STARTED\",\"threadId\":\"t-1\",\"runId\":\"r\"}\n\n\
        data: {\"type\":\"TEXT_MESSAGE_START\",\"messageId\":\"m\"}\n\n\
        : keep-alive\n\n\
        data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"Grüße\"}\n\n\
        data: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":\"m\"}\n\n\
        data: {\"type\":\"RUN_FINISHED\",\"threadId\":\"t-1\",\"usage\":[{\"model\":\"m\",\"inputTokens\":3,\"outputTokens\":2}]}\n\n";

    const OPENAI: &str = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\r\n\r\n\
        data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\r\n\r\n\
        data: {\"object\":\"chat.completion.chunk\",\"model\":\"gpt\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\r\n\r\n\
        data: [DONE]\r\n\r\n";

    const ANTHROPIC: &str = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n\
        event: error\ndata: {\"type\":\"error\",\"error\":\"overloaded\"}\n\n";

    /// Everything a tap can tell after a stream.
    #[derive(Debug, PartialEq)]
    struct Told {
        dialect: Dialect,
        end: Option<End>,
        usage: Vec<Usage>,
        conversation: Option<String>,
        events: u64,
        at_boundary: bool,
        /// How often the first content was announced.
        contents: usize,
    }

    fn told<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Told {
        let mut tap = Tap::new(Media::Sse);
        let fed: Vec<Fed> = pieces.into_iter().map(|piece| tap.feed(piece)).collect();
        assert_eq!(
            fed.iter().map(|fed| u64::from(fed.events)).sum::<u64>(),
            tap.events()
        );
        Told {
            dialect: tap.dialect(),
            end: tap.end(),
            usage: tap.usage().to_vec(),
            conversation: tap.conversation().map(str::to_owned),
            events: tap.events(),
            at_boundary: tap.at_boundary(),
            contents: fed.iter().filter(|fed| fed.first_content).count(),
        }
    }

    #[test]
    fn three_streams() {
        let used = |model: &str| {
            vec![Usage {
                model: Some(model.to_owned()),
                input: 3,
                output: 2,
                ..Usage::default()
            }]
        };
        let silent = Told {
            dialect: Dialect::Unknown,
            end: None,
            usage: vec![],
            conversation: None,
            events: 0,
            at_boundary: true,
            contents: 0,
        };
        let agui = Told {
            dialect: Dialect::AgUi,
            end: Some(End::Finished),
            usage: used("m"),
            conversation: Some("t-1".to_owned()),
            events: 5,
            contents: 1,
            ..silent
        };
        let openai = Told {
            dialect: Dialect::OpenAiChat,
            end: Some(End::Finished),
            usage: used("gpt"),
            conversation: None,
            events: 4,
            contents: 1,
            ..silent
        };
        let anthropic = Told {
            end: Some(End::Failed),
            events: 2,
            usage: vec![],
            conversation: None,
            ..silent
        };
        for (stream, expected) in [
            (AGUI, agui),
            (OPENAI, openai),
            (ANTHROPIC, anthropic),
            ("", silent),
        ] {
            assert_eq!(told([stream.as_bytes()]), expected);
            assert_eq!(told(stream.as_bytes().chunks(1)), expected);
        }
    }

    #[test]
    fn a_stream_that_dies_before_its_last_empty_line_has_not_ended() {
        for stream in [AGUI, OPENAI] {
            let bytes = stream.trim_end_matches(['\r', '\n']).as_bytes();
            assert_eq!(told([bytes]).end, None);
            assert_eq!(told([bytes, b"\n"]).end, None);
            assert_eq!(told([bytes, b"\n\n"]).end, Some(End::Finished));
        }
    }

    #[test]
    fn the_first_content_is_in_its_own_piece() {
        let mut tap = Tap::new(Media::Sse);
        let fed: Vec<_> = AGUI
            .split_inclusive("\n\n")
            .map(|event| tap.feed(event.as_bytes()))
            .collect();
        let content: Vec<_> = fed.iter().map(|fed| fed.first_content).collect();
        assert_eq!(content, [false, false, false, true, false, false]);
        let events: Vec<_> = fed.iter().map(|fed| fed.events).collect();
        assert_eq!(events, [1, 1, 0, 1, 1, 1]);
    }

    /// CopilotKit's `RUN_STARTED` echoes a 3 MB prompt; what follows it must be read all the same.
    #[test]
    fn a_huge_first_event() {
        let prompt = "x".repeat(3_000_000);
        let first = format!(
            "data: {{\"type\":\"RUN_STARTED\",\"threadId\":\"t-1\",\"input\":{{\"messages\":[\"{prompt}\"]}}}}\n\n\
             data: {{\"type\":\"RUN_FINISHED\"}}\n\n"
        );
        let told = told(first.as_bytes().chunks(16 * 1024));
        assert_eq!(
            (told.dialect, told.end, told.events),
            (Dialect::AgUi, Some(End::Finished), 2)
        );
        assert_eq!(told.conversation.as_deref(), Some("t-1"));
    }

    #[test]
    fn another_type_is_not_read() {
        let mut tap = Tap::new(Media::Other);
        assert_eq!(tap.feed(AGUI.as_bytes()), Fed::default());
        assert_eq!(
            (tap.events(), tap.end(), tap.at_boundary()),
            (0, None, false)
        );
    }

    #[test]
    fn a_dialect_is_not_looked_for_for_ever() {
        let prefix = "data: {\"n\":1}\n\n".repeat(TRIES as usize);
        let mut tap = Tap::new(Media::Sse);
        tap.feed(prefix.as_bytes());
        tap.feed(AGUI.as_bytes());
        assert_eq!(
            (tap.dialect(), tap.end(), tap.events()),
            (Dialect::Unknown, None, u64::from(TRIES) + 5)
        );
    }

    /// Where a stream may be ended: behind each event, whatever its lines end with, and nowhere else.
    #[test]
    fn one_event_at_a_time() {
        for ends in ["\n", "\r\n", "\r"] {
            let events = ["data: a{}data: b{}{}", ": c{}{}data: d{}{}", "data: e{}{}"]
                .map(|event| event.replace("{}", ends));
            let stream = events.concat();
            let mut tap = Tap::new(Media::Sse);
            let (mut at, mut places) = (0, Vec::new());
            while at < stream.len() {
                let (taken, fed) = tap.feed_event(&stream.as_bytes()[at..]);
                at += taken;
                if fed.events > 0 {
                    assert!(tap.at_boundary() && fed.events == 1, "{ends:?}");
                    places.push(at);
                }
            }
            let first = events[0].len();
            assert_eq!(
                places,
                [first, first + events[1].len(), stream.len()],
                "{ends:?}"
            );
        }
    }

    /// The LF that belongs to an event's end came in a later piece.
    #[test]
    fn an_event_that_lacks_its_last_byte_is_over_with_it() {
        let mut tap = Tap::new(Media::Sse);
        assert_eq!(tap.feed_event(b"data: a\r\n\r").1.events, 1);
        assert!(!tap.at_boundary());
        assert_eq!(tap.feed_event(b"\ndata: b\r\n\r\n").0, 1);
        assert!(tap.at_boundary());
    }

    proptest! {
        #[test]
        fn any_event_by_event_tells_the_same(which in 0..3_usize, cut in 0.0..1.0_f64) {
            let stream = [AGUI, OPENAI, ANTHROPIC][which].as_bytes();
            let (one, other) = stream.split_at((cut * stream.len() as f64) as usize);
            let mut tap = Tap::new(Media::Sse);
            for mut piece in [one, other] {
                while !piece.is_empty() {
                    let (taken, fed) = tap.feed_event(piece);
                    prop_assert!(taken > 0 && fed.events <= 1);
                    piece = &piece[taken..];
                }
            }
            let whole = told([stream]);
            prop_assert_eq!((tap.end(), tap.usage(), tap.events()), (whole.end, &whole.usage[..], whole.events));
        }

        #[test]
        fn any_split_tells_the_same(which in 0..3_usize, cuts in vec(0.0..1.0_f64, 0..12)) {
            let stream = [AGUI, OPENAI, ANTHROPIC][which].as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| (cut * stream.len() as f64) as usize).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
            prop_assert_eq!(told(pieces), told([stream]));
        }
    }
}

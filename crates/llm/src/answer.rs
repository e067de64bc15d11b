//! What a model's answer in one JSON object says it used: `usage` and `model` of the outermost object, read as the bytes pass. Nothing of
//! the body is kept but those two values, so an answer of any size costs the same memory.

use memchr::memchr2;
use serde_json::Value;

use crate::usage::{Usage, capped, figures};

/// The most bytes of a key or a value that are kept; a longer one is not read.
const MOST: usize = 4096;

/// Listens to one JSON answer, as OpenAI's chat completions, embeddings and responses send it.
#[derive(Debug, Default)]
pub struct Answer {
    depth: u64,
    /// Within a string; `true` inside: right behind a backslash.
    string: Option<bool>,
    /// The next string of the outermost object is a key.
    before_key: bool,
    keeps: Keeps,
    kept: Vec<u8>,
    model: Option<String>,
    used: Option<(u64, u64, u64, u64)>,
    /// It is no object, or it is over.
    over: bool,
}

/// What the bytes now passing belong to, where they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Keeps {
    #[default]
    Nothing,
    Key,
    Model,
    Usage,
}

impl Answer {
    /// Takes the next bytes of the body.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&first) = bytes.first().filter(|_| !self.over) {
            let taken = match self.string {
                Some(escaped) => self.within_string(bytes, escaped),
                None => {
                    self.outside(first);
                    1
                }
            };
            bytes = &bytes[taken..];
        }
    }

    /// What it used, if it said so as a whole.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let (input, output, cached_input, reasoning) = self.used.filter(|_| self.over)?;
        Some(Usage {
            model: self.model.clone(),
            input,
            output,
            cached_input,
            reasoning,
            ..Usage::default()
        })
    }

    fn within_string(&mut self, bytes: &[u8], escaped: bool) -> usize {
        if escaped {
            self.keep(&bytes[..1]);
            self.string = Some(false);
            return 1;
        }
        let end = memchr2(b'"', b'\\', bytes);
        let taken = end.map_or(bytes.len(), |end| end + 1);
        self.keep(&bytes[..taken]);
        if let Some(end) = end {
            self.string = (bytes[end] == b'\\').then_some(true);
        }
        taken
    }

    fn outside(&mut self, byte: u8) {
        let outermost = self.depth == 1;
        match byte {
            b'"' => {
                self.string = Some(false);
                if outermost && self.before_key {
                    self.keeps = Keeps::Key;
                    self.kept.clear();
                }
            }
            b'{' if self.depth == 0 => {
                (self.depth, self.before_key) = (1, true);
                return;
            }
            _ if self.depth == 0 => {
                self.over = !byte.is_ascii_whitespace();
                return;
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if outermost => {
                self.value_ended();
                (self.depth, self.over) = (0, true);
                return;
            }
            b'}' | b']' => self.depth -= 1,
            b',' if outermost => {
                self.value_ended();
                self.before_key = true;
                return;
            }
            b':' if outermost && self.before_key => {
                self.before_key = false;
                self.keeps = match self.kept.trim_ascii_end() {
                    b"\"model\"" => Keeps::Model,
                    b"\"usage\"" => Keeps::Usage,
                    _ => Keeps::Nothing,
                };
                self.kept.clear();
                return;
            }
            _ => {}
        }
        self.keep(&[byte]);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.keeps == Keeps::Nothing {
            return;
        }
        if self.kept.len() + bytes.len() > MOST {
            self.keeps = Keeps::Nothing;
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    fn value_ended(&mut self) {
        let value = || serde_json::from_slice::<Value>(&self.kept).ok();
        match std::mem::take(&mut self.keeps) {
            Keeps::Nothing | Keeps::Key => {}
            Keeps::Model => {
                self.model = match value() {
                    Some(Value::String(name)) => Some(capped(name, 128)),
                    _ => None,
                };
            }
            Keeps::Usage => {
                self.used = value().and_then(|used| {
                    // Chat completions and embeddings have one pair of names, responses another.
                    let either = |one: &str, other: &str| {
                        let number = |at| used.pointer(at).and_then(Value::as_u64);
                        number(one).or_else(|| number(other))
                    };
                    let (input, output) = figures(
                        either("/prompt_tokens", "/input_tokens"),
                        either("/completion_tokens", "/output_tokens"),
                        either("/total_tokens", "/total_tokens"),
                    )?;
                    let cached = either(
                        "/prompt_tokens_details/cached_tokens",
                        "/input_tokens_details/cached_tokens",
                    );
                    let reasoning = either(
                        "/completion_tokens_details/reasoning_tokens",
                        "/output_tokens_details/reasoning_tokens",
                    );
                    Some((input, output, cached.unwrap_or(0), reasoning.unwrap_or(0)))
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::*;

    const CHAT: &str = r#"{"id":"c","object":"chat.completion","model":"gpt-x","choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}, \\"},"usage":{"prompt_tokens":8}}],
        "usage" : {"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":4}}}"#;

    fn told<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Usage> {
        let mut answer = Answer::default();
        pieces.into_iter().for_each(|piece| answer.feed(piece));
        assert!(answer.kept.len() <= MOST);
        answer.usage()
    }

    #[test]
    fn the_outermost_usage_counts() {
        let chat = Usage {
            model: Some("gpt-x".to_owned()),
            input: 11,
            output: 7,
            cached_input: 3,
            reasoning: 4,
            ..Usage::default()
        };
        assert_eq!(told([CHAT.as_bytes()]), Some(chat.clone()));
        assert_eq!(told(CHAT.as_bytes().chunks(1)), Some(chat));
        let figures = |json: &str| told([json.as_bytes()]).map(|usage| (usage.input, usage.output));
        for (json, expected) in [
            (
                r#" {"usage":{"input_tokens":5,"output_tokens":6}} "#,
                Some((5, 6)),
            ),
            (
                r#"{"usage":{"prompt_tokens":5,"total_tokens":5}}"#,
                Some((5, 0)),
            ),
            (
                r#"{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2}}"#,
                Some((2, 0)),
            ),
            (
                r#"{"usage":{"prompt_tokens":-1,"completion_tokens":1.5}}"#,
                None,
            ),
            (r#"{"usage":{"total_tokens":18}}"#, Some((0, 18))),
            (
                r#"{"usage":{"input_tokens":5,"output_tokens":6,"total_tokens":20}}"#,
                Some((5, 15)),
            ),
            (r#"{"usage":null}"#, None),
            (r#"{"usage":[1]}"#, None),
            (r#"{"usage":{"prompt_tokens":5}"#, None),
            (r#"{"usage":{"prompt_tokens":"#, None),
            (r#"[{"usage":{"prompt_tokens":5}}]"#, None),
            (r#""usage""#, None),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(figures(json), expected, "{json}");
        }
        let long = format!(
            r#"{{"usage":{{"x":"{}","prompt_tokens":5}},"content":"{}"}}"#,
            "y".repeat(MOST),
            "z".repeat(3_000_000)
        );
        assert_eq!(figures(&long), None);
    }

    proptest! {
        #[test]
        fn any_split_tells_the_same(text in ".{0,40}", number in any::<u32>(), cuts in vec(0.0..1.0_f64, 0..8)) {
            let json = json!({ "a": [text, { "usage": { "prompt_tokens": 1 } }], "usage": { "prompt_tokens": number, "note": text }, "b": text }).to_string();
            let json = json.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| (cut * json.len() as f64) as usize).collect();
            cuts.extend([0, json.len()]);
            cuts.sort_unstable();
            let used = told(cuts.windows(2).map(|pair| &json[pair[0]..pair[1]]));
            prop_assert_eq!(used.map(|used| used.input), Some(u64::from(number)));
        }

        #[test]
        fn any_bytes_pass(bytes in vec(proptest::sample::select(b"{}[]\",:\\usage 1".to_vec()), 0..80)) {
            told([&bytes[..]]);
        }
    }
}

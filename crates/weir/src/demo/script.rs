//! What the demo's assistant says: reads the AG-UI run it is asked for, picks an answer, and writes the run's events one by
//! one. Pure: when an event goes out, and what becomes of a run nobody listens to, is `assistant`'s business.

use std::{num::NonZeroUsize, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};

use super::form;

/// The gap between two words where the run does not name one.
const PACE: Duration = Duration::from_millis(120);
/// A slower word than this is not worth waiting for.
const SLOWEST: Duration = Duration::from_secs(5);

/// What `weir-demo` answers when it recognises nothing of the question.
const DEFAULT: &str = "You asked, and every word of this answer left the assistant on its own, a moment after the one \
    before it. The gateway between us read each of them as it passed, counted it, and held none back. That is all a weir \
    does: it measures a stream and regulates it, and never stops it. Ask me about the limits, the session, or what \
    happens when a stream breaks.";

/// Recognised by the first word of theirs that stands in the question.
const ANSWERS: [(&[&str], &str); 5] = [
    (
        &["limit", "429", "quota", "many"],
        "Each user of this demo has a quota. Press “Hit the limit” and the page asks for one small answer after \
         another until weir says 429. The refusal names the seconds to wait in Retry-After, and the RateLimit headers \
         said how much was left all along. I hear nothing of a refused request: it ends at the gateway.",
    ),
    (
        &["session", "cookie", "login", "sign", "who"],
        "You signed in at the portal, and the portal sealed your name into a cookie the way ASP.NET does: compressed, \
         encrypted, and authenticated with the machine keys. weir holds the same keys, opens the cookie on every \
         request, and tells me who you are in headers of its own. A cookie that merely looks right does not pass, and \
         identity headers sent by a client never reach me.",
    ),
    (
        &["break", "die", "dies", "fail", "error", "honest"],
        "When I die in the middle of a sentence, the gateway does not pretend that the sentence was finished. It sends \
         one RUN_ERROR event in the stream's own dialect, at an event boundary, and then closes the connection without \
         the final chunk. So a page can tell an answer that died from one that was done. Press “Break the stream” to \
         see it.",
    ),
    (
        &["buffer", "slow", "fast", "gap", "delay", "stream"],
        "Look at the bars: each is the time between two words as your browser measured it, and the dashed line is the \
         pace you asked me for. A proxy that buffers would show you nothing for seconds and then everything at once. \
         Here the first word is on your screen before I have thought of the second. Move the slider and ask again.",
    ),
    (
        &["weir", "proxy", "gateway", "what"],
        "A weir is the low dam that measures and regulates a stream without stopping it. This one is a single binary \
         that stands in front of assistants like me: it routes, authenticates, limits and meters, and it never holds \
         back a byte of a stream. Everything you see here, the portal, the page, the assistant and the gateway, runs in \
         that one process on your machine.",
    ),
];

/// A run as the client asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    thread: String,
    run: String,
    question: String,
    input_words: usize,
    /// Between two words.
    pub(super) pace: Duration,
    /// After this many words the connection breaks.
    die_after: Option<NonZeroUsize>,
}

impl Ask {
    /// Reads an AG-UI `RunAgentInput`. `forwardedProps.delayMs` and `forwardedProps.dieAfter` steer the demo; `delay_ms` and
    /// `die_after` of the query win over them, so that one curl line can. `Err` says what is wrong in a sentence.
    pub(super) fn read(body: &[u8], query: &str) -> Result<Self, &'static str> {
        let input: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
        let messages = input
            .get("messages")
            .and_then(Value::as_array)
            .ok_or("`messages` must be a list")?;
        let switch = |in_query: &str, in_props: &str| {
            form::field(query, in_query)
                .and_then(|text| text.parse::<u64>().ok())
                .or_else(|| input.get("forwardedProps")?.get(in_props)?.as_u64())
        };
        let name = |key: &str, otherwise: &str| {
            let given = input.get(key).and_then(Value::as_str);
            given.unwrap_or(otherwise).to_owned()
        };
        let question = messages
            .iter()
            .rev()
            .find(|message| message.get("role").and_then(Value::as_str) == Some("user"))
            .map(text)
            .unwrap_or_default();
        Ok(Self {
            thread: name("threadId", "thread"),
            run: name("runId", "run"),
            input_words: messages
                .iter()
                .map(|message| text(message).split_whitespace().count())
                .sum(),
            question,
            pace: switch("delay_ms", "delayMs")
                .map_or(PACE, Duration::from_millis)
                .min(SLOWEST),
            die_after: switch("die_after", "dieAfter")
                .and_then(|words| usize::try_from(words).ok())
                .and_then(NonZeroUsize::new),
        })
    }

    /// The run's own id.
    pub(super) fn run(&self) -> &str {
        &self.run
    }
}

/// A message's text: AG-UI allows a string, or a list of parts of which the text ones count.
fn text(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect::<Vec<_>>()
            .join(" "),
        _ => String::new(),
    }
}

/// What a run does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This event goes out.
    Say(Bytes),
    /// The connection breaks.
    Die,
}

/// A run being told.
#[derive(Debug)]
pub(super) struct Script {
    ask: Ask,
    words: Vec<&'static str>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Started,
    MessageStart,
    Word(usize),
    Finished,
    Over,
}

impl Script {
    pub(super) fn new(ask: Ask) -> Self {
        Self {
            words: answer(&ask.question).split_inclusive(' ').collect(),
            ask,
            stage: Stage::Started,
        }
    }

    /// Whether the next step is one that keeps the pace: a word, or breaking in the place of one. The run's frame does not.
    pub(super) fn paced(&self) -> bool {
        matches!(self.stage, Stage::Word(at) if at < self.words.len())
    }

    /// The next step, or `None` after the last. `now_ms`, Unix time in milliseconds, is every event's `timestamp` (AG-UI
    /// allows one on each), by which the page can tell how long the event was on its way.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<Step> {
        let (step, stage) = match self.stage {
            Stage::Started => (
                Step::Say(event(
                    "RUN_STARTED",
                    json!({
                        "threadId": self.ask.thread, "runId": self.ask.run, "timestamp": now_ms,
                    }),
                )),
                Stage::MessageStart,
            ),
            Stage::MessageStart => (
                Step::Say(event(
                    "TEXT_MESSAGE_START",
                    json!({
                        "messageId": self.message(), "role": "assistant", "timestamp": now_ms,
                    }),
                )),
                Stage::Word(0),
            ),
            Stage::Word(at) if self.ask.die_after.is_some_and(|words| words.get() <= at) => {
                (Step::Die, Stage::Over)
            }
            Stage::Word(at) => match self.words.get(at) {
                Some(word) => (
                    Step::Say(event(
                        "TEXT_MESSAGE_CONTENT",
                        json!({
                        "messageId": self.message(), "delta": word, "timestamp": now_ms,
                        }),
                    )),
                    Stage::Word(at + 1),
                ),
                None => (
                    Step::Say(event(
                        "TEXT_MESSAGE_END",
                        json!({
                        "messageId": self.message(), "timestamp": now_ms,
                        }),
                    )),
                    Stage::Finished,
                ),
            },
            Stage::Finished => (
                Step::Say(event(
                    "RUN_FINISHED",
                    json!({
                        "threadId": self.ask.thread, "runId": self.ask.run, "outcome": "success",
                        "usage": [{
                            "provider": "demo", "model": "scripted",
                            "inputTokens": self.ask.input_words, "outputTokens": self.words.len(),
                            "totalTokens": self.ask.input_words + self.words.len(),
                        }],
                        "timestamp": now_ms,
                    }),
                )),
                Stage::Over,
            ),
            Stage::Over => return None,
        };
        self.stage = stage;
        Some(step)
    }

    fn message(&self) -> String {
        format!("{}-answer", self.ask.run)
    }
}

/// One event as AG-UI puts it on the wire: a single `data:` line, LF, no event name. Its type stands first, as the real
/// servers write it, so that a reader may know an event by its head; a JSON map would sort it to the end.
fn event(kind: &str, facts: Value) -> Bytes {
    let facts = facts.to_string();
    let facts = facts.strip_prefix('{').unwrap_or(&facts);
    Bytes::from(format!("data: {{\"type\":\"{kind}\",{facts}\n\n"))
}

fn answer(question: &str) -> &'static str {
    let question = question.to_lowercase();
    let asked: Vec<&str> = question
        .split(|letter: char| !letter.is_alphanumeric())
        .collect();
    let about = |keys: &[&str]| {
        asked.iter().any(|word| {
            keys.iter()
                .any(|key| word == key || word.strip_suffix('s') == Some(key))
        })
    };
    ANSWERS
        .iter()
        .find(|(keys, _)| about(keys))
        .map_or(DEFAULT, |(_, answer)| answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(question: &str, query: &str) -> Ask {
        let body = json!({
            "threadId": "t", "runId": "r", "forwardedProps": { "delayMs": 40, "dieAfter": 9 },
            "messages": [
                { "id": "1", "role": "user", "content": "before" },
                { "id": "2", "role": "assistant", "content": "two words" },
                { "id": "3", "role": "user", "content": [{ "type": "text", "text": question }, { "type": "binary" }] },
            ],
        });
        Ask::read(body.to_string().as_bytes(), query).expect("it is a run")
    }

    fn told(ask: Ask) -> (Vec<String>, String) {
        let mut script = Script::new(ask);
        let (mut types, mut said) = (Vec::new(), String::new());
        while let Some(step) = script.next(7) {
            let Step::Say(event) = step else {
                types.push("died".to_owned());
                continue;
            };
            let line = event.strip_prefix(b"data: ").expect("a data line");
            let line = line.strip_suffix(b"\n\n").expect("one event");
            assert!(!line.contains(&b'\n'));
            assert!(line.starts_with(br#"{"type":""#));
            let event: Value = serde_json::from_slice(line).expect("JSON");
            assert_eq!(event["timestamp"], 7);
            said.push_str(event["delta"].as_str().unwrap_or_default());
            types.push(event["type"].as_str().expect("a type").to_owned());
        }
        (types, said)
    }

    #[test]
    fn a_run_is_told_from_start_to_finish_word_by_word() {
        let (types, said) = told(ask("What is a weir?", "die_after=0"));
        assert!(said.starts_with("A weir is the low dam"), "{said}");
        assert_eq!(types[..2], ["RUN_STARTED", "TEXT_MESSAGE_START"]);
        assert_eq!(
            types[types.len() - 2..],
            ["TEXT_MESSAGE_END", "RUN_FINISHED"]
        );
        let words = &types[2..types.len() - 2];
        assert!(words.iter().all(|kind| kind == "TEXT_MESSAGE_CONTENT"));
        assert_eq!(words.len(), said.split_whitespace().count());
    }

    #[test]
    fn the_finish_counts_what_was_used() {
        let mut script = Script::new(ask("limits", "die_after=0"));
        let mut last = None;
        while let Some(step) = script.next(0) {
            last = Some(step);
        }
        let Some(Step::Say(event)) = last else {
            panic!("a run ends with an event");
        };
        let event: Value = serde_json::from_slice(&event[6..]).expect("JSON");
        assert_eq!(event["type"], "RUN_FINISHED");
        assert_eq!(event["usage"][0]["inputTokens"], 4);
        assert_eq!(event["usage"][0]["model"], "scripted");
    }

    #[test]
    fn a_run_that_is_to_die_says_so_many_words_and_nothing_after() {
        let (types, said) = told(ask("hello", "die_after=3"));
        assert_eq!(said, "You asked, and ");
        assert_eq!(types.last().map(String::as_str), Some("died"));
        assert_eq!(types.len(), 2 + 3 + 1);
    }

    #[test]
    fn the_query_wins_over_the_props_and_the_slowest_is_bounded() {
        assert_eq!(ask("", "").pace, Duration::from_millis(40));
        assert_eq!(ask("", "").die_after, NonZeroUsize::new(9));
        assert_eq!(ask("", "delay_ms=5").pace, Duration::from_millis(5));
        assert_eq!(ask("", "delay_ms=900000").pace, SLOWEST);
        assert_eq!(ask("", "delay_ms=soon").pace, Duration::from_millis(40));
    }

    #[test]
    fn what_is_no_run_is_refused_in_a_sentence() {
        assert_eq!(Ask::read(b"{", ""), Err("the body is not JSON"));
        assert_eq!(Ask::read(b"{}", ""), Err("`messages` must be a list"));
        assert!(Ask::read(br#"{"messages":[7,null]}"#, "").is_ok());
    }

    #[test]
    fn each_answer_is_found_by_its_words_only() {
        for (keys, text) in ANSWERS {
            assert_eq!(answer(&format!("tell me: {}!", keys[0])), text);
        }
        assert_eq!(answer("somewhat otherwise"), DEFAULT);
        assert_eq!(answer("about the Limits"), ANSWERS[0].1);
    }
}

//! Which language the events of a stream speak, and how an error is said in each.

use bytes::Bytes;
use serde_json::Value;

/// The language of a stream's events, learnt from the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Not known, or not yet.
    #[default]
    Unknown,
    /// The Agent User Interaction protocol: `data: {"type":"RUN_STARTED",…}`.
    AgUi,
    /// OpenAI's chat completions: `data: {"object":"chat.completion.chunk",…}` up to `data: [DONE]`.
    OpenAiChat,
}

impl Dialect {
    /// The value of the `dialect` field of an access line; `None` for the unknown one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::AgUi => Some("ag-ui"),
            Self::OpenAiChat => Some("openai-chat"),
        }
    }
}

/// One whole event that tells a client its stream has failed, in the stream's own dialect. To be put at a boundary only.
#[must_use]
pub fn error_event(dialect: Dialect, code: &str, message: &str) -> Bytes {
    // JSON escapes every line end, so neither text can break out of its line.
    let (code, message) = (Value::from(code), Value::from(message));
    match dialect {
        Dialect::AgUi => format!("data: {{\"type\":\"RUN_ERROR\",\"message\":{message},\"code\":{code}}}\n\n"),
        Dialect::OpenAiChat => {
            format!("data: {{\"error\":{{\"message\":{message},\"type\":\"server_error\",\"code\":{code}}}}}\n\n")
        }
        Dialect::Unknown => format!("event: error\ndata: {{\"code\":{code},\"message\":{message}}}\n\n"),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{End, Media, Tap};

    #[test]
    fn each_dialect_says_it_its_own_way() {
        let table = [
            (
                Dialect::AgUi,
                r#"data: {"type":"RUN_ERROR","message":"no \"byte\"\nfor 300 s","code":"idle"}"#,
            ),
            (
                Dialect::OpenAiChat,
                r#"data: {"error":{"message":"no \"byte\"\nfor 300 s","type":"server_error","code":"idle"}}"#,
            ),
            (
                Dialect::Unknown,
                "event: error\ndata: {\"code\":\"idle\",\"message\":\"no \\\"byte\\\"\\nfor 300 s\"}",
            ),
        ];
        for (dialect, expected) in table {
            let event = error_event(dialect, "idle", "no \"byte\"\nfor 300 s");
            assert_eq!(event, format!("{expected}\n\n"));
        }
    }

    /// weir may stand behind weir: its own error must be known as one.
    #[test]
    fn a_tap_understands_it() {
        for dialect in [Dialect::AgUi, Dialect::OpenAiChat, Dialect::Unknown] {
            let mut tap = Tap::new(Media::Sse);
            assert_eq!(
                tap.feed(&error_event(dialect, "idle", "\r\n\r\n")).events,
                1
            );
            assert_eq!(
                (tap.end(), tap.dialect(), tap.at_boundary()),
                (Some(End::Failed), dialect, true)
            );
        }
    }
}

//! The line of one exchange in the access log.

use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Version};
use weir_meter::log::{Entry, Level, StreamFacts};
use weir_proxy::summary::{Outcome, StreamSummary, Summary};

use super::Facts;

impl Facts {
    pub(super) fn write(&self, summary: &Summary, duration: Duration) {
        let stream = summary.stream.as_ref();
        self.gateway.log.write(&Entry {
            timestamp: SystemTime::now(),
            level: level(summary.outcome, self.status),
            trace: self.trace,
            tenant: self.tenant().map(str::as_bytes),
            user: self.user().map(str::as_bytes),
            message: "exchange",
            method: word(&self.method).as_bytes(),
            path: self.path().as_bytes(),
            status: self.status,
            version: protocol(self.version),
            duration,
            route: self.series().name().as_bytes(),
            upstream: self.server.as_deref().map(str::as_bytes),
            client: self.client,
            outcome: summary.outcome.as_str(),
            reason: self.reason,
            bytes_in: self.upload.as_ref().map(|upload| upload.bytes()),
            bytes_out: summary.bytes,
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
            stream: stream.map(|stream| stream_facts(stream, summary.first_byte)),
        });
    }
}

/// Apart from the rest, as what is counted of streams is: most exchanges have none, and the code of theirs lies closer together.
#[inline(never)]
fn stream_facts(stream: &StreamSummary, first_byte: Option<Duration>) -> Box<StreamFacts<&[u8]>> {
    let told = !stream.usage.is_empty();
    let model = stream.usage.iter().find_map(|used| used.model.as_deref());
    Box::new(StreamFacts {
        first_byte,
        first_event: stream.first_event,
        events: stream.events,
        max_gap: stream.max_gap,
        dialect: stream.dialect.and_then(weir_llm::Dialect::name),
        model: model.map(str::as_bytes),
        input_tokens: told.then(|| stream.usage.iter().map(|used| used.input).sum()),
        output_tokens: told.then(|| stream.usage.iter().map(|used| used.output).sum()),
        conversation: stream.conversation.as_deref().map(str::as_bytes),
    })
}

/// The method as logs show it. Some clients put there what is none, a credential even; of such a one nothing is shown.
pub(super) fn word(method: &Method) -> &str {
    let text = method.as_str();
    let is_word = text.len() <= 24
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if is_word { text } else { "OTHER" }
}

fn level(outcome: Outcome, status: u16) -> Level {
    match outcome {
        Outcome::Complete | Outcome::ClientGone if status < 500 => Level::Info,
        Outcome::Complete | Outcome::ClientGone if status == 500 => Level::Error,
        _ => Level::Warn,
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_shown_of_methods() {
        for (method, shown) in [
            ("GET", "GET"),
            ("VERSION-CONTROL", "VERSION-CONTROL"),
            ("get", "OTHER"),
            ("eyJhbGciOi.eyJzdWIi.x", "OTHER"),
            ("weir_ci_0123456789", "OTHER"),
            ("AAAAAAAAAAAAAAAAAAAAAAAAA", "OTHER"),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a token");
            assert_eq!(word(&method), shown);
        }
    }
}

//! What a client is told about its quota: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), and `Retry-After`
//! (RFC 9110 10.2.3) when it has to wait.

use std::time::Duration;

use http::{HeaderName, HeaderValue, header::RETRY_AFTER};

use crate::{
    quota::Quota,
    rate::{Allowed, Wait},
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// What a quota's amount counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests, which is what the headers mean if they say nothing.
    Requests,
    /// Tokens of a language model.
    Tokens,
}

/// The headers of one limit. What they say in every answer alike is put together once.
#[derive(Clone, Debug)]
pub struct Headers {
    policy: HeaderValue,
    /// What `RateLimit` begins with, up to the number of requests that remain.
    state: Box<str>,
}

impl Headers {
    /// For the limit of this name.
    pub fn new(name: &str, quota: &Quota, unit: Unit) -> Self {
        let name = quoted(name);
        let unit = match unit {
            Unit::Requests => "",
            Unit::Tokens => ";qu=\"tokens\"",
        };
        let policy = format!(
            "{name};q={}{unit};w={}",
            quota.amount(),
            seconds(quota.per())
        );
        Self {
            policy: value(policy.into_bytes()),
            state: format!("{name};r=").into(),
        }
    }

    /// After a decision. Where several limits apply, append them all: they are lists.
    ///
    /// Times are in whole seconds, rounded up, so that who waits so long is let in.
    pub fn after(&self, outcome: &Result<Allowed, Wait>) -> [(HeaderName, HeaderValue); 2] {
        let (remaining, wait) = match outcome {
            Ok(allowed) => (allowed.remaining, allowed.reset),
            Err(wait) => (0, wait.retry_after),
        };
        let (mut remains, mut waits) = (itoa::Buffer::new(), itoa::Buffer::new());
        // By hand and of the right size: one is written for every request, and `format!` takes two thousand instructions each time.
        let parts = [
            &*self.state,
            remains.format(remaining),
            ";t=",
            waits.format(seconds(wait)),
        ];
        let state = parts.concat().into_bytes();
        [(POLICY, self.policy.clone()), (STATE, value(state))]
    }
}

/// When to ask again. Where several limits refuse, the longest wait is the one to tell.
pub fn retry_after(wait: Duration) -> (HeaderName, HeaderValue) {
    (RETRY_AFTER, HeaderValue::from(seconds(wait)))
}

/// At least one: a client that waits 0 s only asks again at once.
fn seconds(time: Duration) -> u64 {
    let partial = u64::from(time.subsec_nanos() > 0);
    (time.as_secs() + partial).max(1)
}

/// A string as structured fields have it (RFC 9651 3.3.3), which is printable ASCII; anything else becomes `_`.
fn quoted(name: &str) -> String {
    let mut out = String::from("\"");
    for letter in name.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            ' '..='~' => out.push(letter),
            _ => out.push('_'),
        }
    }
    out.push('"');
    out
}

fn value(text: Vec<u8>) -> HeaderValue {
    HeaderValue::try_from(text).expect("a quoted name and numbers are printable ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(name: &str, outcome: Result<Allowed, Wait>) -> Vec<String> {
        let quota = Quota::parse("100/1m").unwrap();
        let line = |(name, value): (HeaderName, HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let wait = outcome.err().map(|wait| retry_after(wait.retry_after));
        Headers::new(name, &quota, Unit::Requests)
            .after(&outcome)
            .into_iter()
            .chain(wait)
            .map(line)
            .collect()
    }

    #[test]
    fn allowed() {
        let allowed = Allowed {
            limit: 100,
            remaining: 42,
            reset: Duration::from_millis(11_001),
            delay: Duration::ZERO,
        };
        let expected = [
            r#"ratelimit-policy: "per_user";q=100;w=60"#,
            r#"ratelimit: "per_user";r=42;t=12"#,
        ];
        assert_eq!(lines("per_user", Ok(allowed)), expected);
    }

    #[test]
    fn refused() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (58_000, 58)] {
            let wait = Wait {
                limit: 100,
                retry_after: Duration::from_millis(millis),
            };
            let expected = [
                r#"ratelimit-policy: "per_user";q=100;w=60"#.to_owned(),
                format!(r#"ratelimit: "per_user";r=0;t={seconds}"#),
                format!("retry-after: {seconds}"),
            ];
            assert_eq!(lines("per_user", Err(wait)), expected);
        }
    }

    #[test]
    fn tokens_say_so() {
        let wait = Wait {
            limit: 5,
            retry_after: Duration::ZERO,
        };
        let quota = Quota::parse("5/1m").unwrap();
        let [(_, policy), _] = Headers::new("t", &quota, Unit::Tokens).after(&Err(wait));
        assert_eq!(policy, r#""t";q=5;qu="tokens";w=60"#);
    }

    proptest! {
        #[test]
        fn any_name_makes_a_header(name in any::<String>()) {
            let wait = Wait { limit: 1, retry_after: Duration::MAX - Duration::from_secs(1) };
            prop_assert_eq!(lines(&name, Err(wait)).len(), 3);
        }
    }

    #[test]
    fn odd_names_are_quoted() {
        assert_eq!(quoted("a\"b\\c\u{e9}\n"), r#""a\"b\\c__""#);
    }
}

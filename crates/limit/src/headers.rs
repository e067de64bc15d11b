//! What a client is told about its quota: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), and `Retry-After`
//! (RFC 9110 10.2.3) when it has to wait.

use std::time::Duration;

use http::{HeaderName, HeaderValue, header::RETRY_AFTER};

use crate::{
    quota::Quota,
    rate::{Allowed, Wait},
};

/// The headers for one limit. Where several limits apply, append them all: the first two are lists, and of `Retry-After` only the
/// refusing limit's is there.
///
/// Times are in whole seconds, rounded up, so that who waits so long is let in.
pub fn headers(
    name: &str,
    quota: &Quota,
    outcome: &Result<Allowed, Wait>,
) -> Vec<(HeaderName, HeaderValue)> {
    let name = quoted(name);
    let (remaining, wait) = match outcome {
        Ok(allowed) => (allowed.remaining, allowed.reset),
        Err(wait) => (0, wait.retry_after),
    };
    let wait = seconds(wait);
    let policy = format!("{name};q={};w={}", quota.amount(), seconds(quota.per()));
    let state = format!("{name};r={remaining};t={wait}");
    let mut headers = vec![
        (HeaderName::from_static("ratelimit-policy"), value(&policy)),
        (HeaderName::from_static("ratelimit"), value(&state)),
    ];
    if outcome.is_err() {
        headers.push((RETRY_AFTER, HeaderValue::from(wait)));
    }
    headers
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

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a quoted name and numbers are printable ASCII")
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
        headers(name, &quota, &outcome)
            .into_iter()
            .map(line)
            .collect()
    }

    #[test]
    fn allowed() {
        let allowed = Allowed {
            limit: 100,
            remaining: 42,
            reset: Duration::from_millis(11_001),
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

//! Durations and sizes as operators write them. One number and one unit: `1m30s` is refused, `90s` says the same.

use std::time::Duration;

/// What the reader says it expected.
pub(crate) const DURATION: &str = "a duration such as \"250ms\", \"10s\", \"5m\" or \"1h\"";

/// What the reader says it expected.
pub(crate) const SIZE: &str = "a size such as 4096, \"512KiB\", \"10MB\" or \"1GiB\"";

/// `250ms`, `10s`, `5m`, `1h`, `1d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// Bytes: `4096`, `4096B`, `10MB` (decimal), `512KiB` (binary).
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("250ms", Some(Duration::from_millis(250))),
            ("10s", Some(Duration::from_secs(10))),
            ("5 m", Some(Duration::from_secs(300))),
            ("1h", Some(Duration::from_secs(3600))),
            ("2d", Some(Duration::from_secs(172_800))),
            ("0s", Some(Duration::ZERO)),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1m30s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("4096", Some(4096)),
            ("10MB", Some(10_000_000)),
            ("512KiB", Some(524_288)),
            ("1 GiB", Some(1 << 30)),
            ("10mb", None),
            ("MB", None),
            ("18446744073709551615GB", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}

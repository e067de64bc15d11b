//! Dates of key files: ISO 8601 as .NET's XmlConvert writes a DateTimeOffset, with up to seven fractional digits and an offset.

/// 100 ns since 1970; `None` for anything else than a whole date with its offset.
pub(crate) fn ticks(text: &str) -> Option<i64> {
    let text = text.trim();
    let (text, offset) = match text.strip_suffix('Z') {
        Some(text) => (text, 0),
        None => {
            let (text, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let (sign, time) = match offset.split_at(1) {
                ("+", time) => (1, time),
                ("-", time) => (-1, time),
                _ => return None,
            };
            let (hours, minutes) = time.split_once(':')?;
            (text, sign * (number(hours, 2)? * 60 + number(minutes, 2)?))
        }
    };
    let (date, time) = text.split_once('T')?;
    let [year, month, day] = three(date, '-', [4, 2, 2])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = three(time, ':', [2, 2, 2])?;
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
        || fraction.len() > 7
    {
        return None;
    }
    let fraction =
        number(fraction, fraction.len())? * 10_i64.pow(7 - u32::try_from(fraction.len()).ok()?);
    // Days from the civil calendar (Howard Hinnant's algorithm), the year beginning in March.
    let year = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    Some(seconds * 10_000_000 + fraction)
}

fn three(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut next = |digits| number(parts.next()?, digits);
    let three = [next(digits[0])?, next(digits[1])?, next(digits[2])?];
    parts.next().is_none().then_some(three)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_key_files() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T00:00:00.1234567Z", Some(1_234_567)),
            ("1970-01-01T00:00:00.1Z", Some(1_000_000)),
            ("2026-01-01T00:00:00Z", Some(17_672_256_000_000_000)),
            ("2024-02-29T23:59:59-00:30", Some(17_092_529_990_000_000)),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01", None),
            ("2026-1-1T00:00:00Z", None),
            ("2026-01-01T00:00:00.12345678Z", None),
            ("2026-01-01T+1:00:00Z", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(ticks(text), expected, "{text}");
        }
    }
}

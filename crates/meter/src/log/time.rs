//! A time as the log writes it.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

/// RFC 3339 in UTC with milliseconds: `2026-11-20T08:00:00.123Z`. A time before 1970 is written as its beginning: the clock is wrong.
pub(super) fn text(time: SystemTime) -> [u8; 24] {
    thread_local! {
        /// The last second that was asked for: under load it is nearly always this one.
        static LAST: Cell<(u64, [u8; 24])> = const { Cell::new((0, *b"1970-01-01T00:00:00.000Z")) };
    }
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (second, mut text) = LAST.get();
    if second != since.as_secs() {
        text = whole(since.as_secs());
        LAST.set((since.as_secs(), text));
    }
    text[20..23].copy_from_slice(&digits::<3>(since.subsec_millis().into()));
    text
}

fn whole(seconds: u64) -> [u8; 24] {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    text[..4].copy_from_slice(&digits::<4>(year));
    text[5..7].copy_from_slice(&digits::<2>(month));
    text[8..10].copy_from_slice(&digits::<2>(day));
    text[11..13].copy_from_slice(&digits::<2>(second / 3_600));
    text[14..16].copy_from_slice(&digits::<2>(second / 60 % 60));
    text[17..19].copy_from_slice(&digits::<2>(second % 60));
    text
}

/// The last `N` decimal digits. Not by `format!`, which costs a small request more than all else of its line.
pub(super) fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).expect("one digit");
        number /= 10;
    }
    digits
}

/// Year, month and day from days since 1970: Howard Hinnant's `civil_from_days`, <https://howardhinnant.github.io/date_algorithms.html>.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Counted from March, so that the leap day comes last.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_times() {
        // Seconds by `date -u -d … +%s`.
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_132_800_001, "2026-11-20T00:00:00.001Z"),
            (1_798_761_599_000, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (millis, expected) in table {
            let text = text(UNIX_EPOCH + Duration::from_millis(millis));
            assert_eq!(String::from_utf8_lossy(&text), expected);
        }
        assert_eq!(
            &text(UNIX_EPOCH - Duration::from_secs(1)),
            b"1970-01-01T00:00:00.000Z"
        );
    }
}

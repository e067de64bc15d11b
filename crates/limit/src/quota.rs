//! How much in how long: `100/60s`. How strictly that is meant is for the algorithm to say.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// So many requests per so long: whole seconds, from one second to 366 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    amount: NonZeroU32,
    per: Duration,
}

impl Quota {
    /// A quota from its parts.
    ///
    /// # Errors
    /// When the period is not in whole seconds, since the headers could not say it, or not from one second to 366 days.
    pub fn new(amount: NonZeroU32, per: Duration) -> Result<Self, QuotaError> {
        let whole = per.subsec_nanos() == 0;
        if whole && (1..=366 * DAY).contains(&per.as_secs()) {
            Ok(Self { amount, per })
        } else {
            Err(QuotaError::Period)
        }
    }

    /// Reads `100/60s`, `10/1m`, `5/s`, `1000/h`, `20000/30d`, and `100/60000ms` if it comes to whole seconds.
    ///
    /// # Errors
    /// When it has another form, the amount is zero, or the period is not one [`Quota::new`] takes.
    pub fn parse(text: &str) -> Result<Self, QuotaError> {
        let (amount, period) = text.split_once('/').ok_or(QuotaError::Form)?;
        let amount = number::<u32>(amount).ok_or(QuotaError::Form)?;
        let unit = period.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let count = match &period[..period.len() - unit.len()] {
            "" => 1,
            digits => number::<u64>(digits).ok_or(QuotaError::Period)?,
        };
        if unit == "ms" {
            // For variables that count in milliseconds: it must come to whole seconds.
            if !count.is_multiple_of(1000) {
                return Err(QuotaError::Period);
            }
            let per = Duration::from_secs(count / 1000);
            return Self::new(NonZeroU32::new(amount).ok_or(QuotaError::Zero)?, per);
        }
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => DAY,
            _ => return Err(QuotaError::Form),
        };
        let per = Duration::from_secs(count.saturating_mul(unit));
        Self::new(NonZeroU32::new(amount).ok_or(QuotaError::Zero)?, per)
    }

    /// How many requests.
    pub const fn amount(&self) -> NonZeroU32 {
        self.amount
    }

    /// In how long.
    pub const fn per(&self) -> Duration {
        self.per
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.amount, self.per.as_secs())
    }
}

/// Why a quota cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// Not an amount, a slash and a period.
    #[error("a rate is an amount and a period in s, m, h or d, as in `100/60s`")]
    Form,
    /// Nothing would ever be allowed.
    #[error("a rate of zero allows nothing; leave the route out instead")]
    Zero,
    /// Too short, too long, or not in whole seconds.
    #[error("the period of a rate is in whole seconds, from 1s to 366d")]
    Period,
}

const DAY: u64 = 86_400;

/// Digits only: `parse` alone would take a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_quotas() {
        for (text, amount, seconds) in [
            ("100/60s", 100, 60),
            ("10/1m", 10, 60),
            ("10/60000ms", 10, 60),
            ("5/s", 5, 1),
            ("1000/h", 1000, 3600),
            ("4294967295/366d", u32::MAX, 366 * 86_400),
        ] {
            let quota = Quota::parse(text).unwrap();
            assert_eq!(
                (quota.amount().get(), quota.per()),
                (amount, Duration::from_secs(seconds)),
                "{text}"
            );
            assert_eq!(Quota::parse(&quota.to_string()), Ok(quota));
        }
    }

    #[test]
    fn bad_quotas() {
        for (text, error) in [
            ("", QuotaError::Form),
            ("100", QuotaError::Form),
            ("/s", QuotaError::Form),
            ("+1/s", QuotaError::Form),
            ("-1/s", QuotaError::Form),
            ("1.5/s", QuotaError::Form),
            ("4294967296/s", QuotaError::Form),
            ("1/60", QuotaError::Form),
            ("1/", QuotaError::Form),
            ("1/100ms", QuotaError::Period),
            ("1/-1s", QuotaError::Form),
            ("1/s/s", QuotaError::Form),
            ("1 / s", QuotaError::Form),
            ("0/s", QuotaError::Zero),
            ("1/0s", QuotaError::Period),
            ("1/367d", QuotaError::Period),
            ("1/18446744073709551615d", QuotaError::Period),
            ("1/18446744073709551616s", QuotaError::Period),
        ] {
            assert_eq!(Quota::parse(text), Err(error), "{text}");
        }
        let half = Duration::from_millis(1500);
        assert_eq!(Quota::new(NonZeroU32::MIN, half), Err(QuotaError::Period));
    }
}

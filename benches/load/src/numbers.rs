//! The arithmetic of a measurement: a histogram of durations, medians, and the ratio of two systems. Percentiles are of what was seen, rounded
//! up by at most 1.6 %; ratios are taken within a round, where both systems had the same machine, and the median of these is quoted.

use std::time::Duration;

/// Sub-buckets of each power of two, as bits: 64 of them bound the error of a percentile to 1/64.
const PRECISION: u32 = 6;

/// Durations in log-linear buckets: 1/64 precise, no allocation per value.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u32>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            // Up to 2^40 ns, 18 minutes; longer ones count as that.
            buckets: vec![0; index(1 << 40) + 1],
            count: 0,
        }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let last = self.buckets.len() - 1;
        self.buckets[index(nanos).min(last)] += 1;
        self.count += 1;
    }

    /// The smallest value that at least `share` (0 to 1) of the values do not exceed, in microseconds; none were seen: `None`.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, &count) in self.buckets.iter().enumerate() {
            seen += u64::from(count);
            if seen >= wanted {
                return Some(top(at) as f64 / 1e3);
            }
        }
        None
    }
}

fn index(nanos: u64) -> usize {
    let width = u64::BITS - nanos.leading_zeros();
    let shift = width.saturating_sub(PRECISION + 1);
    ((u64::from(shift) << PRECISION) + (nanos >> shift)) as usize
}

/// The largest value that falls into a bucket.
fn top(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index >> PRECISION).saturating_sub(1);
    let within = index - (shift << PRECISION);
    ((within + 1) << shift) - 1
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The median over the rounds of `ours / theirs`; rounds in which either is missing or theirs is zero do not count.
pub(crate) fn ratio(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<f64> {
    median(
        ours.iter()
            .zip(theirs)
            .filter_map(|(ours, theirs)| Some((*ours)? / (*theirs)?)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_at_most_a_64th_too_high() {
        let mut seen = Histogram::default();
        for micros in 1..=10_000 {
            seen.record(Duration::from_micros(micros));
        }
        for (share, exact) in [
            (0.5, 5_000.0),
            (0.99, 9_900.0),
            (0.999, 9_990.0),
            (1.0, 10_000.0),
        ] {
            let found = seen.quantile(share).expect("values");
            assert!(
                (exact..exact * (1.0 + 1.0 / 64.0)).contains(&found),
                "{share}: {found} for {exact}"
            );
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn each_value_lies_in_a_bucket_that_reaches_it_and_not_the_next() {
        for nanos in (0..5_000).chain([1 << 20, (1 << 33) + 12_345, (1 << 40) - 1]) {
            let at = index(nanos);
            assert!(top(at) >= nanos, "{nanos}");
            assert!(at == 0 || top(at - 1) < nanos, "{nanos}");
        }
    }

    #[test]
    fn a_value_beyond_the_last_bucket_is_kept_there() {
        let mut seen = Histogram::default();
        seen.record(Duration::from_secs(100_000));
        assert!(seen.quantile(1.0).expect("a value") >= 1e9);
    }

    #[test]
    fn medians_and_ratios() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        // The second round has no figure of theirs, the third divides by zero: neither may count.
        assert_eq!(
            ratio(
                &[Some(1.0), Some(9.0), Some(5.0), Some(3.0)],
                &[Some(2.0), None, Some(0.0), Some(4.0)]
            ),
            Some(0.625)
        );
        assert_eq!(ratio(&[None], &[Some(1.0)]), None);
    }
}

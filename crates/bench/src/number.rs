//! Conversions to `f64`, and order statistics.

/// A count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "measurements below 2^53 convert exactly, and larger ones need no more than 53 bits"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    float(bytes) / f64::from(1_u32 << 20)
}

/// The middle value, or the mean of the two middle ones; `None` for no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// The smallest value that at least `per_mille` thousandths of `sorted` do not exceed.
///
/// `sorted` is in rising order; 0 for no values.
pub(crate) fn quantile(sorted: &[u64], per_mille: usize) -> u64 {
    let rank = sorted.len().saturating_mul(per_mille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// The arithmetic mean; 0 for no values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    if count == 0 {
        0.0
    } else {
        values.iter().sum::<f64>() / f64::from(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_count_is_between_the_middle_values() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 8.0]), Some(3.0));
    }

    #[test]
    fn quantile_takes_the_nearest_rank() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(quantile(&sorted, 500), 50);
        assert_eq!(quantile(&sorted, 990), 99);
        assert_eq!(quantile(&sorted, 1000), 100);
        assert_eq!(quantile(&[7], 1), 7);
        assert_eq!(quantile(&[], 500), 0);
    }

    #[test]
    fn mean_of_no_values_is_zero() {
        assert!((mean(&[]) - 0.0).abs() < f64::EPSILON);
        assert!((mean(&[1.0, 2.0, 6.0]) - 3.0).abs() < f64::EPSILON);
    }
}

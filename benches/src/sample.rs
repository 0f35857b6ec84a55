//! One run of one side, as measured.

use serde::Serialize;

/// Figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// For each step after the warm-up, tokens of all ranks per second.
    pub tokens_per_second: Vec<f64>,
    /// Largest resident memory of any rank, MiB.
    pub peak_rss_mib: f64,
    /// From starting the command to the moment at which the first step may begin, in seconds.
    pub launch_to_ready_s: f64,
    /// Loss of the last step, to see that both sides do the same work.
    pub last_loss: f64,
}

/// The middle value; the mean of the two middle ones for an even count, NaN for none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }
}

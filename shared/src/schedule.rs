//! The learning rate of each step: a pure function of the configuration and the run's length
//! ([`RunLength`](crate::plan::RunLength)).

use crate::config::{Optimizer, Schedule};

/// The learning rate of each optimizer step.
///
/// Linear warm-up over the first `warmup_steps` steps, then half a cosine from the peak down to
/// `peak * min_lr_ratio`, which the last step has (Loshchilov & Hutter 2017, one cycle, with a floor).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    peak: f64,
    floor: f64,
    warmup_steps: u64,
    total_steps: u64,
}

impl LearningRate {
    /// The schedule of a run of `total_steps` optimizer steps.
    #[must_use]
    pub fn new(optimizer: &Optimizer, schedule: &Schedule, total_steps: u64) -> Self {
        // 0.07 * 100 is a little above 7 in binary, and must not become 8.
        let warmup_steps = (schedule.warmup_ratio * total_steps as f64 - 1e-9).ceil() as u64;
        Self {
            peak: optimizer.learning_rate,
            floor: optimizer.learning_rate * schedule.min_lr_ratio,
            warmup_steps: warmup_steps.min(total_steps),
            total_steps,
        }
    }

    /// The learning rate of the step that follows `steps_done` finished ones.
    #[must_use]
    pub fn at(&self, steps_done: u64) -> f64 {
        if steps_done < self.warmup_steps {
            return self.peak * (steps_done + 1) as f64 / self.warmup_steps as f64;
        }
        let span = self.total_steps.saturating_sub(self.warmup_steps).saturating_sub(1);
        if span == 0 {
            return self.peak;
        }
        let progress = ((steps_done - self.warmup_steps) as f64 / span as f64).min(1.0);
        self.floor + (self.peak - self.floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(warmup_ratio: f64, total: u64) -> LearningRate {
        let optimizer = Optimizer { learning_rate: 1.0, ..Optimizer::default() };
        LearningRate::new(&optimizer, &Schedule { warmup_ratio, min_lr_ratio: 0.1 }, total)
    }

    #[test]
    fn warms_up_to_the_peak_and_ends_at_the_floor() {
        let rate = schedule(0.1, 100);
        assert!((rate.at(0) - 0.1).abs() < 1e-12);
        assert!((rate.at(9) - 1.0).abs() < 1e-12);
        assert!((rate.at(10) - 1.0).abs() < 1e-12);
        assert!((rate.at(99) - 0.1).abs() < 1e-12);
        // Half way down the cosine: the middle between peak and floor.
        assert!((schedule(0.0, 101).at(50) - 0.55).abs() < 1e-12);
    }

    #[test]
    fn the_warm_up_is_not_a_step_longer_for_rounding() {
        assert_eq!(schedule(0.07, 100).warmup_steps, 7);
        assert_eq!(schedule(0.071, 100).warmup_steps, 8);
        assert_eq!(schedule(0.0, 100).warmup_steps, 0);
        assert_eq!(schedule(1.0, 3).warmup_steps, 3);
    }

    #[test]
    fn the_shortest_runs_have_a_rate() {
        assert_eq!(schedule(0.03, 1).at(0), 1.0);
        assert_eq!(schedule(0.0, 1).at(0), 1.0);
        assert!((schedule(0.0, 2).at(1) - 0.1).abs() < 1e-12);
    }
}

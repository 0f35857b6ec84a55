//! How many optimizer steps a run takes.

use super::{EpochPlan, PlanError};
use crate::config::{Batch, Train};

/// Packs that each lane gives to an optimizer step: `ceil(global_tokens / (max_length * lanes))`, at least 1.
///
/// `global_tokens` is the batch over all ranks and `max_length` the size of a full pack, both in tokens.
#[must_use]
pub fn packs_per_lane(global_tokens: u64, max_length: u32, lanes: u32) -> u64 {
    let full_round = u64::from(max_length.max(1)) * u64::from(lanes.max(1));
    global_tokens.div_ceil(full_round).max(1)
}

/// The length of a run in optimizer steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLength {
    packs_per_lane: u64,
    steps_per_epoch: u64,
    epochs: u32,
    max_steps: u64,
}

impl RunLength {
    /// The length of a run over `packs` packs (quarantined ones not counted) of at most `max_length` tokens.
    ///
    /// # Errors
    /// No lanes, or fewer packs than lanes.
    pub fn new(
        train: &Train,
        batch: &Batch,
        packs: u64,
        max_length: u32,
        lanes: u32,
    ) -> Result<Self, PlanError> {
        if lanes == 0 {
            return Err(PlanError::NoLanes);
        }
        if packs < u64::from(lanes) {
            return Err(PlanError::TooFewPacks { packs, lanes });
        }
        let packs_per_lane = packs_per_lane(batch.global_tokens, max_length, lanes);
        let steps_per_epoch = packs.div_ceil(u64::from(lanes)).div_ceil(packs_per_lane);
        Ok(Self { packs_per_lane, steps_per_epoch, epochs: train.epochs, max_steps: train.max_steps })
    }

    /// Packs that each lane gives to a step (the last step of an epoch may have fewer).
    #[must_use]
    pub fn packs_per_lane(&self) -> u64 {
        self.packs_per_lane
    }

    /// Steps of an epoch that is cut once.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Steps of the whole run when no epoch is cut a second time.
    #[must_use]
    pub fn total_steps(&self) -> u64 {
        self.limit(u64::from(self.epochs).saturating_mul(self.steps_per_epoch))
    }

    /// Steps until the plan's epoch ends, once each lane has given `taken` packs.
    #[must_use]
    pub fn steps_left_in_epoch(&self, plan: &EpochPlan, taken: u64) -> u64 {
        plan.longest_lane().saturating_sub(taken).div_ceil(self.packs_per_lane)
    }

    /// Steps of the whole run as seen from a plan that may have been cut anew: `steps_done` behind it, each lane
    /// having given `taken` packs of the plan.
    #[must_use]
    pub fn total_steps_from(&self, steps_done: u64, plan: &EpochPlan, taken: u64) -> u64 {
        let later_epochs = u64::from(self.epochs.saturating_sub(plan.epoch().0.saturating_add(1)));
        let left = self.steps_left_in_epoch(plan, taken);
        let later_steps = later_epochs.saturating_mul(self.steps_per_epoch);
        self.limit(steps_done.saturating_add(left).saturating_add(later_steps))
    }

    fn limit(&self, steps: u64) -> u64 {
        if self.max_steps == 0 { steps } else { steps.min(self.max_steps) }
    }
}

//! One optimizer step of one rank.

use super::error::TrainError;
use super::optimizer::{AdamW, Gradients};
use crate::data::{Feed, MicroBatch, StepPacks};
use crate::model::Llama;
use crate::session::{Phase, Progress};
use evenkeel_shared::schedule::LearningRate;
use evenkeel_torch_ext::optim;
use evenkeel_torch_ext::{ProcessGroup, Reducer};
use tch::{Device, Kind, Tensor};

/// What the ranks tell each other once a step: sums over all ranks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Totals {
    /// Sum of the cross-entropies at the target tokens, in nats.
    pub(super) loss_sum: f64,
    pub(super) targets: f64,
    pub(super) tokens: f64,
    /// Ranks that were told to stop, to stop with a checkpoint, to save: a vote, because an order reaches the ranks at
    /// different moments and all of them must act at the same step.
    pub(super) stop: f64,
    pub(super) stop_and_save: f64,
    pub(super) save: f64,
}

impl Totals {
    fn to_array(self) -> [f64; 6] {
        [self.loss_sum, self.targets, self.tokens, self.stop, self.stop_and_save, self.save]
    }

    fn from_array(values: [f64; 6]) -> Self {
        let [loss_sum, targets, tokens, stop, stop_and_save, save] = values;
        Self { loss_sum, targets, tokens, stop, stop_and_save, save }
    }

    /// The sum over all ranks.
    fn all_reduce(self, group: &ProcessGroup, device: Device) -> Result<Self, TrainError> {
        let mut tensor = Tensor::f_from_slice(&self.to_array())?.f_to_device(device)?;
        group.all_reduce_sum(&mut tensor)?;
        let mut values = [0.0; 6];
        tensor.f_to_device(Device::Cpu)?.f_copy_data(&mut values, 6)?;
        Ok(Self::from_array(values))
    }
}

/// A finished step.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepOutcome {
    pub(super) totals: Totals,
    /// Mean cross-entropy over the target tokens of all ranks.
    pub(super) loss: f64,
    /// Before clipping.
    pub(super) grad_norm: f64,
    pub(super) learning_rate: f64,
    pub(super) rank_tokens: u64,
}

/// Everything that a step changes.
#[derive(Debug)]
pub(super) struct Stepper {
    // Dropped in this order: the Reducer's hooks go before the gradients' owners.
    pub(super) reducer: Reducer,
    pub(super) gradients: Gradients,
    pub(super) optimizer: AdamW,
    pub(super) model: Llama,
    pub(super) schedule: LearningRate,
    pub(super) clip_norm: f64,
    pub(super) device: Device,
    pub(super) rank: u32,
}

impl Stepper {
    /// Forward and backward over the rank's packs, all-reduce, clip, update.
    ///
    /// The gradients are those of the loss *sum*; they are divided by the global number of targets at the end, together
    /// with clipping, so that the result does not depend on how packs fall into micro-batches and ranks.
    ///
    /// # Errors
    /// Reading a pack, a lost peer, a step that is not finite.
    pub(super) fn step(
        &mut self,
        steps_done: u64,
        packs: &StepPacks,
        feed: &mut Feed,
        group: &ProcessGroup,
        votes: Totals,
        progress: &Progress,
    ) -> Result<StepOutcome, TrainError> {
        let mut own = votes;
        let mut loss_sum = Tensor::f_zeros([] as [i64; 0], (Kind::Double, self.device))?;
        for pass in 0..packs.passes() {
            progress.enter(Phase::Data);
            let batch = feed.read(packs, pass)?;
            progress.set_open_segments(&feed.open_segments());
            progress.enter(Phase::ForwardBackward);
            let loss = self.forward_backward(&batch, pass + 1 == packs.passes())?;
            loss_sum = loss_sum.f_add(&loss.f_to_kind(Kind::Double)?)?;
            own.targets += batch.target_count as f64;
            own.tokens += batch.token_count as f64;
        }
        if packs.passes() == 0 {
            self.reducer.reduce_without_backward()?;
        }
        own.loss_sum = loss_sum.f_double_value(&[])?;
        let totals = own.all_reduce(group, self.device)?;

        progress.enter(Phase::Optimizer);
        let targets = totals.targets.max(1.0);
        let loss = totals.loss_sum / targets;
        let flat = self.reducer.flat_gradients()?;
        let grad_norm = optim::grad_norm(&flat)? / targets;
        let learning_rate = self.schedule.at(steps_done);
        if !loss.is_finite() || !grad_norm.is_finite() {
            let segments = feed.open_segments();
            return Err(TrainError::NotFinite {
                step: steps_done + 1,
                loss,
                grad_norm,
                rank: self.rank,
                segments,
            });
        }
        let divisor = targets * clip_divisor(grad_norm, self.clip_norm);
        optim::scale_in_place(&flat, 1.0 / divisor)?;
        self.optimizer.step(&self.gradients, steps_done + 1, learning_rate)?;
        self.reducer.zero_grad()?;
        Ok(StepOutcome { totals, loss, grad_norm, learning_rate, rank_tokens: own.tokens as u64 })
    }

    /// Adds the micro-batch's gradients; the last one of a step also all-reduces them.
    fn forward_backward(&mut self, batch: &MicroBatch, is_last: bool) -> Result<Tensor, TrainError> {
        let loss = self.model.loss_sum(&batch.line, &batch.sources, &batch.targets)?;
        if is_last {
            self.reducer.backward_and_reduce(&loss)?;
        } else {
            self.reducer.backward_local(&loss)?;
        }
        Ok(loss.detach())
    }
}

/// What the gradient is divided by so that its norm is at most `clip_norm`; 1 when it already is, or without clipping.
fn clip_divisor(grad_norm: f64, clip_norm: f64) -> f64 {
    if clip_norm > 0.0 { (grad_norm / clip_norm).max(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::clip_divisor;

    #[test]
    fn clipping_only_shrinks() {
        assert_eq!(clip_divisor(0.5, 1.0), 1.0);
        assert_eq!(clip_divisor(4.0, 1.0), 4.0);
        assert_eq!(clip_divisor(4.0, 0.0), 1.0);
    }
}

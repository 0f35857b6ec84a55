//! Ending early and saving, on request.

use super::{Effect, Millis, Order, Outcome, Phase, Refusal, SaveOnStop, State};

impl State {
    /// Whether a stop makes sense now.
    ///
    /// # Errors
    /// The run is over or about to be.
    pub fn accepts_stop(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Waiting | Phase::Forming | Phase::Training | Phase::Stopping => Ok(()),
            Phase::Aborting { .. } => {
                Err(Refusal::Precondition(format!("the run is ending: {}", self.reason)))
            }
            Phase::Ended(_) => Err(Refusal::Precondition(format!("the run is over: {}", self.reason))),
        }
    }

    /// Whether a checkpoint can be asked for now.
    ///
    /// # Errors
    /// No training is going on.
    pub fn accepts_save(&self) -> Result<(), Refusal> {
        if self.phase == Phase::Training {
            return Ok(());
        }
        Err(Refusal::Precondition(format!(
            "a checkpoint can be written only while the run is training, and it is not: {}",
            self.reason
        )))
    }

    pub(super) fn stop_requested(
        &mut self,
        save_checkpoint: SaveOnStop,
        reason: String,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let told = if reason.is_empty() { "no reason was given".to_owned() } else { reason };
        match self.phase {
            // No step was done in this generation, so there is nothing to save.
            Phase::Waiting => {
                self.end(Outcome::Stopped, format!("stopped before the start: {told}"), now, effects)
            }
            Phase::Forming => {
                self.send_to_workers(
                    &Order::Abort { generation: self.generation, reason: told.clone() },
                    effects,
                );
                self.end(Outcome::Stopped, format!("stopped before the first step: {told}"), now, effects);
            }
            Phase::Training | Phase::Stopping => {
                self.send_to_workers(&Order::Stop { save_checkpoint, reason: told.clone() }, effects);
                self.enter(Phase::Stopping, format!("stopped on request: {told}"), now);
                effects.push(Effect::Publish);
            }
            Phase::Aborting { .. } | Phase::Ended(_) => {}
        }
    }

    pub(super) fn save_requested(&mut self, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Training {
            self.send_to_workers(&Order::Save, effects);
        }
    }
}

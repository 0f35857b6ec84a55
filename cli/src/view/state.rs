//! A run's state in one word.

use evenkeel_proto::v1::RunState;

/// The word for a state; also its stable name in JSON.
pub const fn name_of(state: RunState) -> &'static str {
    match state {
        RunState::Unspecified => "unknown",
        RunState::Waiting => "waiting",
        RunState::Forming => "forming",
        RunState::Training => "training",
        RunState::Stopping => "stopping",
        RunState::Finished => "finished",
        RunState::Stopped => "stopped",
        RunState::Failed => "failed",
    }
}

/// Whether nothing follows this state.
pub const fn is_over(state: RunState) -> bool {
    matches!(state, RunState::Finished | RunState::Stopped | RunState::Failed)
}

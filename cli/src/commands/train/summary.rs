//! The last words of a run that has not failed.

use crate::view::{count, duration};
use evenkeel_proto::v1::{RunState, RunStatus};
use std::path::Path;
use std::time::Duration;

/// What was done, where it is, what to do next.
pub fn render(status: &RunStatus, took: Duration, config_file: &Path) -> String {
    let took = duration(took.as_secs_f64());
    let mut lines = vec![match status.state() {
        RunState::Finished => format!("finished: {} steps in {took}", status.step),
        _ => format!(
            "stopped at step {} of {} after {took}: {}",
            status.step, status.total_steps, status.reason
        ),
    }];
    if status.step > 0 {
        lines.push(format!("  last loss   {:.4}", status.loss));
        lines.push(format!(
            "  trained     {} tokens, {} of them targets, {} tokens/s",
            count(status.tokens as f64),
            count(status.target_tokens as f64),
            count(status.tokens_per_second)
        ));
    }
    let go_on = format!("evenkeel train {}", config_file.display());
    if status.checkpoint.is_empty() {
        lines.push("  checkpoint  none".into());
        lines.push(format!("  next        {go_on}    begins anew"));
        return lines.join("\n");
    }
    lines.push(format!("  checkpoint  {}", status.checkpoint));
    let ask = format!("evenkeel generate --model {}/model --prompt \"How are you?\"", status.checkpoint);
    lines.push(match status.state() {
        RunState::Finished => format!("  next        {ask}"),
        _ => format!("  next        {go_on}    goes on from there\n              {ask}"),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: RunState) -> RunStatus {
        RunStatus {
            state: state.into(),
            reason: "asked by `evenkeel stop`".into(),
            step: 40,
            total_steps: 100,
            loss: 2.3456,
            tokens: 1_310_720,
            target_tokens: 512_000,
            tokens_per_second: 1234.0,
            checkpoint: "/data/runs/a/checkpoints/step-00000040".into(),
            ..RunStatus::default()
        }
    }

    fn rendered(status: &RunStatus) -> String {
        render(status, Duration::from_secs(302), Path::new("run.toml"))
    }

    #[test]
    fn a_finished_run() {
        insta::assert_snapshot!(rendered(&status(RunState::Finished)));
    }

    #[test]
    fn a_stopped_run_says_how_to_go_on() {
        insta::assert_snapshot!(rendered(&status(RunState::Stopped)));
    }

    #[test]
    fn without_a_checkpoint_nothing_is_promised() {
        let status = RunStatus { step: 0, checkpoint: String::new(), ..status(RunState::Stopped) };
        let text = rendered(&status);
        assert!(
            text.contains("checkpoint  none") && text.contains("begins anew") && !text.contains("generate"),
            "{text}"
        );
    }
}

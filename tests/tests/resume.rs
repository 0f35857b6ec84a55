//! N steps equal k steps, kill -9, and the rest, bit for bit.

use anyhow::Result;
use evenkeel_tests::{Sandbox, checkpoint_tensors, losses};

const STEPS: u64 = 120;
const SAVE_EVERY: u64 = 10;

fn killed_and_resumed_equals_uninterrupted(precision: &str) -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    sandbox
        .set("train.precision", format!("\"{precision}\""))
        .set("train.max_steps", STEPS)
        .set("checkpoint.save_every", SAVE_EVERY)
        .set("cluster.workers", 2);

    sandbox.set("run.dir", "\"whole\"");
    let _ = sandbox.train()?.finish().succeeded();
    let whole = (losses(&sandbox.run_dir())?, checkpoint_tensors(&sandbox.run_dir(), STEPS)?);
    assert_eq!(whole.0.len() as u64, STEPS);

    sandbox.set("run.dir", "\"killed\"");
    let mut killed = sandbox.train()?;
    // Past a checkpoint, so that steps are lost and done again.
    killed.wait_for_checkpoint(2 * SAVE_EVERY);
    killed.wait_for_step(2 * SAVE_EVERY + 2);
    killed.kill_everything();
    assert!(
        !sandbox.run_dir().join(format!("checkpoints/step-{STEPS:08}")).exists(),
        "it was killed too late"
    );

    let resumed = sandbox.train()?.finish().succeeded();
    assert!(resumed.stderr.contains("goes on from step "), "{}", resumed.stderr);
    assert_eq!(losses(&sandbox.run_dir())?, whole.0);
    assert!(
        checkpoint_tensors(&sandbox.run_dir(), STEPS)? == whole.1,
        "parameters or optimizer state differ"
    );
    Ok(())
}

#[test]
fn fp32() -> Result<()> {
    killed_and_resumed_equals_uninterrupted("fp32")
}

#[test]
fn bf16() -> Result<()> {
    killed_and_resumed_equals_uninterrupted("bf16")
}

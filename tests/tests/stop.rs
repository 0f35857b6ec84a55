//! Being asked to stop: a checkpoint, a clean end, and a run that can go on.

use anyhow::Result;
use evenkeel_shared::checkpoint;
use evenkeel_tests::{Running, Sandbox, losses};
use nix::sys::signal::Signal;

fn long_run(sandbox: &mut Sandbox) -> Result<Running> {
    sandbox.set("train.max_steps", 0).set("train.epochs", 100_000).set("cluster.workers", 2);
    let mut run = sandbox.train()?;
    run.wait_for_step(3);
    Ok(run)
}

fn saved_step(sandbox: &Sandbox) -> Result<u64> {
    let newest = checkpoint::newest(&sandbox.run_dir())?;
    Ok(newest.expect("a checkpoint was saved").step.0)
}

#[test]
fn ctrl_c_saves_and_the_same_command_goes_on() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    let run = long_run(&mut sandbox)?;
    let processes = run.processes();
    run.signal(Signal::SIGINT)?;
    let stopped = run.finish();
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    assert!(stopped.stdout.starts_with("stopped at step "), "{}", stopped.stdout);
    assert!(!processes.iter().any(|process| process.lives()), "{processes:?}");

    let step = saved_step(&sandbox)?;
    assert_eq!(losses(&sandbox.run_dir())?.len() as u64, step, "the checkpoint is of the last step");
    sandbox.set("train.max_steps", step + 2);
    let resumed = sandbox.train()?.finish().succeeded();
    assert!(resumed.stderr.contains(&format!("goes on from step {step} ")), "{}", resumed.stderr);
    assert!(resumed.stdout.starts_with(&format!("finished: {} steps", step + 2)), "{}", resumed.stdout);
    assert_eq!(losses(&sandbox.run_dir())?.len() as u64, step + 2);
    Ok(())
}

#[test]
fn save_writes_a_checkpoint_and_goes_on_and_stop_ends_well() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    let mut run = long_run(&mut sandbox)?;
    let _ = sandbox.aside(&["save", "run"])?.succeeded();
    run.wait_for_any_checkpoint();
    let saved = saved_step(&sandbox)?;
    run.wait_for_step(saved + 3);
    let _ = sandbox.aside(&["stop", "run", "--no-save"])?.succeeded();
    let stopped = run.finish().succeeded();
    assert!(stopped.stdout.contains("evenkeel stop"), "{}", stopped.stdout);
    assert_eq!(saved_step(&sandbox)?, saved, "--no-save writes none");
    Ok(())
}

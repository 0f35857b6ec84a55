//! A process is lost: the run says which one and how, and leaves nobody behind.

use anyhow::Result;
use evenkeel_tests::{Running, Sandbox};
use nix::sys::signal::Signal;
use std::time::Duration;

/// Far below any time-out of a collective, far above what it takes.
const SOON: Duration = Duration::from_secs(20);

fn endless_run(sandbox: &mut Sandbox) -> Result<Running> {
    sandbox.set("train.max_steps", 0).set("train.epochs", 100_000).set("cluster.workers", 2);
    let mut run = sandbox.train()?;
    run.wait_for_step(3);
    Ok(run)
}

#[test]
fn a_killed_worker_ends_the_run_with_its_name_and_signal() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    let run = endless_run(&mut sandbox)?;
    let processes = run.processes();
    assert_eq!(processes.len(), 4, "command, coordinator and two workers: {processes:?}");
    run.worker(1).signal(Signal::SIGKILL);
    let message = run.finish_within(SOON).refused(1);
    assert!(message.contains("/1") && message.to_lowercase().contains("kill"), "{message}");
    assert!(!processes.iter().any(|process| process.lives()), "{processes:?}");
    Ok(())
}

#[test]
fn a_killed_coordinator_ends_the_run() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    let run = endless_run(&mut sandbox)?;
    let processes = run.processes();
    let coordinator = processes.iter().find(|process| process.is("evenkeel-coordinator"));
    coordinator.expect("a coordinator runs").signal(Signal::SIGKILL);
    let message = run.finish_within(SOON).refused(1);
    assert!(message.contains("coordinator") && message.contains("SIGKILL"), "{message}");
    assert!(!processes.iter().any(|process| process.lives()), "{processes:?}");
    Ok(())
}

#[test]
fn nobody_outlives_a_killed_command() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    let mut run = endless_run(&mut sandbox)?;
    run.signal(Signal::SIGKILL)?;
    run.wait_until_all_are_gone(SOON);
    Ok(())
}

#[test]
fn a_second_ctrl_c_ends_everything_at_once() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    let run = endless_run(&mut sandbox)?;
    let processes = run.processes();
    // A worker that does not move keeps the first one from being followed.
    run.worker(0).signal(Signal::SIGSTOP);
    run.signal(Signal::SIGINT)?;
    run.wait_for_words("saving a checkpoint");
    run.signal(Signal::SIGINT)?;
    assert_eq!(run.finish_within(SOON).code, Some(130));
    assert!(!processes.iter().any(|process| process.lives()), "{processes:?}");
    Ok(())
}

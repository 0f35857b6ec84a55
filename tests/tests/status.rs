//! Looking at a run from another terminal.

use anyhow::Result;
use evenkeel_tests::Sandbox;
use nix::sys::signal::Signal;
use serde_json::Value;

#[test]
fn a_run_shows_its_workers_and_then_is_gone() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    sandbox.set("train.max_steps", 0).set("train.epochs", 100_000).set("cluster.workers", 2);
    let mut run = sandbox.train()?;
    run.wait_for_step(2);

    let status: Value =
        serde_json::from_str(&sandbox.aside(&["status", "run", "--json"])?.succeeded().stdout)?;
    assert_eq!((&status["run"], &status["state"]), (&"test".into(), &"training".into()), "{status}");
    assert_eq!((&status["generation"], &status["world_size"]), (&1.into(), &2.into()), "{status}");
    assert!(status["step"].as_u64() >= Some(1) && status["loss"].as_f64() > Some(0.0), "{status}");
    for local_rank in 0..2 {
        let pid = run.worker(local_rank).pid;
        let workers = status["workers"].as_array().expect("workers are listed");
        let worker = workers.iter().find(|worker| worker["pid"] == pid).expect("each by its process id");
        assert_eq!(
            (&worker["local_rank"], &worker["device"]),
            (&local_rank.into(), &"cpu".into()),
            "{worker}"
        );
        assert!(worker["rank"].as_u64() < Some(2) && worker["connected"] == true, "{worker}");
        assert!(worker["last_heartbeat_seconds"].as_f64() < Some(60.0), "{worker}");
    }

    let table = sandbox.aside(&["status", "run"])?.succeeded().stdout;
    assert!(table.contains("training") && table.contains(&run.worker(0).pid.to_string()), "{table}");

    run.signal(Signal::SIGTERM)?;
    assert_eq!(run.finish().code, Some(143));
    let message = sandbox.aside(&["status", "run"])?.refused(1);
    assert!(message.contains("no coordinator"), "{message}");
    Ok(())
}

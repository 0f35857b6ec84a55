//! The number of processes and the split into micro-batches must not change what is learned.

use anyhow::Result;
use evenkeel_tests::{Sandbox, Tensors, checkpoint_tensors, losses};

const STEPS: u64 = 20;
/// Sums in another order round otherwise; 20 steps of AdamW carry that on.
const LOSS_TOLERANCE: f64 = 2e-6;
/// Relative to the largest value of each tensor.
const TENSOR_TOLERANCE: f64 = 5e-5;

struct Curve {
    losses: Vec<f64>,
    tensors: Tensors,
}

fn train(sandbox: &mut Sandbox, name: &str, workers: u32, micro_batch: u32) -> Result<Curve> {
    sandbox
        .set("run.dir", format!("\"{name}\""))
        .set("cluster.workers", workers)
        .set("batch.micro_batch", micro_batch);
    let _ = sandbox.train()?.finish().succeeded();
    Ok(Curve { losses: losses(&sandbox.run_dir())?, tensors: checkpoint_tensors(&sandbox.run_dir(), STEPS)? })
}

#[track_caller]
fn assert_equal_to_rounding(ours: &Curve, theirs: &Curve) {
    assert_eq!((ours.losses.len(), theirs.losses.len()), (STEPS as usize, STEPS as usize));
    for (step, (a, b)) in ours.losses.iter().zip(&theirs.losses).enumerate() {
        assert!((a - b).abs() <= LOSS_TOLERANCE * a.abs(), "loss of step {}: {a} and {b}", step + 1);
    }
    let (difference, name) = ours.tensors.largest_difference(&theirs.tensors);
    assert!(difference <= TENSOR_TOLERANCE, "{name} differs by {difference}");
}

fn falls(curve: &Curve) -> bool {
    curve.losses[curve.losses.len() - 1] < curve.losses[0] - 0.1
}

#[test]
fn one_two_and_four_processes_learn_the_same() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    sandbox.set("batch.global_tokens", 8 * 48);
    let one = train(&mut sandbox, "one", 1, 1)?;
    assert!(falls(&one), "nothing is learned: {:?}", one.losses);
    for workers in [2, 4] {
        let more = train(&mut sandbox, &format!("workers-{workers}"), workers, 1)?;
        assert_equal_to_rounding(&one, &more);
    }
    Ok(())
}

#[test]
fn the_split_into_micro_batches_does_not_matter() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    // One process with four packs a step: four, two and one accumulation steps; three leave a remainder.
    let whole = train(&mut sandbox, "four-times-1", 1, 1)?;
    for micro_batch in [2, 3, 4] {
        let split = train(&mut sandbox, &format!("micro-{micro_batch}"), 1, micro_batch)?;
        assert_equal_to_rounding(&whole, &split);
    }
    Ok(())
}

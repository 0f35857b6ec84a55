//! A run that can start is planned; one that cannot is refused with what to do, and nothing is written.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod small_run;

use evenkeel_shared::config::{Config, Precision, Resume};
use evenkeel_shared::ids::Step;
use evenkeel_shared::preflight::{PreflightError, check};
use small_run::{PACKS_PER_SEGMENT, SmallRun};
use std::fs::{self, File};

#[test]
fn a_new_run_is_planned() {
    let run = SmallRun::new();
    let plan = check(&run.config).unwrap();
    assert_eq!(plan.manifest.packs(), u64::from(2 * PACKS_PER_SEGMENT));
    assert_eq!((plan.lanes, plan.packs_per_lane, plan.steps_per_epoch, plan.total_steps), (2, 1, 3, Step(3)));
    assert!(plan.resume_from.is_none());
    assert_eq!(plan.steps_done(), Step(0));
    assert!(!run.config.run.dir.exists(), "something was written");
}

#[test]
fn a_run_goes_on_from_its_newest_intact_checkpoint() {
    let mut run = SmallRun::new();
    run.write_checkpoint(1);
    let newest = run.write_checkpoint(2);
    let plan = check(&run.config).unwrap();
    assert_eq!((plan.steps_done(), plan.total_steps), (Step(2), Step(3)));
    assert_eq!(plan.resume_from.unwrap().dir, newest);

    fs::write(newest.join("optimizer.safetensors"), "stale").unwrap();
    assert_eq!(check(&run.config).unwrap().steps_done(), Step(1));

    // A checkpoint that was asked for by name is not replaced by another one.
    run.config.train.resume = Resume::Path(newest);
    let error = check(&run.config).unwrap_err();
    assert!(matches!(error, PreflightError::Checkpoint(_)), "{error}");
    assert!(error.to_string().contains("optimizer.safetensors"), "{error}");
}

#[test]
fn with_other_lanes_the_rest_of_the_epoch_is_cut_anew() {
    let mut run = SmallRun::new();
    run.write_checkpoint(1);
    // Four of six packs are left: one worker with a batch of two packs takes two more steps.
    run.config.cluster.workers = 1;
    assert_eq!(check(&run.config).unwrap().total_steps, Step(3));
    run.config.batch.global_tokens = 4;
    assert_eq!(check(&run.config).unwrap().total_steps, Step(5));
}

/// A change of the run, and words of the error that it must give.
type Fault = (fn(&mut SmallRun), &'static [&'static str]);

#[test]
fn what_stands_in_the_way_is_named() {
    let faults: [Fault; 15] = [
        (|run| run.config.model.path = "nowhere".into(), &["no model in nowhere", "evenkeel import"]),
        (
            |run| {
                let path = run.config.model.path.join("config.json");
                fs::write(path, r#"{"architectures": ["GPT2LMHeadModel"]}"#).unwrap();
            },
            &["GPT2LMHeadModel"],
        ),
        (
            |run| fs::remove_file(run.config.model.path.join("model.safetensors")).unwrap(),
            &["has no weights", "model.safetensors"],
        ),
        (
            |run| fs::remove_file(run.config.model.path.join("chat_template.jinja")).unwrap(),
            &["no chat template"],
        ),
        (|run| run.config.data.dataset = "nowhere".into(), &["nowhere", "evenkeel vectorize"]),
        (
            |run| fs::write(run.config.model.path.join("tokenizer.json"), r#"{"other": 1}"#).unwrap(),
            &["vectorized with other settings", "tokenizer"],
        ),
        (
            |run| {
                let path = run.config.data.dataset.join("segments/000001.seg");
                let file = File::options().write(true).open(path).unwrap();
                file.set_len(file.metadata().unwrap().len() - 1).unwrap();
            },
            &["segments/000001.seg", "length in bytes"],
        ),
        (|run| run.config.cluster.workers = 0, &["cluster.workers is 0"]),
        (|run| run.config.cluster.workers = 7, &["more workers than packs", "is 7", "has 6 packs"]),
        (|run| run.config.data.lanes = 1, &["data.lanes is 1", "cluster.workers is 2"]),
        (|run| run.config.data.lanes = 100, &["6 packs", "100 lanes"]),
        (
            |run| {
                run.write_checkpoint(2);
                run.config.train.resume = Resume::Never;
            },
            &["\"never\"", "1 checkpoint", "step 2"],
        ),
        (
            |run| {
                run.write_checkpoint(2);
                run.config.run.seed += 1;
            },
            &["run.seed = 0", "says 1", "twice"],
        ),
        (
            |run| {
                run.config.train.precision = Precision::Fp32;
                run.write_checkpoint(2);
                run.config.train.precision = Precision::Bf16;
            },
            &["train.precision = fp32", "says bf16"],
        ),
        (
            |run| {
                run.write_checkpoint(2);
                let path = run.config.model.path.join("config.json");
                let text = fs::read_to_string(&path).unwrap();
                let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
                config["rms_norm_eps"] = serde_json::json!(0.25);
                fs::write(path, config.to_string()).unwrap();
            },
            &["model.path", "norm eps 0.25", "not the one that is named"],
        ),
    ];
    for (break_it, words) in faults {
        let mut run = SmallRun::new();
        break_it(&mut run);
        let error = check(&run.config).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_checkpoint_of_other_data_is_refused() {
    let run = SmallRun::new();
    run.write_checkpoint(1);
    let mut other = SmallRun::new();
    // The same data made with another seed: equal counts, another fingerprint.
    let path = other.config.data.dataset.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let seed = Config::default().vectorize.seed;
    fs::write(&path, text.replace(&format!("\"seed\": {seed}"), "\"seed\": 77")).unwrap();
    other.config.vectorize.seed = 77;
    other.config.run.dir = run.config.run.dir.clone();
    let error = check(&other.config).unwrap_err();
    assert!(matches!(error, PreflightError::OtherDataset { .. }), "{error}");
}

//! Lives in which nobody is lost.

use super::*;

#[test]
fn a_whole_life() {
    let mut life = Life::training();
    life.play(
        "1000 step a/0 1 1 => | training
         1001 step a/1 1 1 => | training
         2000 step a/1 1 2 => | training
         2001 saved a/0 1 2 checkpoints/2 => | training
         3000 step a/0 1 3 => | training
         3100 finished a/1 1 3 => | training
         3150 closed a/1 => | training
         3200 finished a/0 1 3 => a/0: close; a: close; end finished | finished
         3300 closed a/0 => | finished",
    );
    let progress = life.state.progress();
    assert_eq!((progress.step, progress.tokens, progress.target_tokens), (Step(3), 300, 150));
    assert_eq!(progress.checkpoint, Some((Step(3), "/runs/r/checkpoints/3".into())));
    assert_eq!(life.state.eta_seconds(), Some(0.0));
}

#[test]
fn ranks_follow_hosts_and_local_ranks_not_the_order_of_joining() {
    Life::new(facts(4)).play(
        "0 join b/1 => b/1: welcome | waiting
         0 join a/1 => a/1: welcome | waiting
         0 join b/0 => b/0: welcome | waiting
         0 join a/0 => a/0: welcome; b/1: form 1 rank 3 of 4; a/1: form 1 rank 1 of 4; b/0: form 1 rank 2 of 4; \
         a/0: form 1 rank 0 of 4 | forming
         1 store b/0 1 4000 => | forming
         2 store a/0 2 4000 => | forming
         3 store a/0 1 4000 => b/1: connect 1 a.net:4000; a/1: connect 1 a.net:4000; b/0: connect 1 a.net:4000; \
         a/0: connect 1 a.net:4000 | forming",
    );
}

#[test]
fn who_does_not_belong_is_refused_and_the_run_goes_on() {
    let mut life = Life::training();
    life.play(
        "10 join a/0 as twin => twin: refuse duplicate | training
         11 join b/0 => b/0: refuse precondition | training
         12 agent a 2 as second => second: refuse duplicate | training
         13 agent b 1 => b: refuse precondition | training
         14 closed twin => | training
         15 closed b/0 => | training
         16 exited a twin a/0 code 1 => | training
         17 exited a b/0 b/0 code 1 => | training
         1000 step a/0 1 1 => | training",
    );
    assert_eq!(life.state.members().workers.len(), 2);
}

#[test]
fn other_versions_are_refused() {
    let mut state = State::new(facts(1), Millis(0));
    let hello = worker_hello("a/0", 1);
    let strangers = [
        (WorkerHello { protocol_version: 99, ..hello.clone() }, "this process 99"),
        (WorkerHello { version: "9.9.9".into(), ..hello }, "9.9.9"),
    ];
    for (hello, words) in strangers {
        let event = Event::WorkerJoined { connection: ConnectionId(1), hello };
        let effects = apply(&mut state, event, Millis(0));
        let [Effect::Refuse { refusal: Refusal::Precondition(reason), .. }] = &effects[..] else {
            panic!("{effects:?}");
        };
        assert!(reason.contains(words), "{reason}");
        assert_eq!(state.phase(), Phase::Waiting);
    }
}

#[test]
fn words_about_another_generation_are_ignored() {
    let mut life = Life::training();
    life.play(
        "10 step a/0 2 1 => | training
         11 step a/0 0 1 => | training
         12 finished a/0 7 3 => | training
         13 failed a/0 7 old trouble => | training
         14 saved a/0 2 1 checkpoints/1 => | training
         15 ready a/0 2 => | training",
    );
    assert_eq!((life.state.progress().step, life.state.progress().checkpoint.clone()), (Step(0), None));
}

#[test]
fn a_stop_ends_training_at_a_step_boundary() {
    let mut life = Life::training();
    life.play(
        "1000 step a/0 1 1 => | training
         1100 stop save enough => a/0: stop save enough; a/1: stop save enough | stopping
         1200 stop discard now => a/0: stop discard now; a/1: stop discard now | stopping
         1300 finished a/0 1 2 => | stopping
         1400 finished a/1 1 2 => a/0: close; a/1: close; a: close; end stopped | stopped",
    );
    assert_eq!(life.state.reason(), "stopped on request: now, after step 2 of 3");
    assert!(life.state.accepts_stop().is_err());
}

#[test]
fn a_stop_before_the_first_step_needs_no_workers() {
    Life::new(facts(2)).play(
        "0 join a/0 => a/0: welcome | waiting
         5 stop save no => a/0: close; end stopped | stopped
         6 join a/1 => a/1: refuse precondition | stopped",
    );
    Life::new(facts(1)).play(
        "0 join a/0 => a/0: welcome; a/0: form 1 rank 0 of 1 | forming
         5 stop save no => a/0: abort 1; a/0: close; end stopped | stopped",
    );
}

#[test]
fn a_checkpoint_is_asked_for_only_while_training() {
    let mut life = Life::new(facts(2));
    assert!(life.state.accepts_save().is_err());
    life.play("0 save => | waiting");
    let mut life = Life::training();
    assert!(life.state.accepts_save().is_ok());
    life.play("10 save => a/0: save; a/1: save | training");
}

#[test]
fn who_is_missing_is_named_when_time_is_up() {
    let mut life = Life::new(facts(3));
    life.play(
        "0 agent a 2 => a: welcome | waiting
         0 join a/0 => a/0: welcome | waiting
         9000 beat a/0 0 0 joining => | waiting
         9999 tick => | waiting
         10000 tick => a: abort 0; a/0: close; a: close; end failed | failed",
    );
    let report = life.state.failure_report();
    assert!(report.starts_with("only 1 of 3 workers joined within 10 s"), "{report}");
    assert!(
        report.contains("Joined: a/0") && report.contains("agent of a started 2 workers, 1 joined"),
        "{report}"
    );
}

#[test]
fn who_does_not_get_ready_is_named_when_time_is_up() {
    let mut life = Life::new(facts(2));
    life.play(
        "0 join a/0 => a/0: welcome | waiting
         0 join a/1 => a/1: welcome; a/0: form 1 rank 0 of 2; a/1: form 1 rank 1 of 2 | forming
         9000 ready a/0 1 => | forming
         9000 beat a/1 1 0 loading => | forming
         10000 tick => a/0: abort 1; a/1: abort 1; a/0: close; a/1: close; end failed | failed",
    );
    let report = life.state.failure_report();
    assert!(
        report.contains("1 of 2 workers did not get ready") && report.contains("a/1 (rank 1) (loading)"),
        "{report}"
    );
}

#[test]
fn a_run_that_ends_early_by_itself_has_failed() {
    let mut life = Life::training();
    life.play(
        "1000 step a/0 1 1 => | training
         1001 finished a/0 1 1 => | training
         1002 finished a/1 1 1 => a: abort 1; a/0: close; a/1: close; a: close; end failed | failed",
    );
    let report = life.state.failure_report();
    assert!(report.contains("after step 1, but the plan has 3 steps"), "{report}");
}

#[test]
fn a_run_resumed_at_its_end_finishes_before_all_are_ready() {
    let resume =
        ResumePoint { path: "/c".into(), step: Step(3), epoch: Epoch(1), tokens: 9, target_tokens: 4 };
    let mut life = Life::new(RunFacts { resume_from: Some(resume), ..facts(2) });
    life.play(
        "0 join a/0 => a/0: welcome | waiting
         0 join a/1 => a/1: welcome; a/0: form 1 rank 0 of 2; a/1: form 1 rank 1 of 2 | forming
         0 ready a/0 1 => | forming
         1 finished a/0 1 3 => | forming
         2 ready a/1 1 => | training
         3 finished a/1 1 3 => a/0: close; a/1: close; end finished | finished",
    );
    assert_eq!(life.state.progress().tokens, 9);
}

#[test]
fn speed_and_remaining_time_come_from_the_last_steps() {
    let mut life = Life::training();
    assert_eq!(life.state.eta_seconds(), None);
    life.play(
        "2000 step a/0 1 1 => | training
         2000 step a/1 1 1 => | training
         4000 step a/1 1 2 => | training",
    );
    assert_eq!(life.state.progress().pace.tokens_per_second(), Some(50.0));
    assert_eq!(life.state.eta_seconds(), Some(2.0));
}

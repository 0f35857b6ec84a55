//! Lives in which somebody is lost, and who is named as the cause.

use super::*;

/// Plays a loss in the training of a/0 (rank 0) and a/1 (rank 1); checks the report's first line and its other words.
fn check(script: &str, first_line: &str, words: &[&str]) {
    let mut life = Life::training();
    life.play(script);
    assert_eq!(life.state.outcome(), Some(Outcome::Failed));
    let report = life.state.failure_report();
    assert_eq!(report.lines().next(), Some(first_line), "{report}");
    for word in words {
        assert!(report.contains(word), "{word:?} is not in: {report}");
    }
    assert_eq!(life.state.reason(), first_line);
}

#[test]
fn the_agents_account_comes_after_the_broken_stream() {
    check(
        "700 beat a/1 1 1 forward_backward => | training
         900 step a/0 1 1 => | training
         1000 closed a/1 => a/0: abort 1 | aborting
         1100 exited a a/1 a/1 signal 9 => | aborting
         1499 tick => | aborting
         1500 tick => a: abort 1; a/0: close; a: close; end failed | failed
         1600 tick => | failed",
        "worker a/1 (rank 1) was lost in generation 1 after step 1 of the run: its process was killed by signal 9 (SIGKILL; \
         the system does this when memory runs out).",
        &[
            "host a as process 102 on cpu. Steps done: 1; last phase: forward_backward.",
            "0.3 s old",
            "    the last line",
            "No checkpoint was written yet",
        ],
    );
}

#[test]
fn a_victim_that_is_heard_first_is_not_the_cause() {
    check(
        "1000 peer-lost a/0 1 connection closed by peer => a/0: abort 1; a/1: abort 1 | aborting
         1010 closed a/1 => | aborting
         1020 closed a/0 => | aborting
         1030 exited a a/0 a/0 code 1 => | aborting
         1040 exited a a/1 a/1 code 3 => | aborting
         1500 tick => a: abort 1; a: close; end failed | failed",
        "worker a/1 (rank 1) was lost in generation 1 after step 0 of the run: its process ended with exit code 3.",
        &["Gone as a consequence: a/0 (rank 0)."],
    );
}

#[test]
fn a_killed_process_is_the_cause_even_when_the_victim_did_not_know() {
    check(
        "1000 failed a/0 1 gloo says no => a/0: abort 1; a/1: abort 1 | aborting
         1010 closed a/0 => | aborting
         1020 exited a a/0 a/0 code 1 => | aborting
         1030 exited a a/1 a/1 signal 9 => | aborting
         1500 tick => a: abort 1; a/1: close; a: close; end failed | failed",
        "worker a/1 (rank 1) was lost in generation 1 after step 0 of the run: its process was killed by signal 9 (SIGKILL; \
         the system does this when memory runs out).",
        &["Gone as a consequence: a/0"],
    );
}

#[test]
fn the_first_to_fail_by_itself_is_the_cause_whatever_happens_to_the_others() {
    check(
        "990 saved a/0 1 2 checkpoints/2 => | training
         1000 failed a/1 1 out of memory on cuda:0 => a/0: abort 1; a/1: abort 1 | aborting
         1005 exited a a/0 a/0 signal 6 => | aborting
         1010 closed a/0 => | aborting
         1020 exited a a/1 a/1 code 1 => | aborting
         1500 tick => a: abort 1; a/1: close; a: close; end failed | failed",
        "worker a/1 (rank 1) was lost in generation 1 after step 0 of the run: it reported \"out of memory on cuda:0\", and its \
         process ended with exit code 1.",
        &["phase: optimizer", "newest checkpoint is of step 2, /runs/r/checkpoints/2"],
    );
}

#[test]
fn a_vanished_host_shows_in_missed_heartbeats_only() {
    // Only the victim speaks: the report waits for the silent worker's heartbeats to run out.
    check(
        "900 beat a/1 1 0 data => | training
         1000 peer-lost a/0 1 timed out => a/0: abort 1; a/1: abort 1 | aborting
         1010 closed a/0 => | aborting
         1500 tick => | aborting
         5899 tick => | aborting
         5900 tick => a: abort 1; a/1: close; a: close; end failed | failed",
        "worker a/1 (rank 1) was lost in generation 1 after step 0 of the run: nothing was heard of it for 5.0 s; its process or \
         its host hangs, or the network is cut.",
        &["Gone as a consequence: a/0"],
    );
}

#[test]
fn victims_alone_are_reported_once_everyone_else_is_known_to_live() {
    check(
        "1000 peer-lost a/0 1 broken pipe => a/0: abort 1; a/1: abort 1 | aborting
         1500 tick => | aborting
         1600 beat a/1 1 0 data => | aborting
         1610 tick => a: abort 1; a/0: close; a/1: close; a: close; end failed | failed",
        "worker a/0 (rank 0) was lost in generation 1 after step 0 of the run: it reported \"broken pipe\".",
        &[],
    );
}

#[test]
fn five_missed_heartbeats_are_a_loss() {
    let mut life = Life::training();
    life.play(
        "3000 beat a/0 1 0 data => | training
         4999 tick => | training
         5000 tick => a/0: abort 1; a/1: abort 1 | aborting",
    );
}

#[test]
fn a_process_that_ends_before_it_joins_ends_the_wait() {
    let mut life = Life::new(facts(2));
    life.play(
        "0 agent a 2 => a: welcome | waiting
         0 join a/0 => a/0: welcome | waiting
         100 exited a a/1 a/1 code 127 => a/0: abort 0 | aborting
         600 tick => a: abort 0; a/0: close; a: close; end failed | failed",
    );
    let report = life.state.failure_report();
    assert!(
        report
            .starts_with("worker a/1 ended before it joined the run: its process ended with exit code 127."),
        "{report}"
    );
    assert!(report.contains("    the last line"), "{report}");
}

#[test]
fn who_has_finished_may_go() {
    Life::training().play(
        "1000 step a/0 1 3 => | training
         1000 finished a/0 1 3 => | training
         1001 closed a/0 => | training
         1002 exited a a/0 a/0 code 0 => | training
         1003 beat a/1 1 3 checkpoint => | training
         5500 tick => | training
         5501 closed a/1 => | aborting
         5502 tick => | aborting
         6001 tick => a: abort 1; a: close; end failed | failed",
    );
}

#[test]
fn only_agents_are_believed_about_processes() {
    Life::training().play(
        "10 exited a/0 a/1 a/1 signal 9 => | training
         11 closed a => | training
         12 exited a a/1 a/1 signal 9 => | training",
    );
}

#[test]
fn nothing_new_begins_while_evidence_is_gathered() {
    Life::training().play(
        "10 closed a/1 => a/0: abort 1 | aborting
         11 stop save please => | aborting
         12 save => | aborting
         13 join c/0 => c/0: refuse precondition | aborting
         14 step a/0 1 1 => | aborting
         15 finished a/0 1 3 => | aborting",
    );
}

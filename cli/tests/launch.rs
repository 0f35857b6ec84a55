//! `evenkeel launch` against a coordinator and workers that do what the test says.

#![allow(clippy::unwrap_used, reason = "tests")]

mod fake;

use evenkeel_proto::v1::{AbortOrder, AttachResponse, attach_request, attach_response};
use fake::{DEADLINE, FakeCoordinator, eventually, program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Says its process id, then lives until its life line ends.
const OBEDIENT: &str = r#"echo $$ > "$(dirname "$0")/pid-$5"; cat"#;
/// Ends neither by its life line nor by SIGTERM.
const STUBBORN: &str = r#"trap '' TERM; echo $$ > "$(dirname "$0")/pid-$5"; while :; do sleep 0.1; done"#;

fn launch(address: &str, worker: &Path, workers: u32) -> Child {
    Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["launch", "--coordinator", address, "--workers", &workers.to_string(), "--device", "cpu"])
        .arg("--worker-binary")
        .arg(worker)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn finish(child: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().unwrap().try_into().unwrap()), signal).unwrap();
}

/// The process id that worker `local_rank` has written, once it has.
async fn pid_of(folder: &Path, local_rank: u32) -> u32 {
    let file = folder.join(format!("pid-{local_rank}"));
    let read = || fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
    eventually("the worker has said its process id", || read().is_some()).await;
    read().unwrap()
}

fn lives(pid: u32) -> bool {
    // A zombie is dead: only its parent has not looked yet.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn bound() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test]
async fn a_worker_that_ends_is_reported_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = bound().await;
    let mut coordinator = FakeCoordinator::serve(listener, folder.path());
    let worker =
        program(folder.path(), "echo \"threads $OMP_NUM_THREADS $*\" >&2; echo 'out of memory' >&2; exit 3");
    let agent = launch(&address, &worker, 1);
    let stream = coordinator.attached().await;
    let attach_request::Message::ProcessExited(exit) = coordinator.next().await else {
        panic!("an exit is expected")
    };
    assert_eq!((exit.exit_code, exit.signal), (Some(3), None));
    assert!(exit.worker_id.ends_with("/0") && exit.pid > 0, "{exit:?}");
    let [told, last] = exit.stderr_tail.as_slice() else { panic!("two lines are expected: {exit:?}") };
    assert!(
        told.contains(&format!("train --coordinator {address} --local-rank 0 --device cpu --threads ")),
        "{told}"
    );
    assert!(told.contains("--data-address 127.0.0.1 --exit-with-stdin"), "{told}");
    assert!(!told.starts_with("threads  "), "OMP_NUM_THREADS is set: {told}");
    assert_eq!(last, "out of memory");

    let order = AbortOrder { generation: 1, reason: "a worker is lost".into() };
    stream.send(Ok(AttachResponse { message: Some(attach_response::Message::Abort(order)) })).await.unwrap();
    drop(stream);
    let (code, stderr) = finish(agent).await;
    assert_eq!(
        (code, stderr.as_str()),
        (Some(1), "error: the coordinator gave the run up: a worker is lost\n")
    );
    let logs: Vec<_> = fs::read_dir(folder.path().join("logs")).unwrap().collect();
    assert_eq!(logs.len(), 1);
}

#[tokio::test]
async fn a_closed_stream_ends_even_a_stubborn_worker() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = bound().await;
    let mut coordinator = FakeCoordinator::serve(listener, folder.path());
    let agent = launch(&address, &program(folder.path(), STUBBORN), 2);
    let stream = coordinator.attached().await;
    let pids = [pid_of(folder.path(), 0).await, pid_of(folder.path(), 1).await];
    drop(stream);
    let (code, stderr) = finish(agent).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(!pids.into_iter().any(lives));
}

#[tokio::test]
async fn no_worker_outlives_a_killed_agent() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = bound().await;
    let mut coordinator = FakeCoordinator::serve(listener, folder.path());
    let agent = launch(&address, &program(folder.path(), OBEDIENT), 2);
    let _stream = coordinator.attached().await;
    let pids = [pid_of(folder.path(), 0).await, pid_of(folder.path(), 1).await];
    assert!(pids.into_iter().all(lives));
    signal(&agent, Signal::SIGKILL);
    eventually("the workers are gone", || !pids.into_iter().any(lives)).await;
}

#[tokio::test]
async fn the_first_signal_asks_for_a_checkpoint_and_the_second_kills() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = bound().await;
    let mut coordinator = FakeCoordinator::serve(listener, folder.path());
    let agent = launch(&address, &program(folder.path(), STUBBORN), 1);
    let _stream = coordinator.attached().await;
    let pid = pid_of(folder.path(), 0).await;
    signal(&agent, Signal::SIGTERM);
    let order = timeout(DEADLINE, coordinator.stops.recv()).await.unwrap().unwrap();
    assert!(order.save_checkpoint);
    assert!(lives(pid));
    signal(&agent, Signal::SIGTERM);
    assert_eq!(finish(agent).await.0, Some(143));
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_coordinator_may_come_up_later() {
    let folder = tempfile::tempdir().unwrap();
    // Bound but not listening: connections are refused until it does.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let agent = launch(&address, &program(folder.path(), OBEDIENT), 1);
    let pid = agent.id().unwrap();
    eventually("the agent runs", || lives(pid)).await;
    let mut coordinator = FakeCoordinator::serve(socket.listen(16).unwrap(), folder.path());
    drop(coordinator.attached().await);
    // How its worker ends in the grace is the worker's affair; the agent's own part went well.
    assert_eq!(finish(agent).await.0, Some(0));
}

#[tokio::test]
async fn a_refusal_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = bound().await;
    let _coordinator = FakeCoordinator::serve(listener, folder.path());
    let (code, stderr) = finish(launch(&address, &program(folder.path(), OBEDIENT), 4)).await;
    assert_eq!(code, Some(1));
    assert_eq!(stderr, "error: the coordinator says: all 3 workers have joined already\n");
}

#[tokio::test]
async fn a_worker_that_cannot_be_started_is_reported_too() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = bound().await;
    let mut coordinator = FakeCoordinator::serve(listener, folder.path());
    let agent = launch(&address, &folder.path().join("missing"), 1);
    let stream = coordinator.attached().await;
    let attach_request::Message::ProcessExited(exit) = coordinator.next().await else {
        panic!("an exit is expected")
    };
    assert_eq!(exit.exit_code, Some(127));
    assert!(exit.stderr_tail[0].contains("cannot start"), "{exit:?}");
    drop(stream);
    let (code, stderr) = finish(agent).await;
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: worker ") && stderr.contains("did not start"), "{stderr}");
}

//! What ends the coordinator from outside.

use std::future::pending;
use std::io::{self, Read};
use std::thread;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// SIGINT and SIGTERM from now on; their default effect is switched off.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the operating system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one; returns its name. May be cancelled and called again.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Resolves when stdin is closed.
///
/// # Errors
/// When no thread can be started for it.
pub fn stdin_closed() -> io::Result<oneshot::Receiver<()>> {
    let (closed, receiver) = oneshot::channel();
    // A thread of its own: tokio's stdin would keep the runtime from ending while a read waits.
    thread::Builder::new().name("life-line".into()).spawn(move || {
        let mut buffer = [0; 64];
        let mut stdin = io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                _ => {}
            }
        }
        let _ = closed.send(());
    })?;
    Ok(receiver)
}

/// Resolves when the life line is cut; never without one. May be cancelled and called again.
pub async fn cut(life_line: &mut Option<oneshot::Receiver<()>>) {
    match life_line {
        Some(receiver) => {
            // The thread ends only by sending.
            let _ = receiver.await;
        }
        None => pending().await,
    }
}

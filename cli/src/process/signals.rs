//! Being asked to end.

use anyhow::{Context, Result};
use std::fmt;
use tokio::signal::unix::{self, SignalKind};

/// A signal that asks the program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Ctrl-C.
    CtrlC,
    /// A scheduler or a service manager.
    Terminate,
    /// The terminal is gone.
    HangUp,
}

impl Interrupt {
    /// What a shell reports for a program that this signal ended: 128 + its number.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::CtrlC => 130,
            Self::Terminate => 143,
            Self::HangUp => 129,
        }
    }
}

impl fmt::Display for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CtrlC => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        })
    }
}

/// All of them, from now on; their default effect is switched off.
pub struct Interrupts {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Interrupts {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the operating system refuses a handler.
    pub fn listen() -> Result<Self> {
        let listen = |kind| unix::signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; may be cancelled and called again.
    pub async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::CtrlC,
            _ = self.terminate.recv() => Interrupt::Terminate,
            _ = self.hang_up.recv() => Interrupt::HangUp,
        }
    }
}

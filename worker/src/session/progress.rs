//! What the training thread is doing, readable by the control side at any time.

use evenkeel_proto::v1;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// The part of a step that a rank is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for a rank or for the others.
    Joining,
    /// Reading the model or a checkpoint.
    Loading,
    /// Reading packs.
    Data,
    /// Forward and backward passes, the all-reduce overlapping.
    ForwardBackward,
    /// Norm, clipping and the optimizer step.
    Optimizer,
    /// Writing a checkpoint.
    Checkpoint,
    /// Done.
    Finished,
}

impl Phase {
    const ALL: [Self; 7] = [
        Self::Joining,
        Self::Loading,
        Self::Data,
        Self::ForwardBackward,
        Self::Optimizer,
        Self::Checkpoint,
        Self::Finished,
    ];

    /// The name that status shows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Loading => "loading",
            Self::Data => "data",
            Self::ForwardBackward => "forward_backward",
            Self::Optimizer => "optimizer",
            Self::Checkpoint => "checkpoint",
            Self::Finished => "finished",
        }
    }
}

/// Written by the training thread, read for heartbeats and failure reports. Never blocks for long on either side.
#[derive(Debug, Default)]
pub struct Progress {
    generation: AtomicU64,
    step: AtomicU64,
    phase: AtomicU8,
    open_segments: Mutex<Vec<u32>>,
}

impl Progress {
    /// A generation has been formed.
    pub fn enter_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    /// This many optimizer steps are done.
    pub fn set_step(&self, step: u64) {
        self.step.store(step, Ordering::Relaxed);
    }

    /// The training thread enters a phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// The segments that this rank has open.
    pub fn set_open_segments(&self, segments: &[u32]) {
        let mut open = self.open_segments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        open.clear();
        open.extend_from_slice(segments);
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let index = self.phase.load(Ordering::Relaxed);
        Phase::ALL.get(usize::from(index)).copied().unwrap_or(Phase::Joining)
    }

    /// Optimizer steps done.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step.load(Ordering::Relaxed)
    }

    /// The generation that this worker has a rank in; 0 before the first.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The segments that this rank has open.
    #[must_use]
    pub fn open_segments(&self) -> Vec<u32> {
        self.open_segments.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Everything as a heartbeat.
    #[must_use]
    pub fn heartbeat(&self) -> v1::Heartbeat {
        v1::Heartbeat {
            generation: self.generation(),
            step: self.step(),
            phase: self.phase().name().into(),
            open_segments: self.open_segments(),
        }
    }
}

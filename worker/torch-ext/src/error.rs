//! Errors of this crate, and how libtorch's exceptions become them.

use std::fmt;
use std::time::Duration;

use tch::TchError;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong in a store, a process group, a reducer or an operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing came from a peer or the store within the time allowed. The peer may be stopped, very slow or unreachable.
    #[error("a peer or the store did not answer within the time allowed: {0}")]
    Timeout(String),
    /// The connection to a peer or to the store broke: the process at its other end has most likely ended.
    #[error("the connection to a peer was lost, so its process has most likely ended: {0}")]
    PeerLost(String),
    /// [`crate::AbortHandle::abort`] or [`crate::ProcessGroup::abort`] was called. The group can only be dropped.
    #[error("the process group was aborted")]
    Aborted,
    /// An abort did not return in time. It goes on in the background.
    #[error("aborting the process group took longer than the {} ms allowed", .0.as_millis())]
    AbortTooSlow(Duration),
    /// The store's port is taken.
    #[error(
        "cannot serve the rendezvous store on {host}:{port}: the port is in use. \
         Choose another port, or port 0 for any free one"
    )]
    AddressInUse {
        /// The address that was to be listened on.
        host: String,
        /// The port that was to be listened on.
        port: u16,
    },
    /// The store cannot listen for another reason than a taken port.
    #[error(
        "cannot serve the rendezvous store on {host}:{port}: {detail}. Is {host} an address of this machine?"
    )]
    Listen {
        /// The address that was to be listened on.
        host: String,
        /// The port that was to be listened on.
        port: u16,
        /// The operating system's words.
        detail: String,
    },
    /// No store answers there.
    #[error(
        "cannot reach the rendezvous store at {host}:{port} within {} ms: {detail}. Check that rank 0 is up and \
         that this machine can reach that address", .waited.as_millis()
    )]
    Connect {
        /// The store's host as it was given.
        host: String,
        /// The store's port.
        port: u16,
        /// How long it was tried.
        waited: Duration,
        /// libtorch's words.
        detail: String,
    },
    /// A rank that cannot be in a group of this size.
    #[error("rank {rank} cannot be a member of a group with world size {world_size}: ranks go from 0 to {}",
        .world_size.saturating_sub(1))]
    InvalidRank {
        /// The rank that was given.
        rank: u32,
        /// The world size that was given.
        world_size: u32,
    },
    /// The members do not agree on how many they are.
    #[error(
        "rank {rank} was started for world size {ours}, but the group was begun with world size {theirs}. Give every rank the same world size"
    )]
    WorldSizeMismatch {
        /// This rank.
        rank: u32,
        /// The world size that this rank was given.
        ours: u32,
        /// The world size of the member that came first.
        theirs: u32,
    },
    /// Two processes claim one rank.
    #[error("another process already is rank {rank} of this group. Give every process its own rank")]
    DuplicateRank {
        /// The rank that both claim.
        rank: u32,
    },
    /// Not all members came.
    #[error("{}", missing_ranks(missing, *world_size, *waited))]
    MissingRanks {
        /// Those that did not come.
        missing: Vec<u32>,
        /// How many there should be.
        world_size: u32,
        /// How long they were waited for.
        waited: Duration,
    },
    /// A backward pass ended without a gradient for every parameter of the reducer, so the ranks are out of step.
    #[error(
        "the backward pass did not reach every parameter of the reducer, so its gradients were not reduced. Every \
         parameter given to the reducer has to take part in the loss"
    )]
    UnusedParameters,
    /// Not enough memory on the device or the machine.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// An argument that the function cannot work with.
    #[error("{0}")]
    InvalidArgument(String),
    /// Any other exception of libtorch, in its words.
    #[error("libtorch: {0}")]
    Torch(String),
}

fn missing_ranks(missing: &[u32], world_size: u32, waited: Duration) -> String {
    let list = missing.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let (noun, verb) = if missing.len() == 1 { ("rank", "has") } else { ("ranks", "have") };
    format!(
        "{noun} {list} of {world_size} {verb} not joined the process group within {} ms. Check that their processes \
         run, and that the world size is right",
        waited.as_millis()
    )
}

/// A caught exception: the kind from `csrc/status.h` and the text.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: i32,
    pub(crate) message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(first_paragraph(&self.message))
    }
}

/// Kinds that matter for telling failures apart (`csrc/status.h`).
const KIND_TIMEOUT: i32 = 2;
const KIND_OUT_OF_MEMORY: i32 = 6;
const KIND_INVALID: i32 = 7;
/// A failure that came to us through tch, which keeps only the text.
const KIND_UNKNOWN: i32 = 1;

/// What the shim makes an aborted group's collectives fail with (`csrc/c10d/group.h`).
const ABORTED: &str = "evenkeel: process group aborted";

/// Gloo's, NCCL's and the store's words for a connection that broke.
const LOST: &[&str] = &[
    "Connection closed by peer",
    "Connection reset by peer",
    "Socket unexpectedly closed",
    "Broken pipe",
    "failed to recv, got 0 bytes",
    "Connection was likely closed",
    "remote process exited",
    "NCCL communicator was aborted",
    "Connection refused",
];

/// Their words for a wait that ended without an answer.
const TIMED_OUT: &[&str] = &["Timed out", "timed out", "timeout", "Timeout"];

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| failure.message.contains(word));
        let text = || first_paragraph(&failure.message).to_owned();
        if failure.message.contains(ABORTED) {
            return Self::Aborted;
        }
        match failure.kind {
            KIND_OUT_OF_MEMORY => return Self::OutOfMemory(text()),
            KIND_INVALID => return Self::InvalidArgument(text()),
            KIND_TIMEOUT => return Self::Timeout(text()),
            _ => {}
        }
        if has(LOST) {
            return Self::PeerLost(text());
        }
        if has(TIMED_OUT) {
            return Self::Timeout(text());
        }
        Self::Torch(text())
    }
}

/// Errors of tch operations, above all of a backward pass that reduces gradients, are told apart like this crate's own.
impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        match error {
            TchError::Torch(message) => Failure { kind: KIND_UNKNOWN, message }.into(),
            other => Self::Torch(other.to_string()),
        }
    }
}

/// The text without the C++ stack trace that libtorch appends.
fn first_paragraph(message: &str) -> &str {
    let end = message.find("\nException raised from").unwrap_or(message.len());
    message[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(message: &str) -> Error {
        TchError::Torch(message.to_owned()).into()
    }

    #[test]
    fn a_closed_connection_is_a_lost_peer() {
        let error = classify(
            "[../third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:3000",
        );
        assert!(matches!(error, Error::PeerLost(_)), "{error}");
    }

    #[test]
    fn a_wait_that_ends_is_a_timeout() {
        let error =
            classify("[unbound_buffer.cc:81] Timed out waiting 2000ms for recv operation to complete");
        assert!(matches!(error, Error::Timeout(_)), "{error}");
    }

    #[test]
    fn an_abort_wins_over_the_words_around_it() {
        let error = classify("Connection closed by peer: evenkeel: process group aborted");
        assert!(matches!(error, Error::Aborted), "{error}");
    }

    #[test]
    fn the_stack_trace_is_left_out() {
        let error = classify("sizes differ\nException raised from check at a.cpp:1\nframe #0: x");
        assert_eq!(error.to_string(), "libtorch: sizes differ");
    }

    #[test]
    fn missing_ranks_are_named() {
        let error =
            Error::MissingRanks { missing: vec![2, 5], world_size: 8, waited: Duration::from_secs(3) };
        assert!(error.to_string().starts_with("ranks 2, 5 of 8 have not joined"), "{error}");
    }
}

//! Checkpoints on disk: complete and checksummed, or invisible.
//!
//! ```text
//! RUN_DIR/checkpoints/step-00000010/
//!   model/…                  a Hugging Face directory
//!   optimizer.safetensors    and whatever else the worker writes
//!   manifest.json            what the checkpoint is, and size and BLAKE3 of every other file
//!   manifest.blake3          BLAKE3 of manifest.json
//! ```
//!
//! A checkpoint is written into `step-00000010.tmp` ([`begin`]). [`seal`] hashes and syncs its files, writes the
//! manifest last and renames the folder, so a folder without `.tmp` is complete. [`verify`] reads everything back.

mod manifest;
mod seal;
mod store;
mod verify;

#[cfg(test)]
mod tests;

pub use manifest::{CHECKPOINT_FORMAT_VERSION, CheckpointManifest, FileEntry};
pub use seal::{begin, seal};
pub use store::{
    Found, checkpoints_dir, folder, list, newest, newest_intact, remove_leftovers, rotate, set_aside_after,
};
pub use verify::verify;

use crate::fsio::PathError;
use std::path::PathBuf;

/// A checkpoint that cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// `manifest.json` cannot be understood.
    #[error("{} is not a checkpoint manifest: {reason}. Resume from another checkpoint", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Written by another version of evenkeel.
    #[error(
        "checkpoint {} has format version {found}, this evenkeel reads version {expected}; \
         resume with the version that wrote it", dir.display()
    )]
    FormatVersion {
        /// The checkpoint's folder.
        dir: PathBuf,
        /// The manifest's version.
        found: u32,
        /// The version read here.
        expected: u32,
    },
    /// A file is missing, shorter, longer or changed.
    #[error("checkpoint {} is damaged: {file} {problem}. Resume from another checkpoint", dir.display())]
    Damaged {
        /// The checkpoint's folder.
        dir: PathBuf,
        /// The file, relative to the folder.
        file: String,
        /// "is missing", "has 10 bytes instead of 20", …
        problem: String,
    },
    /// Something that cannot be part of a checkpoint was found while sealing it.
    #[error("cannot seal checkpoint {}: {reason}", dir.display())]
    Unsealable {
        /// The folder that was to be sealed.
        dir: PathBuf,
        /// Why not.
        reason: String,
    },
}

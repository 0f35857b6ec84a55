//! What a checkpoint says about itself.

use super::CheckpointError;
use crate::config::Precision;
use crate::fsio::WithPath;
use crate::ids::{Step, WorldSize};
use crate::plan::Cursor;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Version of the manifest and of the folder's layout.
pub const CHECKPOINT_FORMAT_VERSION: u32 = 1;

pub(super) const MANIFEST_FILE: &str = "manifest.json";
pub(super) const MANIFEST_HASH_FILE: &str = "manifest.blake3";

/// `manifest.json` of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointManifest {
    /// [`CHECKPOINT_FORMAT_VERSION`] of the evenkeel that wrote it.
    pub format_version: u32,
    /// Optimizer steps done.
    pub step: Step,
    /// Where the data goes on.
    pub cursor: Cursor,
    /// Tokens read since the beginning of the run, all ranks.
    pub tokens: u64,
    /// Tokens that a loss was taken on since the beginning of the run, all ranks.
    pub target_tokens: u64,
    /// Processes that trained.
    pub world_size: WorldSize,
    /// Digest of the data set's fingerprint.
    pub dataset_fingerprint: String,
    /// Number formats of the training.
    pub precision: Precision,
    /// Loss of the last step, nats per target token; `None` when it was not finite.
    pub loss: Option<f64>,
    /// Global L2 norm of the last step's gradient before clipping; `None` when it was not finite.
    pub grad_norm: Option<f64>,
    /// Loss scale after the last step; 1 unless fp16.
    pub loss_scale: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Seconds since 1970.
    pub created_unix: u64,
    /// The run's resolved configuration.
    pub config: serde_json::Value,
    /// Every other file of the checkpoint; filled in when it is sealed.
    pub files: Vec<FileEntry>,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Relative to the checkpoint's folder, with `/` between the parts.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// BLAKE3 of the content, hex.
    pub blake3: String,
}

impl CheckpointManifest {
    /// Reads the manifest of a checkpoint folder and checks it against its own hash, but no other file.
    ///
    /// # Errors
    /// A missing or damaged manifest, or one of another format version.
    pub fn load(dir: &Path) -> Result<Self, CheckpointError> {
        let path = dir.join(MANIFEST_FILE);
        let content = fs::read(&path).with_path("read", &path)?;
        let hash_path = dir.join(MANIFEST_HASH_FILE);
        let hash = fs::read(&hash_path).with_path("read", &hash_path)?;
        if hash.trim_ascii() != blake3::hash(&content).to_hex().as_bytes() {
            return Err(CheckpointError::Damaged {
                dir: dir.to_path_buf(),
                file: MANIFEST_FILE.into(),
                problem: format!("does not match its hash in {MANIFEST_HASH_FILE}"),
            });
        }
        let unreadable = |error: serde_json::Error| CheckpointError::Manifest {
            path: path.clone(),
            reason: error.to_string(),
        };
        // The version first: another version may have other fields.
        let Version { format_version: found } = serde_json::from_slice(&content).map_err(unreadable)?;
        if found != CHECKPOINT_FORMAT_VERSION {
            let (dir, expected) = (dir.to_path_buf(), CHECKPOINT_FORMAT_VERSION);
            return Err(CheckpointError::FormatVersion { dir, found, expected });
        }
        serde_json::from_slice(&content).map_err(unreadable)
    }
}

#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

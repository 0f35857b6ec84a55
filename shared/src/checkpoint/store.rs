//! The checkpoints of a run.

use super::seal::remove_if_there;
use super::{CheckpointError, CheckpointManifest, verify};
use crate::fsio::{WithPath, sync_folder};
use crate::ids::Step;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";
const ASIDE_SUFFIX: &str = ".aside";
const PREFIX: &str = "step-";

/// A complete checkpoint; its content has not been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Optimizer steps done, from the folder's name.
    pub step: Step,
    /// The checkpoint's folder.
    pub dir: PathBuf,
}

/// The folder that holds a run's checkpoints.
#[must_use]
pub fn checkpoints_dir(run_dir: &Path) -> PathBuf {
    run_dir.join("checkpoints")
}

/// The folder of a step's checkpoint, whether there is one or not.
#[must_use]
pub fn folder(run_dir: &Path, step: Step) -> PathBuf {
    checkpoints_dir(run_dir).join(folder_name(step))
}

pub(super) fn folder_name(step: Step) -> String {
    format!("{PREFIX}{:08}", step.0)
}

/// `path` with `suffix` after its last part.
pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The complete checkpoints of a run, oldest first. Unfinished and foreign entries are passed over.
///
/// # Errors
/// When the folder is there but cannot be listed.
pub fn list(run_dir: &Path) -> Result<Vec<Found>, CheckpointError> {
    let mut found: Vec<Found> = entries(&checkpoints_dir(run_dir))?
        .into_iter()
        .filter_map(|(name, dir)| {
            let step = Step(name.strip_prefix(PREFIX)?.parse().ok()?);
            // Only the one way in which a step is written: not "step-+1", not "step-1".
            (name == folder_name(step) && dir.is_dir()).then_some(Found { step, dir })
        })
        .collect();
    found.sort_by_key(|found| found.step);
    Ok(found)
}

/// The newest complete checkpoint of a run. Its content has not been checked.
///
/// # Errors
/// When the folder is there but cannot be listed.
pub fn newest(run_dir: &Path) -> Result<Option<Found>, CheckpointError> {
    Ok(list(run_dir)?.pop())
}

/// The newest checkpoint whose files are all as they were written, with its manifest. Damaged ones are passed over
/// with a warning in the log.
///
/// # Errors
/// When the folder is there but cannot be listed, or when there are checkpoints and all are damaged (the error of the
/// newest).
pub fn newest_intact(run_dir: &Path) -> Result<Option<(Found, CheckpointManifest)>, CheckpointError> {
    let mut first_error = None;
    for found in list(run_dir)?.into_iter().rev() {
        match verify(&found.dir) {
            Ok(manifest) => return Ok(Some((found, manifest))),
            Err(error) => {
                tracing::warn!(step = found.step.0, %error, "passing over a damaged checkpoint");
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(None), Err)
}

/// Removes all but the newest `keep_last` checkpoints (0 keeps all); returns what was removed, oldest first.
///
/// A checkpoint goes out of sight by a rename before its files are deleted, so one that is half deleted is never seen.
///
/// # Errors
/// When the file system refuses.
pub fn rotate(run_dir: &Path, keep_last: u32) -> Result<Vec<Found>, CheckpointError> {
    let mut found = list(run_dir)?;
    if keep_last == 0 {
        return Ok(Vec::new());
    }
    found.truncate(found.len().saturating_sub(keep_last as usize));
    for old in &found {
        let removed = sibling(&old.dir, ".removed.tmp");
        remove_if_there(&removed)?;
        fs::rename(&old.dir, &removed).with_path("set aside", &old.dir)?;
        sync_folder(&checkpoints_dir(run_dir))?;
        remove_if_there(&removed)?;
    }
    Ok(found)
}

/// Removes what interrupted writes and removals have left (`step-….tmp`). To be called by the one who owns the run's
/// folder, before it writes a checkpoint.
///
/// # Errors
/// When the file system refuses.
pub fn remove_leftovers(run_dir: &Path) -> Result<(), CheckpointError> {
    for (name, path) in entries(&checkpoints_dir(run_dir))? {
        if name.starts_with(PREFIX) && name.ends_with(TEMPORARY_SUFFIX) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

/// Puts the checkpoints of later steps out of sight, under names that end in `.aside`: a run that goes on from an earlier
/// one gives these steps another content. Returns the new paths. What was set aside earlier under the same step is replaced.
///
/// # Errors
/// When the file system refuses.
pub fn set_aside_after(run_dir: &Path, step: Step) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut moved = Vec::new();
    for later in list(run_dir)?.into_iter().filter(|found| found.step > step) {
        let aside = sibling(&later.dir, ASIDE_SUFFIX);
        remove_if_there(&aside)?;
        fs::rename(&later.dir, &aside).with_path("set aside", &later.dir)?;
        moved.push(aside);
    }
    if !moved.is_empty() {
        sync_folder(&checkpoints_dir(run_dir))?;
    }
    Ok(moved)
}

/// The entries with a UTF-8 name; none when the folder does not exist.
fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>, CheckpointError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries
            .and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
            .with_path("list folder", dir)?,
    };
    Ok(entries
        .into_iter()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect())
}

//! Reading a checkpoint back.

use super::seal::hash;
use super::store::folder_name;
use super::{CheckpointError, CheckpointManifest, FileEntry};
use crate::fsio::WithPath;
use std::fs::File;
use std::io;
use std::path::{Component, Path};

/// Checks that every file of a checkpoint is as it was written (size and BLAKE3); returns its manifest.
///
/// # Errors
/// A manifest that is missing, damaged, of another version or of another step than the folder's name says, or the
/// first file that is missing or differs.
pub fn verify(dir: &Path) -> Result<CheckpointManifest, CheckpointError> {
    let manifest = CheckpointManifest::load(dir)?;
    let named_otherwise = dir
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with("step-") && name != folder_name(manifest.step));
    if named_otherwise {
        let problem = format!("is of step {}, not of the step in the folder's name", manifest.step);
        return Err(damaged(dir, super::manifest::MANIFEST_FILE, problem));
    }
    for file in &manifest.files {
        verify_file(dir, file)?;
    }
    Ok(manifest)
}

fn verify_file(dir: &Path, entry: &FileEntry) -> Result<(), CheckpointError> {
    let inside = Path::new(&entry.path).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || entry.path.is_empty() {
        return Err(damaged(dir, &entry.path, "is outside of the checkpoint".into()));
    }
    let path = dir.join(&entry.path);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(dir, &entry.path, "is missing".into()));
        }
        file => file.with_path("open", &path)?,
    };
    // The size first: it is free, and most damage is a file cut short.
    let bytes = file.metadata().with_path("look at", &path)?.len();
    if bytes != entry.bytes {
        return Err(damaged(dir, &entry.path, format!("has {bytes} bytes instead of {}", entry.bytes)));
    }
    let (_, found) = hash(&file, &path)?;
    if found != entry.blake3 {
        return Err(damaged(dir, &entry.path, "has other content than was written".into()));
    }
    Ok(())
}

fn damaged(dir: &Path, file: &str, problem: String) -> CheckpointError {
    CheckpointError::Damaged { dir: dir.to_path_buf(), file: file.into(), problem }
}

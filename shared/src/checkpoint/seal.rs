//! Writing a checkpoint.

use super::manifest::{MANIFEST_FILE, MANIFEST_HASH_FILE};
use super::store::{TEMPORARY_SUFFIX, folder, sibling};
use super::{CheckpointError, CheckpointManifest, FileEntry};
use crate::fsio::{WithPath, sync_folder, write_atomically};
use crate::ids::Step;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Makes the empty folder `step-….tmp` that the checkpoint's files are to be written into.
///
/// A leftover of an interrupted attempt at the same step is removed.
///
/// # Errors
/// When the file system refuses.
pub fn begin(run_dir: &Path, step: Step) -> Result<PathBuf, CheckpointError> {
    let temporary = sibling(&folder(run_dir, step), TEMPORARY_SUFFIX);
    remove_if_there(&temporary)?;
    fs::create_dir_all(&temporary).with_path("create folder", &temporary)?;
    Ok(temporary)
}

/// Makes the checkpoint in `temporary` (a `step-….tmp` folder) complete and visible; returns its final folder.
///
/// Hashes every file (streaming), syncs files and folders, writes the manifest with `files` filled in, renames the
/// folder and syncs its parent. A complete checkpoint of the same step, left by a run that was resumed from before it,
/// is replaced: it goes out of sight just before the new one appears.
///
/// # Errors
/// A folder without the `.tmp` ending, something that is neither a file nor a folder inside, or a file system that
/// refuses; the checkpoint then stays invisible.
pub fn seal(temporary: &Path, mut manifest: CheckpointManifest) -> Result<PathBuf, CheckpointError> {
    let unsealable = |reason: String| CheckpointError::Unsealable { dir: temporary.to_path_buf(), reason };
    let name = temporary.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(final_name) = name.strip_suffix(TEMPORARY_SUFFIX) else {
        return Err(unsealable(format!("its name does not end in {TEMPORARY_SUFFIX}")));
    };
    let expected = super::store::folder_name(manifest.step);
    if final_name != expected {
        return Err(unsealable(format!(
            "its manifest is of step {}, whose folder is {expected}",
            manifest.step
        )));
    }
    let parent = temporary.parent().ok_or_else(|| unsealable("it has no parent folder".into()))?;
    let final_dir = parent.join(final_name);

    // Left by an attempt to seal this very folder; they are written again below.
    for file in [MANIFEST_FILE, MANIFEST_HASH_FILE] {
        remove_if_there(&temporary.join(file))?;
    }
    manifest.files = Vec::new();
    collect(temporary, "", &mut manifest.files)?;
    let content = serde_json::to_vec_pretty(&manifest).map_err(|error| unsealable(error.to_string()))?;
    let hash = blake3::hash(&content).to_hex();
    write_atomically(&temporary.join(MANIFEST_HASH_FILE), format!("{hash}\n").as_bytes())?;
    write_atomically(&temporary.join(MANIFEST_FILE), &content)?;

    let replaced = sibling(&final_dir, ".replaced.tmp");
    remove_if_there(&replaced)?;
    if final_dir.exists() {
        fs::rename(&final_dir, &replaced).with_path("set aside", &final_dir)?;
    }
    fs::rename(temporary, &final_dir).with_path("rename to", &final_dir)?;
    sync_folder(parent)?;
    remove_if_there(&replaced)?;
    Ok(final_dir)
}

/// Adds the files below `dir` in the order of their names, syncing each, and the folders after their entries.
fn collect(dir: &Path, prefix: &str, files: &mut Vec<FileEntry>) -> Result<(), CheckpointError> {
    let unsealable = |reason: String| CheckpointError::Unsealable { dir: dir.to_path_buf(), reason };
    let mut entries = fs::read_dir(dir)
        .and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
        .with_path("list folder", dir)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| unsealable(format!("the name {name:?} is not UTF-8")))?;
        let (path, relative) = (entry.path(), format!("{prefix}{name}"));
        let kind = entry.file_type().with_path("look at", &path)?;
        if kind.is_dir() {
            collect(&path, &format!("{relative}/"), files)?;
        } else if kind.is_file() {
            let (bytes, blake3) = sync_and_hash(&path)?;
            files.push(FileEntry { path: relative, bytes, blake3 });
        } else {
            return Err(unsealable(format!("{relative} is neither a file nor a folder")));
        }
    }
    Ok(sync_folder(dir)?)
}

fn sync_and_hash(path: &Path) -> Result<(u64, String), CheckpointError> {
    let file = File::open(path).with_path("open", path)?;
    file.sync_all().with_path("sync", path)?;
    Ok(hash(&file, path)?)
}

/// Size and BLAKE3 of an open file, read in small pieces.
pub(super) fn hash(file: &File, path: &Path) -> Result<(u64, String), crate::fsio::PathError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).with_path("read", path)?;
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}

/// Removes a file or a folder with all that is in it; one that is not there is fine.
pub(super) fn remove_if_there(path: &Path) -> Result<(), CheckpointError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_path("look at", path).map_err(Into::into),
    };
    if kind.is_dir() {
        fs::remove_dir_all(path).with_path("remove folder", path)?;
    } else {
        fs::remove_file(path).with_path("remove", path)?;
    }
    Ok(())
}

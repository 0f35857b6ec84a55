//! Files that are either complete or invisible.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// An I/O error with the path and what was being done.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct PathError {
    /// What was being done, as a verb phrase: "read", "write", "create folder".
    pub action: &'static str,
    /// The path it was done to.
    pub path: PathBuf,
    /// The operating system's answer.
    #[source]
    pub source: io::Error,
}

/// Adds a path to `io::Result`.
pub trait WithPath<T> {
    /// Names the action and the path in the error.
    ///
    /// # Errors
    /// The I/O error itself, wrapped.
    fn with_path(self, action: &'static str, path: &Path) -> Result<T, PathError>;
}

impl<T> WithPath<T> for io::Result<T> {
    fn with_path(self, action: &'static str, path: &Path) -> Result<T, PathError> {
        self.map_err(|source| PathError { action, path: path.to_path_buf(), source })
    }
}

/// Makes the entries of a folder durable (a rename is not, until its folder is synced).
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> Result<(), PathError> {
    let handle = File::open(folder).with_path("open folder", folder)?;
    handle.sync_all().with_path("sync folder", folder)
}

/// Writes a file so that a reader sees the old content or the new one, also after a power cut.
///
/// The content goes to `PATH.tmp`, is synced, renamed over `path`, and the folder is synced.
///
/// # Errors
/// When any of these fails; the old file is then untouched and `PATH.tmp` is removed.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), PathError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        let mut file = File::create(&temporary).with_path("create", &temporary)?;
        file.write_all(content).with_path("write", &temporary)?;
        file.sync_all().with_path("sync", &temporary)?;
        fs::rename(&temporary, path).with_path("rename to", path)
    })();
    if written.is_err() {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
        _ => sync_folder(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomically(&path, b"old").unwrap();
        fs::create_dir(folder.path().join("a.json.tmp")).unwrap();
        assert!(write_atomically(&path, b"new").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}

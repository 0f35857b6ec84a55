//! Finding the other programs of evenkeel.

use anyhow::{Result, bail};
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

/// A program that evenkeel starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The control plane.
    Coordinator,
    /// The training process; the only one that needs libtorch.
    Worker,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "evenkeel-coordinator",
            Self::Worker => "evenkeel-worker",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The program beside this one, else on `PATH`.
///
/// # Errors
/// When it is in neither place; the message says how to build it.
pub fn find(program: Program) -> Result<PathBuf> {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    let on_path = env::var_os("PATH").unwrap_or_default();
    let folders = beside.map(Path::to_path_buf).into_iter().chain(env::split_paths(&on_path));
    if let Some(found) = first_in(folders, program.name()) {
        return Ok(found);
    }
    let place = beside.map_or_else(|| "this program's folder".into(), |folder| folder.display().to_string());
    bail!(
        "{program} is neither in {place} nor on PATH; build it with `cargo build --release -p {program}` \
         (the worker needs libtorch: `make libtorch` sets it up)"
    )
}

fn first_in(folders: impl Iterator<Item = PathBuf>, name: &str) -> Option<PathBuf> {
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_that_holds_it_wins() {
        let root = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| root.path().join(name));
        for folder in [&a, &b, &c] {
            std::fs::create_dir(folder).unwrap();
        }
        // A folder of that name is not the program.
        std::fs::create_dir(a.join("evenkeel-worker")).unwrap();
        std::fs::write(b.join("evenkeel-worker"), "").unwrap();
        std::fs::write(c.join("evenkeel-worker"), "").unwrap();
        let folders = [&a, &b, &c].map(Clone::clone).into_iter();
        assert_eq!(first_in(folders, "evenkeel-worker"), Some(b.join("evenkeel-worker")));
        assert_eq!(first_in([a].into_iter(), "evenkeel-coordinator"), None);
    }
}

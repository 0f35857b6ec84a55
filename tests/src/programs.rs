//! The programs under test.

use std::path::PathBuf;

/// The command line program of this build; it finds the other two beside itself.
///
/// # Panics
/// When one of them has not been built.
pub fn evenkeel() -> PathBuf {
    // target/PROFILE/deps/TEST-HASH
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().nth(2).expect("a test lies two folders deep").to_path_buf();
    for name in ["evenkeel", "evenkeel-coordinator", "evenkeel-worker"] {
        let path = folder.join(name);
        assert!(path.is_file(), "{} is missing: run `cargo build --workspace` first", path.display());
    }
    folder.join("evenkeel")
}

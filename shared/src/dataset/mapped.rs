//! The only unsafe code of this crate: a file as a slice of bytes.

use crate::fsio::{PathError, WithPath};
use memmap2::Mmap;
use std::fs::File;
use std::ops::Deref;
use std::path::Path;

/// A whole file mapped for reading.
#[derive(Debug)]
pub(crate) struct Mapped(Mmap);

impl Mapped {
    /// Maps the file.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped.
    #[expect(unsafe_code, reason = "the one mapping of this crate")]
    pub(crate) fn open(path: &Path) -> Result<Self, PathError> {
        let file = File::open(path).with_path("open", path)?;
        // SAFETY: the map is private to this value, read-only, and lives as long as the slices borrowed from it.
        // The bytes must not change under a `&[u8]`: segment files are written under another name and renamed into
        // place, and no part of evenkeel changes one afterwards; replacing a file by rename leaves the mapped one
        // (the old inode) as it is. A person who truncates a segment in place during a run gets a SIGBUS, as with
        // every memory-mapped format.
        let map = unsafe { Mmap::map(&file) }.with_path("map", path)?;
        Ok(Self(map))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

//! A file read from its beginning, never past its end and never allocating more than is left of it.

use crate::import::ImportError;
use evenkeel_shared::fsio::WithPath;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// No list in a model's metadata is longer: vocabularies have less than a million entries.
const MAX_COUNT: u64 = 1 << 24;

#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    reader: BufReader<File>,
    position: u64,
    len: u64,
}

impl Source {
    /// Opens the file and checks magic and version.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let file = File::open(path).with_path("open", path)?;
        let len = file.metadata().with_path("look at", path)?.len();
        let mut source = Self { path: path.to_path_buf(), reader: BufReader::new(file), position: 0, len };
        let mut magic = vec![0; len.min(4) as usize];
        source.fill("the magic number", &mut magic)?;
        if magic != b"GGUF" {
            return Err(ImportError::NotGguf { path: source.path, found: magic });
        }
        match source.u32("the version")? {
            2 | 3 => Ok(source),
            version => Err(ImportError::Unsupported {
                path: source.path,
                what: "the GGUF version".into(),
                found: version.to_string(),
                supported: "2, 3 (little-endian)".into(),
            }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn into_file(self) -> (File, u64) {
        (self.reader.into_inner(), self.len)
    }

    pub(super) fn damaged(&self, what: String) -> ImportError {
        ImportError::Damaged { path: self.path.clone(), what, at: self.position, bytes: self.len }
    }

    pub(super) fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], ImportError> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, ImportError> {
        Ok(u32::from_le_bytes(self.bytes(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, ImportError> {
        Ok(u64::from_le_bytes(self.bytes(what)?))
    }

    /// A number of things of at least `min_bytes` each that follow.
    pub(super) fn count(&mut self, what: &str, min_bytes: u64) -> Result<u64, ImportError> {
        let count = self.u64(what)?;
        let left = self.len - self.position;
        if count > MAX_COUNT || count.checked_mul(min_bytes).is_none_or(|bytes| bytes > left) {
            return Err(self.damaged(format!("{what} is {count}, but only {left} bytes are left")));
        }
        Ok(count)
    }

    /// A text with its length (u64) in front.
    pub(super) fn text(&mut self, what: &str) -> Result<String, ImportError> {
        let length = self.count(what, 1)?;
        let mut bytes = vec![0; length as usize];
        self.fill(what, &mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.damaged(format!("{what} is not UTF-8")))
    }

    fn fill(&mut self, what: &str, bytes: &mut [u8]) -> Result<(), ImportError> {
        let wanted = bytes.len() as u64;
        if wanted > self.len - self.position {
            return Err(self.damaged(format!("the file ends inside of {what}")));
        }
        self.reader.read_exact(bytes).with_path("read", &self.path)?;
        self.position += wanted;
        Ok(())
    }
}

//! What is on disk while a data set is being made, so that a killed run goes on where it was.
//!
//! `unfinished.json` holds the fingerprint; beside each finished `segments/000000.seg` lies `000000.json` with its
//! [`Record`]. Both go once the manifest is written.

use super::error::Error;
use super::reject::RejectedRow;
use super::tally::Tally;
use evenkeel_shared::dataset::{
    DatasetError, Fingerprint, MANIFEST_FILE, Manifest, SEGMENTS_FOLDER, SegmentEntry,
};
use evenkeel_shared::fsio::{PathError, WithPath, write_atomically};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Rows that were left out, one JSON object a line.
pub const REJECTED_FILE: &str = "rejected.jsonl";
const UNFINISHED_FILE: &str = "unfinished.json";

/// Whether an existing data set made from something else may be replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    #[default]
    Keep,
    /// Replace it.
    Overwrite,
}

/// A finished segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// Digest of the fingerprint that it was made with.
    pub fingerprint: String,
    pub entry: SegmentEntry,
    pub tally: Tally,
    pub rejected: Vec<RejectedRow>,
}

/// The folder of a data set that is being made.
#[derive(Debug)]
pub(super) struct Workplace<'a> {
    dataset: &'a Path,
}

/// What is in the folder already.
pub(super) enum Found {
    /// Exactly the data set that is wanted.
    Complete(Box<Manifest>),
    /// Nothing, or part of what is wanted.
    Unfinished(Unfinished),
}

/// Where segments come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfinished {
    Fresh,
    Continued,
}

impl<'a> Workplace<'a> {
    pub(super) fn new(dataset: &'a Path) -> Self {
        Self { dataset }
    }

    /// Looks at what is there, and makes the folder ready for work when that is not the data set wanted.
    ///
    /// # Errors
    /// When it holds something else and `existing` does not allow to replace it.
    pub(super) fn prepare(&self, wanted: &Fingerprint, existing: Existing) -> Result<Found, Error> {
        match Manifest::load(self.dataset) {
            Ok(manifest) if manifest.fingerprint == *wanted && self.is_whole(&manifest) => {
                return Ok(Found::Complete(Box::new(manifest)));
            }
            Ok(manifest) => self.may_replace("a data set", &manifest.fingerprint, wanted, existing)?,
            Err(DatasetError::NoManifest(_)) => {
                let marker: Option<Fingerprint> = read_json(&self.dataset.join(UNFINISHED_FILE));
                match marker {
                    Some(unfinished) if unfinished == *wanted => {
                        return Ok(Found::Unfinished(Unfinished::Continued));
                    }
                    Some(other) => self.may_replace("an unfinished data set", &other, wanted, existing)?,
                    None => {}
                }
            }
            Err(_) if existing == Existing::Overwrite => {}
            Err(error) => return Err(error.into()),
        }
        self.clear()?;
        let segments = self.dataset.join(SEGMENTS_FOLDER);
        fs::create_dir_all(&segments).with_path("create folder", &segments)?;
        write_json(&self.dataset.join(UNFINISHED_FILE), wanted)?;
        Ok(Found::Unfinished(Unfinished::Fresh))
    }

    /// Files that were deleted or cut are a reason to make the data set again, without being asked.
    fn is_whole(&self, manifest: &Manifest) -> bool {
        manifest.segments.iter().all(|entry| {
            fs::metadata(self.dataset.join(&entry.file)).is_ok_and(|metadata| metadata.len() == entry.bytes)
        })
    }

    fn may_replace(
        &self,
        what: &'static str,
        there: &Fingerprint,
        wanted: &Fingerprint,
        existing: Existing,
    ) -> Result<(), Error> {
        let differences = there.differences(wanted);
        if differences.is_empty() || existing == Existing::Overwrite {
            return Ok(());
        }
        Err(Error::Different { dataset: self.dataset.to_path_buf(), what, differences })
    }

    /// Removes a data set, the manifest first so that no reader takes the rest for a complete one. Other files stay.
    fn clear(&self) -> Result<(), PathError> {
        for name in [MANIFEST_FILE, REJECTED_FILE, UNFINISHED_FILE] {
            remove(&self.dataset.join(name))?;
        }
        for path in self.segment_files()? {
            remove(&path)?;
        }
        Ok(())
    }

    /// The record of a segment made by an earlier, killed run, when its file is what the record says.
    pub(super) fn finished(&self, name: &str, fingerprint: &str) -> Option<Record> {
        let record: Record = read_json(&self.record_path(name))?;
        if record.fingerprint != fingerprint || record.entry.file != name {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(self.dataset.join(name)).ok()?).ok()?;
        (hasher.finalize().to_hex().as_str() == record.entry.blake3).then_some(record)
    }

    /// Remembers a segment that is in place.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(super) fn remember(&self, record: &Record) -> Result<(), Error> {
        write_json(&self.record_path(&record.entry.file), record)
    }

    /// Writes the list of rejected rows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn save_rejected(&self, rejected: &[RejectedRow]) -> Result<PathBuf, Error> {
        let path = self.dataset.join(REJECTED_FILE);
        let mut text = Vec::new();
        for row in rejected {
            text.extend(to_json(&path, row)?);
        }
        write_atomically(&path, &text)?;
        Ok(path)
    }

    /// Writes the manifest; from here on the data set is complete. What was only needed on the way goes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(&self, manifest: &Manifest) -> Result<(), Error> {
        manifest.save(self.dataset)?;
        self.tidy(manifest)
    }

    /// Removes what a run leaves that was killed right after it wrote the manifest.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub(super) fn tidy(&self, manifest: &Manifest) -> Result<(), Error> {
        for path in self.segment_files()? {
            let listed = manifest.segments.iter().any(|entry| self.dataset.join(&entry.file) == path);
            if !listed {
                remove(&path)?;
            }
        }
        Ok(remove(&self.dataset.join(UNFINISHED_FILE))?)
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.dataset.join(name).with_extension("json")
    }

    /// Files that this program may have put into `segments/`: nothing else there is ever removed.
    fn segment_files(&self) -> Result<Vec<PathBuf>, PathError> {
        let folder = self.dataset.join(SEGMENTS_FOLDER);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_path("list folder", &folder),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.with_path("list folder", &folder)?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let (stem, extension) = name.split_once('.').unwrap_or_default();
            let ours = ["seg", "seg.tmp", "json", "json.tmp"].contains(&extension);
            if ours && !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit()) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

fn remove(path: &Path) -> Result<(), PathError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_path("remove", path),
        _ => Ok(()),
    }
}

/// A file that is missing or broken counts as not there: the work it stands for is done again.
fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    Ok(write_atomically(path, &to_json(path, value)?)?)
}

fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, PathError> {
    let mut text = serde_json::to_vec(value).map_err(io::Error::from).with_path("encode", path)?;
    text.push(b'\n');
    Ok(text)
}

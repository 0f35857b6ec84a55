//! `manifest.json`: what a data set holds. Written last, so a folder that has one is complete.

use super::error::DatasetError;
use super::fingerprint::Fingerprint;
use super::segment::{Segment, Verification};
use crate::config::Config;
use crate::fsio::{WithPath, write_atomically};
use crate::hf::tokenizer_files::TokenizerFiles;
use crate::ids::SegmentId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Version of the data set format: manifest and segments together.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the manifest in the data set's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Name of the folder of segments in the data set's folder.
pub const SEGMENTS_FOLDER: &str = "segments";

/// What a data set holds and what it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Everything that shaped the tokens.
    pub fingerprint: Fingerprint,
    /// Token ids are below this.
    pub vocab_size: u32,
    /// Longest pack allowed, in tokens.
    pub max_length: u32,
    /// Rows in the sources, blank lines not counted.
    pub rows: u64,
    /// Rows left out; `rejected.jsonl` says which and why.
    pub rejected_rows: u64,
    /// Dialogues in the packs.
    pub documents: u64,
    /// Tokens in the packs.
    pub tokens: u64,
    /// Tokens that are trained on.
    pub target_tokens: u64,
    /// The same by the role of the message they belong to.
    pub target_tokens_by_role: BTreeMap<String, u64>,
    /// Messages by role, before truncation.
    pub messages_by_role: BTreeMap<String, u64>,
    /// What truncation cost.
    pub truncation: TruncationLosses,
    /// The segments; the position is the [`SegmentId`].
    pub segments: Vec<SegmentEntry>,
}

/// What was cut from dialogues longer than `max_length`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruncationLosses {
    /// Dialogues that were cut.
    pub dialogues: u64,
    /// Messages that were dropped whole.
    pub messages: u64,
    /// Tokens lost.
    pub tokens: u64,
    /// Of these, tokens that would have been trained on.
    pub target_tokens: u64,
}

/// A segment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// Path below the data set's folder, with `/`.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of the content, in hex.
    pub blake3: String,
    /// Number of packs; may be 0.
    pub packs: u32,
    /// Number of documents.
    pub documents: u32,
    /// Number of tokens.
    pub tokens: u64,
    /// Number of targets.
    pub target_tokens: u64,
    /// Tokens of the longest pack.
    pub longest_pack: u32,
}

impl Manifest {
    /// Reads the manifest of a data set.
    ///
    /// # Errors
    /// When there is none, or it is damaged or of another format version.
    pub fn load(dataset: &Path) -> Result<Self, DatasetError> {
        let path = dataset.join(MANIFEST_FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DatasetError::NoManifest(dataset.to_path_buf()));
            }
            other => other.with_path("read", &path)?,
        };
        let damaged = |reason: String| DatasetError::Manifest { path: path.clone(), reason };
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        // Before the fields: another version may have other fields, and the version is then the better message.
        let version = value["format_version"].as_u64();
        if version != Some(FORMAT_VERSION.into()) {
            let found = value["format_version"].to_string();
            return Err(damaged(format!(
                "its format version is {found}, this program reads {FORMAT_VERSION}"
            )));
        }
        let manifest: Self = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        manifest.check().map_err(damaged)?;
        Ok(manifest)
    }

    /// Writes the manifest, complete or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, dataset: &Path) -> Result<(), DatasetError> {
        let path = dataset.join(MANIFEST_FILE);
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| DatasetError::Manifest { path: path.clone(), reason: error.to_string() })?;
        text.push(b'\n');
        Ok(write_atomically(&path, &text)?)
    }

    /// Packs per segment, the input of the epoch plan.
    #[must_use]
    pub fn pack_counts(&self) -> Vec<u32> {
        self.segments.iter().map(|segment| segment.packs).collect()
    }

    /// Number of packs.
    #[must_use]
    pub fn packs(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.packs)).sum()
    }

    /// Share of the packs' room that holds tokens, 0 to 1.
    #[must_use]
    pub fn fill(&self) -> f64 {
        let room = self.packs() * u64::from(self.max_length);
        if room == 0 { 0.0 } else { self.tokens as f64 / room as f64 }
    }

    /// Opens a segment and verifies its content.
    ///
    /// # Errors
    /// When there is no such segment or its file is not the one listed.
    pub fn open_segment(&self, dataset: &Path, segment: SegmentId) -> Result<Segment, DatasetError> {
        self.open_segment_with(dataset, segment, Verification::Content)
    }

    /// As [`Manifest::open_segment`], with the hash only where asked for.
    ///
    /// # Errors
    /// As [`Manifest::open_segment`].
    pub fn open_segment_with(
        &self,
        dataset: &Path,
        segment: SegmentId,
        verification: Verification,
    ) -> Result<Segment, DatasetError> {
        let entry = self.segments.get(segment.0 as usize).ok_or_else(|| DatasetError::NoSuchSegment {
            dataset: dataset.to_path_buf(),
            segment: segment.0,
            segments: self.segments.len(),
        })?;
        Segment::open_with(&dataset.join(&entry.file), entry, self.vocab_size, verification)
    }

    /// Refuses a data set that was made from other settings, tokenizer or template than this configuration's.
    /// Needs the model's tokenizer files, not the raw data.
    ///
    /// # Errors
    /// [`DatasetError::Fingerprint`] names every field that differs; also when the tokenizer files cannot be read.
    pub fn check_config(&self, config: &Config) -> Result<(), DatasetError> {
        let files = TokenizerFiles::load(&config.model.path)?;
        let differences = self.fingerprint.differences_from_config(config, &files);
        if differences.is_empty() {
            return Ok(());
        }
        Err(DatasetError::Fingerprint { dataset: PathBuf::from(&config.data.dataset), differences })
    }

    fn check(&self) -> Result<(), String> {
        let sum = |field: fn(&SegmentEntry) -> u64| self.segments.iter().map(field).sum::<u64>();
        let totals = [
            ("documents", self.documents, sum(|segment| segment.documents.into())),
            ("tokens", self.tokens, sum(|segment| segment.tokens)),
            ("target_tokens", self.target_tokens, sum(|segment| segment.target_tokens)),
        ];
        if let Some((name, said, counted)) = totals.into_iter().find(|(_, said, counted)| said != counted) {
            return Err(format!("{name} is {said}, but its segments have {counted}"));
        }
        match self.segments.iter().find(|segment| !is_below(&segment.file)) {
            Some(segment) => Err(format!("it lists the file {}, outside of its folder", segment.file)),
            None => Ok(()),
        }
    }
}

/// A manifest comes from elsewhere: it must not make a worker open any file of the machine.
fn is_below(file: &str) -> bool {
    let mut parts = Path::new(file).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::super::segment::{DocumentTokens, SegmentBuilder};
    use super::*;
    use crate::ids::RowId;

    /// A data set of one segment with one document.
    fn dataset() -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(SEGMENTS_FOLDER)).unwrap();
        let mut builder = SegmentBuilder::new(10, 4);
        builder
            .push_pack(&[DocumentTokens { row: RowId(0), tokens: &[1, 2], targets: &[false, true] }])
            .unwrap();
        let file = "segments/000000.seg";
        let entry = builder.write(&folder.path().join(file), file).unwrap();
        let files = TokenizerFiles {
            tokenizer_json: Vec::new(),
            chat_template: String::new(),
            special_tokens: BTreeMap::new(),
        };
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            fingerprint: Fingerprint::new(&Config::default(), &files, Vec::new()),
            vocab_size: 10,
            max_length: 4,
            rows: 1,
            rejected_rows: 0,
            documents: 1,
            tokens: 2,
            target_tokens: 1,
            target_tokens_by_role: BTreeMap::new(),
            messages_by_role: BTreeMap::new(),
            truncation: TruncationLosses::default(),
            segments: vec![entry],
        };
        (folder, manifest)
    }

    #[test]
    fn a_manifest_is_read_as_it_was_saved() {
        let (folder, manifest) = dataset();
        assert!(matches!(Manifest::load(folder.path()), Err(DatasetError::NoManifest(_))));
        manifest.save(folder.path()).unwrap();
        let loaded = Manifest::load(folder.path()).unwrap();
        assert_eq!(loaded, manifest);
        assert_eq!(loaded.pack_counts(), [1]);
        assert_eq!(loaded.fill(), 0.5);
        assert_eq!(loaded.open_segment(folder.path(), SegmentId(0)).unwrap().packs(), 1);
        assert!(
            loaded.open_segment(folder.path(), SegmentId(1)).unwrap_err().to_string().contains("segment 1")
        );
    }

    #[test]
    fn a_damaged_manifest_is_refused_with_the_reason() {
        let (folder, manifest) = dataset();
        let refused = |change: &dyn Fn(&mut Manifest), part: &str| {
            let mut damaged = manifest.clone();
            change(&mut damaged);
            damaged.save(folder.path()).unwrap();
            let message = Manifest::load(folder.path()).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        };
        refused(&|m| m.format_version = 9, "format version is 9");
        refused(&|m| m.tokens = 3, "tokens is 3, but its segments have 2");
        refused(&|m| m.segments[0].file = "../outside".into(), "outside of its folder");
        refused(&|m| m.segments[0].file = "/etc/passwd".into(), "outside of its folder");
        fs::write(folder.path().join(MANIFEST_FILE), "{\"format_version\": 1").unwrap();
        assert!(Manifest::load(folder.path()).unwrap_err().to_string().contains("is damaged"));
    }
}

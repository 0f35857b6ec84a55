//! Everything that shapes the tokens of a data set, so that a stale one is never trained on by mistake.

use crate::config::{Config, LongDialogue};
use crate::hf::tokenizer_files::TokenizerFiles;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How documents are put into packs; a change of the result needs a new name.
pub const PACKING_RULE: &str = "best-fit-decreasing-1";
/// Which tokens are targets; a change of the result needs a new name.
pub const MASK_RULE: &str = "assistant-turns-1";

/// A file of dialogues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// As the configuration names it.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of the content, in hex.
    pub blake3: String,
}

/// Every input that shapes the tokens. Two data sets with equal fingerprints have equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// The data set format.
    pub format_version: u32,
    /// The files of dialogues, in order.
    pub sources: Vec<Source>,
    /// BLAKE3 of `tokenizer.json`, in hex.
    pub tokenizer: String,
    /// BLAKE3 of the chat template's text, in hex.
    pub chat_template: String,
    /// Special tokens that the template may use.
    pub special_tokens: BTreeMap<String, String>,
    /// Longest sample and size of a pack, in tokens.
    pub max_length: u32,
    /// What happened to longer dialogues.
    pub long_dialogue: LongDialogue,
    /// Input bytes per segment.
    pub segment_bytes: u64,
    /// Seed of the spreading of rows over segments.
    pub seed: u64,
    /// [`PACKING_RULE`].
    pub packing: String,
    /// [`MASK_RULE`].
    pub mask_rule: String,
}

impl Fingerprint {
    /// The fingerprint of what this program makes of these inputs.
    #[must_use]
    pub fn new(config: &Config, files: &TokenizerFiles, sources: Vec<Source>) -> Self {
        Self {
            format_version: super::FORMAT_VERSION,
            sources,
            tokenizer: files.tokenizer_hash(),
            chat_template: files.chat_template_hash(),
            special_tokens: files.special_tokens.clone(),
            max_length: config.vectorize.max_length,
            long_dialogue: config.vectorize.long_dialogue,
            segment_bytes: config.vectorize.segment_bytes,
            seed: config.vectorize.seed,
            packing: PACKING_RULE.to_owned(),
            mask_rule: MASK_RULE.to_owned(),
        }
    }

    /// One hash over all fields, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        // Field order is the struct's and maps are sorted, so equal values give equal text. A struct of strings and
        // numbers always serializes.
        let text = serde_json::to_string(self).unwrap_or_default();
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// One sentence for each field of the data set (`self`) that differs from what the configuration gives (`other`).
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = self.setting_differences(other);
        if self.sources.len() != other.sources.len() {
            found.push(differs("number of source files", self.sources.len(), other.sources.len()));
            return found;
        }
        for (ours, theirs) in self.sources.iter().zip(&other.sources) {
            if ours.path != theirs.path {
                found.push(differs("source file", &ours.path, &theirs.path));
            } else if ours.bytes != theirs.bytes {
                found.push(differs(&format!("size of {}", ours.path), ours.bytes, theirs.bytes));
            } else if ours.blake3 != theirs.blake3 {
                found.push(format!("the content of {} has changed since", ours.path));
            }
        }
        found
    }

    /// As [`Fingerprint::differences`], for a process that must not need the raw data: settings and tokenizer are
    /// compared, source files by their names, and by size only where they still exist.
    #[must_use]
    pub fn differences_from_config(&self, config: &Config, files: &TokenizerFiles) -> Vec<String> {
        let mut found = self.setting_differences(&Self::new(config, files, Vec::new()));
        if config.data.train.is_empty() {
            return found;
        }
        let paths: Vec<String> =
            config.data.train.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let ours: Vec<&str> = self.sources.iter().map(|source| source.path.as_str()).collect();
        if ours != paths {
            found.push(differs("data.train", ours.join(", "), paths.join(", ")));
            return found;
        }
        for source in &self.sources {
            match fs::metadata(Path::new(&source.path)) {
                Ok(metadata) if metadata.len() != source.bytes => {
                    found.push(differs(&format!("size of {}", source.path), source.bytes, metadata.len()));
                }
                _ => {}
            }
        }
        found
    }

    fn setting_differences(&self, other: &Self) -> Vec<String> {
        let as_json = |fingerprint: &Self| match serde_json::to_value(fingerprint) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        // Field by field through serde, so that a field added later cannot be forgotten here.
        let (ours, theirs) = (as_json(self), as_json(other));
        ours.iter()
            .filter(|(name, _)| name.as_str() != "sources")
            .filter_map(|(name, value)| {
                let other = theirs.get(name)?;
                (value != other).then(|| differs(name, value, other))
            })
            .collect()
    }
}

fn differs(name: &str, dataset: impl std::fmt::Display, config: impl std::fmt::Display) -> String {
    format!("{name} is {dataset} in the data set but {config} in the configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> TokenizerFiles {
        TokenizerFiles {
            tokenizer_json: b"{}".to_vec(),
            chat_template: "t".into(),
            special_tokens: BTreeMap::from([("eos_token".to_owned(), "</s>".to_owned())]),
        }
    }

    fn source(path: &Path, bytes: u64) -> Source {
        Source { path: path.to_string_lossy().into_owned(), bytes, blake3: "00".into() }
    }

    #[test]
    fn every_setting_that_differs_is_named_with_both_values() {
        let mut config = Config::default();
        let ours = Fingerprint::new(&config, &files(), Vec::new());
        assert_eq!(ours.differences(&ours), Vec::<String>::new());
        config.vectorize.max_length = 77;
        config.vectorize.long_dialogue = LongDialogue::Drop;
        let other_files = TokenizerFiles { chat_template: "u".into(), ..files() };
        let theirs = Fingerprint::new(&config, &other_files, Vec::new());
        let sentences = ours.differences(&theirs).join("\n");
        assert!(
            sentences.contains("max_length is 1024 in the data set but 77 in the configuration"),
            "{sentences}"
        );
        assert!(sentences.contains("long_dialogue") && sentences.contains("chat_template"), "{sentences}");
        assert_eq!(sentences.lines().count(), 3, "{sentences}");
        assert_ne!(ours.digest(), theirs.digest());
    }

    #[test]
    fn sources_differ_by_name_size_and_content() {
        let config = Config::default();
        let make = |source: Source| Fingerprint::new(&config, &files(), vec![source]);
        let ours = make(source(Path::new("a"), 1));
        assert!(ours.differences(&make(source(Path::new("b"), 1)))[0].contains("source file is a"));
        assert!(ours.differences(&make(source(Path::new("a"), 2)))[0].contains("size of a is 1"));
        let changed = Source { blake3: "01".into(), ..source(Path::new("a"), 1) };
        assert!(ours.differences(&make(changed))[0].contains("the content of a has changed"));
        assert!(
            ours.differences(&Fingerprint::new(&config, &files(), vec![]))[0]
                .contains("number of source files")
        );
    }

    #[test]
    fn training_needs_no_raw_data_but_notices_a_changed_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let mut config = Config::default();
        config.data.train = vec![path.clone()];
        let ours = Fingerprint::new(&config, &files(), vec![source(&path, 3)]);
        assert_eq!(ours.differences_from_config(&config, &files()), Vec::<String>::new());
        fs::write(&path, "four").unwrap();
        assert!(ours.differences_from_config(&config, &files())[0].contains("size of"));
        config.data.train = vec!["elsewhere.jsonl".into()];
        assert!(ours.differences_from_config(&config, &files())[0].contains("data.train"));
        config.data.train.clear();
        assert_eq!(ours.differences_from_config(&config, &files()), Vec::<String>::new());
    }
}

//! The tokenizer's files of a model directory: what shapes tokens, and nothing that needs a tokenizer to read.

use crate::fsio::{PathError, WithPath};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The special tokens that a chat template may use as variables.
const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// `tokenizer.json`, the chat template and the special tokens of a Hugging Face model directory.
#[derive(Debug, Clone)]
pub struct TokenizerFiles {
    /// Content of `tokenizer.json`.
    pub tokenizer_json: Vec<u8>,
    /// The chat template's text: `chat_template.jinja`, or `chat_template` of `tokenizer_config.json`.
    pub chat_template: String,
    /// Special tokens by the name that a template calls them, `bos_token` and so on.
    pub special_tokens: BTreeMap<String, String>,
}

/// A model directory whose tokenizer files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerFilesError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The directory is not there.
    #[error(
        "the model folder {} does not exist. Set `model.path` to a Hugging Face directory (config.json, \
         safetensors, tokenizer.json), or make one with `evenkeel import`",
        .0.display()
    )]
    NoFolder(PathBuf),
    /// A file that must be there is not.
    #[error(
        "{} has no {file}. evenkeel needs the fast tokenizer's files beside the model; models that ship only \
         `tokenizer.model` can be converted with transformers' `AutoTokenizer.from_pretrained(...).save_pretrained(...)`",
        folder.display()
    )]
    Missing {
        /// The model directory.
        folder: PathBuf,
        /// The file's name.
        file: &'static str,
    },
    /// The tokenizer has no chat template.
    #[error(
        "the tokenizer in {} has no chat template, so dialogues cannot be turned into text. Put the model's template \
         into chat_template.jinja there (base models have none: take the one of the instruct model)",
        .0.display()
    )]
    NoTemplate(PathBuf),
    /// A JSON file is broken.
    #[error("{} is not valid: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl TokenizerFiles {
    /// Reads the files of a model directory.
    ///
    /// # Errors
    /// When the directory, `tokenizer.json` or the chat template is missing, or a file is broken.
    pub fn load(model_dir: &Path) -> Result<Self, TokenizerFilesError> {
        if !model_dir.is_dir() {
            return Err(TokenizerFilesError::NoFolder(model_dir.to_path_buf()));
        }
        let tokenizer_json = read_optional(&model_dir.join("tokenizer.json"))?.ok_or_else(|| {
            TokenizerFilesError::Missing { folder: model_dir.to_path_buf(), file: "tokenizer.json" }
        })?;
        let config_path = model_dir.join("tokenizer_config.json");
        let config = read_object(&config_path)?.unwrap_or_default();
        let map = read_object(&model_dir.join("special_tokens_map.json"))?.unwrap_or_default();
        let chat_template = chat_template(model_dir, &config)?
            .ok_or_else(|| TokenizerFilesError::NoTemplate(model_dir.to_path_buf()))?;
        let special_tokens = SPECIAL_TOKENS
            .iter()
            .filter_map(|&name| {
                let token = token_text(config.get(name)).or_else(|| token_text(map.get(name)))?;
                Some((name.to_owned(), token))
            })
            .collect();
        Ok(Self { tokenizer_json, chat_template, special_tokens })
    }

    /// BLAKE3 of `tokenizer.json`, in hex.
    #[must_use]
    pub fn tokenizer_hash(&self) -> String {
        blake3::hash(&self.tokenizer_json).to_hex().to_string()
    }

    /// BLAKE3 of the template's text, in hex.
    #[must_use]
    pub fn chat_template_hash(&self) -> String {
        blake3::hash(self.chat_template.as_bytes()).to_hex().to_string()
    }
}

/// The file of its own wins, as in transformers; a list of named templates gives the one called "default".
fn chat_template(
    model_dir: &Path,
    config: &Map<String, Value>,
) -> Result<Option<String>, TokenizerFilesError> {
    let path = model_dir.join("chat_template.jinja");
    if let Some(bytes) = read_optional(&path)? {
        let text = String::from_utf8(bytes)
            .map_err(|error| TokenizerFilesError::Invalid { path, reason: error.to_string() })?;
        return Ok(Some(text));
    }
    Ok(match config.get("chat_template") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(named)) => named
            .iter()
            .find(|entry| entry["name"] == "default")
            .and_then(|entry| entry["template"].as_str())
            .map(str::to_owned),
        _ => None,
    })
}

/// A token is written as a string or as an object with a `content`.
fn token_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Object(token) => token.get("content")?.as_str().map(str::to_owned),
        _ => None,
    }
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_path("read", path),
    }
}

fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, TokenizerFilesError> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| TokenizerFilesError::Invalid { path: path.to_path_buf(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_template_file_wins_over_the_configuration() {
        let config = r#"{"chat_template": "old", "bos_token": {"content": "<s>"}, "pad_token": null}"#;
        let mut files = vec![("tokenizer.json", "{}"), ("tokenizer_config.json", config)];
        assert_eq!(TokenizerFiles::load(folder(&files).path()).unwrap().chat_template, "old");
        files.push(("chat_template.jinja", "new"));
        files.push(("special_tokens_map.json", r#"{"eos_token": "</s>", "bos_token": "other"}"#));
        let loaded = TokenizerFiles::load(folder(&files).path()).unwrap();
        assert_eq!(loaded.chat_template, "new");
        let tokens: Vec<_> = loaded.special_tokens.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(tokens, [("bos_token", "<s>"), ("eos_token", "</s>")]);
    }

    #[test]
    fn of_named_templates_the_default_one_is_taken() {
        let config = r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#;
        let folder = folder(&[("tokenizer.json", "{}"), ("tokenizer_config.json", config)]);
        assert_eq!(TokenizerFiles::load(folder.path()).unwrap().chat_template, "d");
    }

    #[test]
    fn what_is_missing_is_said() {
        let error =
            |files: &[(&str, &str)]| TokenizerFiles::load(folder(files).path()).unwrap_err().to_string();
        assert!(error(&[]).contains("has no tokenizer.json"));
        assert!(error(&[("tokenizer.json", "{}")]).contains("has no chat template"));
        assert!(
            error(&[("tokenizer.json", "{}"), ("tokenizer_config.json", "{")])
                .contains("tokenizer_config.json")
        );
        let error = TokenizerFiles::load(Path::new("no/such/model")).unwrap_err().to_string();
        assert!(error.contains("model.path"), "{error}");
    }
}

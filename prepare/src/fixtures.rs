//! The small tokenizer and the templates of `tests/fixtures`, for unit tests.

use crate::chat::{ChatTemplate, Message, Role};
use evenkeel_shared::hf::tokenizer_files::TokenizerFiles;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A file of the fixtures' folder.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The fixtures' tokenizer with one of the templates.
pub fn files(template: &str) -> TokenizerFiles {
    files_with(&fs::read_to_string(path(&format!("{template}.jinja"))).unwrap())
}

/// The fixtures' tokenizer with this template text.
pub fn files_with(template: &str) -> TokenizerFiles {
    let special = [("bos_token", "<|endoftext|>"), ("eos_token", "<|im_end|>")];
    TokenizerFiles {
        tokenizer_json: fs::read(path("tokenizer.json")).unwrap(),
        chat_template: template.to_owned(),
        special_tokens: BTreeMap::from(special.map(|(name, token)| (name.to_owned(), token.to_owned()))),
    }
}

/// A compiled template text.
pub fn template_with(text: &str) -> ChatTemplate {
    ChatTemplate::compile(&files_with(text)).unwrap()
}

/// A compiled template of the fixtures.
pub fn template(name: &str) -> ChatTemplate {
    ChatTemplate::compile(&files(name)).unwrap()
}

/// A model folder with nothing but the tokenizer's files.
pub fn model_folder(template: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(path("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    fs::copy(path(&format!("{template}.jinja")), folder.path().join("chat_template.jinja")).unwrap();
    let config = r#"{"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}"#;
    fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    folder
}

/// Messages from the first letters of their roles: `("u", "hi")`.
pub fn messages(turns: &[(&str, &str)]) -> Vec<Message> {
    turns
        .iter()
        .map(|&(role, content)| {
            let role = match role {
                "s" => Role::System,
                "u" => Role::User,
                "t" => Role::Tool,
                _ => Role::Assistant,
            };
            Message { role, content: content.to_owned() }
        })
        .collect()
}

//! Talking to a model: a message to token ids, generated ids back to text as they come.

use crate::chat::{ChatTemplate, Message, RenderError, TemplateError};
use evenkeel_shared::hf::tokenizer_files::{TokenizerFiles, TokenizerFilesError};
use std::path::Path;
use tokenizers::Tokenizer;

/// Why a prompt could not be made or an answer not be read.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The tokenizer's files.
    #[error(transparent)]
    Files(#[from] TokenizerFilesError),
    /// The chat template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The chat template does not take these messages.
    #[error("the chat template cannot render the messages: {0}")]
    Render(#[from] RenderError),
    /// The tokenizers library's answer.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
}

/// A model directory's tokenizer and chat template.
#[derive(Debug)]
pub struct PromptCodec {
    template: ChatTemplate,
    tokenizer: Tokenizer,
    end_of_turn: Option<u32>,
}

impl PromptCodec {
    /// Reads the tokenizer's files of a model directory.
    ///
    /// # Errors
    /// Missing or broken files; a template that cannot be compiled.
    pub fn load(model_dir: &Path) -> Result<Self, PromptError> {
        let files = TokenizerFiles::load(model_dir)?;
        let template = ChatTemplate::compile(&files)?;
        let tokenizer = Tokenizer::from_bytes(&files.tokenizer_json).map_err(tokenizer_error)?;
        let end_of_turn =
            files.special_tokens.get("eos_token").and_then(|token| tokenizer.token_to_id(token));
        Ok(Self { template, tokenizer, end_of_turn })
    }

    /// Token ids of the messages and the words that ask for the assistant's answer.
    ///
    /// # Errors
    /// A template that refuses the messages.
    pub fn encode_messages(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        self.encode_text(&self.template.prompt(messages)?)
    }

    /// Token ids of a text as it stands.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, PromptError> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(tokenizer_error)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The id that ends an answer, as the tokenizer's configuration says.
    #[must_use]
    pub fn end_of_turn(&self) -> Option<u32> {
        self.end_of_turn
    }

    /// Text for ids that come one at a time: `None` while a character is incomplete.
    pub fn decoder(&self) -> impl FnMut(u32) -> Result<Option<String>, PromptError> {
        let mut stream = self.tokenizer.decode_stream(true);
        move |id| stream.step(id).map_err(tokenizer_error)
    }
}

fn tokenizer_error(error: tokenizers::Error) -> PromptError {
    PromptError::Tokenizer(error.to_string())
}

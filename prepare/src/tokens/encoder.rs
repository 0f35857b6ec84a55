//! The tokenizer, set up as `apply_chat_template(tokenize=True)` of transformers uses it.

use super::mask::{Ending, mask};
use crate::chat::Rendered;
use evenkeel_shared::hf::tokenizer_files::TokenizerFiles;
use std::collections::HashSet;
use std::ops::Range;
use tokenizers::Tokenizer;

/// Words whose tokens are remembered; natural text has some ten thousand that come again and again.
const CACHED_WORDS: usize = 1 << 17;

/// The tokenizer refused its file or a text.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// `tokenizer.json` is not one that this program can use.
    #[error("tokenizer.json cannot be used: {0}")]
    File(String),
    /// A text cannot be encoded or decoded.
    #[error("the tokenizer fails: {0}")]
    Text(String),
}

/// A dialogue as tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each token, whether it is trained on; the first one never is.
    pub targets: Vec<bool>,
}

impl Tokens {
    /// Number of targets.
    #[must_use]
    pub fn target_count(&self) -> usize {
        self.targets.iter().filter(|&&target| target).count()
    }
}

/// A tokenizer. A clone has a cache and scratch space of its own: give each thread one.
#[derive(Debug, Clone)]
pub struct Encoder {
    tokenizer: Tokenizer,
    special: HashSet<u32>,
    vocab_size: u32,
}

impl Encoder {
    /// Reads `tokenizer.json`. Its own truncation and padding are turned off, and so is its post-processor: the
    /// chat template has written all special tokens already, and what else it does is to trim the offsets.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn new(files: &TokenizerFiles) -> Result<Self, TokenizerError> {
        let refuse = |error: tokenizers::Error| TokenizerError::File(error.to_string());
        let mut tokenizer = Tokenizer::from_bytes(&files.tokenizer_json).map_err(refuse)?;
        tokenizer.with_truncation(None).map_err(refuse)?;
        tokenizer.with_padding(None);
        tokenizer.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        let mut model = tokenizer.get_model().clone();
        model.resize_cache(CACHED_WORDS);
        tokenizer.with_model(model);
        let special = tokenizer
            .get_added_tokens_decoder()
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(&id, _)| id)
            .collect();
        // Ids can have holes, so the number of entries is not enough.
        let vocab_size = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id + 1);
        Ok(Self { tokenizer, special, vocab_size })
    }

    /// All ids are below this. A model's embedding may have more rows, never fewer.
    #[must_use]
    pub fn vocab_size(&self) -> u32 {
        self.vocab_size
    }

    /// The tokens of a dialogue with their target mask.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, rendered: &Rendered, ending: Ending) -> Result<Tokens, TokenizerError> {
        let encoding = self
            .tokenizer
            .encode(rendered.text.as_str(), false)
            .map_err(|error| TokenizerError::Text(error.to_string()))?;
        let ids = encoding.get_ids().to_vec();
        let targets =
            mask(rendered, ending, encoding.get_offsets(), |token| self.special.contains(&ids[token]));
        Ok(Tokens { ids, targets })
    }

    /// The byte range of each token of a text that stands alone.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn token_ranges(&self, text: &str) -> Result<Vec<Range<usize>>, TokenizerError> {
        let encoding =
            self.tokenizer.encode(text, false).map_err(|error| TokenizerError::Text(error.to_string()))?;
        Ok(encoding.get_offsets().iter().map(|&(start, end)| start..end).collect())
    }

    /// The text of these tokens, special ones included.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.tokenizer.decode(ids, false).map_err(|error| TokenizerError::Text(error.to_string()))
    }
}

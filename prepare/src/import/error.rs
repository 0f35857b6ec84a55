//! Why a model cannot be imported.

use evenkeel_shared::fsio::PathError;
use evenkeel_shared::hf::ModelConfigError;
use evenkeel_shared::hf::tokenizer_files::TokenizerFilesError;
use std::path::PathBuf;

/// Why a model cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// Not a GGUF file at all.
    #[error(
        "{} is not a GGUF file: it begins with {found:02x?}, expected the letters GGUF. \
         Give a .gguf file, or a Hugging Face directory to check", path.display()
    )]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// The file contradicts itself or ends too early.
    #[error("{} is damaged: {what}, at byte {at} of {bytes}. Fetch the file again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: String,
        /// Offset in the file.
        at: u64,
        /// Size of the file.
        bytes: u64,
    },
    /// A file that is well-formed but holds something that is not supported.
    #[error("{}: {what} is {found}, which evenkeel cannot import; supported: {supported}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// "the architecture", "the type of tensor x", …
        what: String,
        /// What it is.
        found: String,
        /// What it could be.
        supported: String,
    },
    /// Metadata that a Llama model needs is absent or of the wrong type.
    #[error("{}: metadata {key} {problem}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// "is missing", "is 7, expected …".
        problem: String,
    },
    /// A tensor that is missing, superfluous or of another shape.
    #[error("{}: tensor {name} {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor, as the file calls it.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The tokenizer made from the metadata does not load.
    #[error("{}: the tokenizer in the metadata is inconsistent: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the tokenizer library says.
        reason: String,
    },
    /// The output is in the way.
    #[error("{} exists already; remove it or choose another folder", .0.display())]
    OutputExists(PathBuf),
    /// A Hugging Face directory's config.json.
    #[error(transparent)]
    Config(#[from] ModelConfigError),
    /// A Hugging Face directory's tokenizer files.
    #[error(transparent)]
    TokenizerFiles(#[from] TokenizerFilesError),
    /// A Hugging Face directory's weights.
    #[error("{} cannot be used: {reason}", path.display())]
    Weights {
        /// The safetensors file, its index, or the directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

//! Hugging Face model directories: what evenkeel reads from them without libtorch.

mod config;
pub mod tokenizer_files;

pub use config::{ModelConfig, ModelConfigError};

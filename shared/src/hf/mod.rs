//! Hugging Face model directories: what evenkeel reads from them without libtorch.

mod config;

pub use config::{ModelConfig, ModelConfigError};

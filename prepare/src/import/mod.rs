//! Models from elsewhere: a GGUF file becomes a Hugging Face directory, and a Hugging Face directory is checked.
//!
//! The tensors are streamed: memory stays at a few rows of the largest tensor plus the tokenizer, whatever the size of
//! the model. The directory is written as `OUT_DIR.tmp` and renamed, so it is complete or not there.

mod check;
mod convert;
mod error;
mod gguf;
mod model;
mod safetensors_file;
mod tokenizer;

#[cfg(test)]
mod tests;

pub use check::{Checked, check_directory};
pub use convert::{Imported, Settings, import_gguf};
pub use error::ImportError;

/// Number format of the written weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightType {
    /// float32: holds every dequantised value exactly.
    F32,
    /// bfloat16, rounded to nearest even.
    Bf16,
    /// float16, rounded to nearest even; a value beyond ±65504 is refused.
    F16,
}

impl WeightType {
    fn safetensors_name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Bf16 => "BF16",
            Self::F16 => "F16",
        }
    }

    fn transformers_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}

//! From dialogues to segments, and from foreign model files to Hugging Face directories. No libtorch, no network.

pub mod chat;
#[cfg(test)]
mod fixtures;
pub mod import;
pub mod prompt;
pub mod sample;
pub mod tokens;
pub mod vectorize;

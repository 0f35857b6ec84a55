//! From dialogues to segments, and from foreign model files to Hugging Face directories. No libtorch, no network.

pub mod chat;
pub mod import;
pub mod prompt;
pub mod tokens;
pub mod vectorize;

//! Text to tokens and the target mask.

mod encoder;
mod mask;
#[cfg(test)]
mod tests;

pub use encoder::{Encoder, TokenizerError, Tokens};
pub use mask::Ending;

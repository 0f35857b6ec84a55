//! Dialogues to text by the model's own chat template, with the byte spans that the assistant wrote.
//!
//! The spans come from rendering, never from searching the text for markers: a dialogue's first `i` messages with a
//! generation prompt end where the assistant's answer `i` begins, and its first `i + 1` messages end where it ends.

mod environment;
mod generation;
mod message;
mod render;
mod skeleton;
mod template;
#[cfg(test)]
mod tests;

pub use message::{Message, Role, Row, RowError};
pub use render::{Rendered, Renderer, SpanRule};
pub use template::{ChatTemplate, RenderError, TemplateError};

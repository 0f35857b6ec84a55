//! One segment file.
//!
//! ```text
//! magic "EVKLSEG\n" (8 bytes)
//! length of the header record, u32
//! header record: version byte, then bincode (layout.rs)
//! tokens           u16 (vocabulary of at most 65,536) or u32 each, packs one after the other
//! targets          one bit a token, lowest bit first, spare bits of the last byte zero
//! pack_documents   u32 each, packs + 1: index of a pack's first document, the last entry is the document count
//! document_starts  u64 each, documents + 1: a document's first token, the last entry is the token count
//! rows             u64 each: the source row of a document
//! pack_targets     u32 each: set target bits of a pack
//! ```
//! All integers are little-endian. Sections follow one another without gaps up to the end of the file.

mod builder;
mod check;
mod layout;
mod reader;
#[cfg(test)]
mod tests;

pub use builder::{DocumentTokens, SegmentBuilder};
pub use reader::{Document, Pack, Segment, Verification};

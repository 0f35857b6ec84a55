//! The vectorized data set: `manifest.json` and `segments/000000.seg` and on.
//!
//! A segment is the unit of loading, shuffling, splitting and quarantine. It holds packs; a pack holds whole
//! documents (dialogues) and is at most `max_length` tokens long. `prepare` writes it, workers read it.

mod error;
mod fingerprint;
mod manifest;
mod mapped;
mod segment;

pub use error::{DatasetError, SegmentFault};
pub use fingerprint::{Fingerprint, MASK_RULE, PACKING_RULE, Source};
pub use manifest::{
    FORMAT_VERSION, MANIFEST_FILE, Manifest, SEGMENTS_FOLDER, SegmentEntry, TruncationLosses,
};
pub use segment::{Document, DocumentTokens, Pack, Segment, SegmentBuilder, Verification};

//! What can be wrong with a data set.

use crate::codec::CodecError;
use crate::fsio::PathError;
use crate::hf::tokenizer_files::TokenizerFilesError;
use std::path::PathBuf;

/// A data set that cannot be read or written, or must not be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// There is no manifest where one is expected.
    #[error(
        "{} is not a vectorized data set: it has no manifest.json. Run `evenkeel vectorize` with the same \
         configuration first; if that was interrupted, the same command goes on where it stopped",
        .0.display()
    )]
    NoManifest(PathBuf),
    /// The manifest is not what `vectorize` writes.
    #[error("{} is damaged: {reason}. Vectorize again with --overwrite", path.display())]
    Manifest {
        /// The manifest's path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The caller asked for a segment that the data set does not have.
    #[error("there is no segment {segment} in {}: it has {segments}, counted from 0", dataset.display())]
    NoSuchSegment {
        /// The data set's folder.
        dataset: PathBuf,
        /// The segment asked for.
        segment: u32,
        /// Number of segments.
        segments: usize,
    },
    /// A segment file is damaged or is not the one that the manifest lists.
    #[error("segment {} cannot be used: {fault}. Copy it again from where the data set was made, or vectorize again with --overwrite", path.display())]
    Segment {
        /// The segment's path.
        path: PathBuf,
        /// What is wrong.
        fault: SegmentFault,
    },
    /// The data set was made from other inputs or settings than the run's.
    #[error(
        "the data set in {} was vectorized with other settings than this configuration has: {}. Vectorize again \
         with --overwrite, or set the configuration back",
        dataset.display(), differences.join("; ")
    )]
    Fingerprint {
        /// The data set's folder.
        dataset: PathBuf,
        /// One sentence a field that differs.
        differences: Vec<String>,
    },
    /// The model's tokenizer files cannot be read.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerFilesError),
}

/// What is wrong inside one segment. Numbers are bytes unless they say otherwise.
#[derive(Debug, thiserror::Error)]
pub enum SegmentFault {
    /// Not such a file at all.
    #[error("it does not begin with the segment magic")]
    Magic,
    /// The file ends too early.
    #[error("it ends after {found} bytes, expected {expected}")]
    Truncated {
        /// Bytes expected at least.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// The header is broken.
    #[error("its header is broken: {0}")]
    Header(#[from] CodecError),
    /// Sections overlap, leave a gap, or have a length that does not follow from the counts.
    #[error(
        "its section `{section}` is at {found_offset} with {found_bytes} bytes, expected {offset} with {bytes}"
    )]
    Section {
        /// Name of the section.
        section: &'static str,
        /// Where it must be.
        offset: u64,
        /// How long it must be.
        bytes: u64,
        /// Where the header says it is.
        found_offset: u64,
        /// How long the header says it is.
        found_bytes: u64,
    },
    /// Header and manifest, or header and content, disagree.
    #[error("its {what} is {found}, expected {expected}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// The value that the manifest or the header promises.
        expected: u64,
        /// The value found.
        found: u64,
    },
    /// The content's hash is not the manifest's.
    #[error("its content has BLAKE3 {found}, the manifest says {expected}")]
    Hash {
        /// From the manifest.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// Boundaries that do not rise.
    #[error("its {what} do not rise at entry {index}")]
    Boundaries {
        /// Which boundaries.
        what: &'static str,
        /// The first entry that is wrong.
        index: usize,
    },
    /// A token outside the vocabulary.
    #[error("token {index} has id {id}, outside the vocabulary of {vocab_size}")]
    Token {
        /// Position in the segment, in tokens.
        index: usize,
        /// The id found.
        id: u32,
        /// Ids must be below this.
        vocab_size: u32,
    },
    /// A pack longer than the header allows.
    #[error("pack {pack} has {tokens} tokens, more than max_length {max_length}")]
    PackLength {
        /// The pack.
        pack: usize,
        /// Its length, in tokens.
        tokens: u64,
        /// The limit, in tokens.
        max_length: u32,
    },
    /// The first token of a document has nothing before it that could predict it.
    #[error("the first token of document {0} is a target")]
    FirstTarget(usize),
    /// The target count of a pack is not the number of set bits.
    #[error("pack {pack} has {found} targets, its count says {expected}")]
    Targets {
        /// The pack.
        pack: usize,
        /// The stored count.
        expected: u64,
        /// The number of set bits.
        found: u64,
    },
    /// Bits behind the last token are set.
    #[error("bits behind its last target bit are set")]
    SpareBits,
    /// There is no such pack.
    #[error("it has {packs} packs, pack {pack} was asked for")]
    NoSuchPack {
        /// The pack asked for.
        pack: usize,
        /// Number of packs.
        packs: usize,
    },
    /// A document that must not be put into a segment.
    #[error("document of row {row}: {reason}")]
    Document {
        /// The source row.
        row: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

//! A small random vectorized data set.

use crate::model::VOCABULARY;
use crate::random::Random;
use anyhow::Result;
use evenkeel_shared::config::Config;
use evenkeel_shared::dataset::{
    DocumentTokens, FORMAT_VERSION, Fingerprint, Manifest, SEGMENTS_FOLDER, SegmentBuilder, SegmentEntry,
    TruncationLosses,
};
use evenkeel_shared::hf::tokenizer_files::TokenizerFiles;
use evenkeel_shared::ids::RowId;
use std::fs;
use std::path::Path;

/// Sizes of the data set.
#[derive(Debug, Clone, Copy)]
pub struct DatasetShape {
    /// Segment files.
    pub segments: u32,
    /// Packs in each.
    pub packs: u32,
    /// Longest pack, in tokens; also `vectorize.max_length`.
    pub max_length: u32,
}

impl Default for DatasetShape {
    fn default() -> Self {
        Self { segments: 4, packs: 24, max_length: 48 }
    }
}

/// Writes segments and manifest for the tokenizer of a model folder. Packs have one to three documents, their lengths
/// and the number of targets vary, as in real data.
///
/// # Errors
/// When a file cannot be written, or the model's tokenizer files cannot be read.
pub fn write_dataset(folder: &Path, model: &Path, shape: DatasetShape, seed: u64) -> Result<Manifest> {
    fs::create_dir_all(folder.join(SEGMENTS_FOLDER))?;
    let mut random = Random(seed);
    let mut row = 0;
    let segments = (0..shape.segments)
        .map(|index| {
            let mut builder = SegmentBuilder::new(VOCABULARY, shape.max_length);
            for _ in 0..shape.packs {
                push_pack(&mut builder, &mut random, shape.max_length, &mut row)?;
            }
            let name = format!("{SEGMENTS_FOLDER}/{index:06}.seg");
            Ok(builder.write(&folder.join(&name), &name)?)
        })
        .collect::<Result<Vec<SegmentEntry>>>()?;
    let mut config = Config::default();
    config.vectorize.max_length = shape.max_length;
    let sum = |field: fn(&SegmentEntry) -> u64| segments.iter().map(field).sum();
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        fingerprint: Fingerprint::new(&config, &TokenizerFiles::load(model)?, Vec::new()),
        vocab_size: VOCABULARY,
        max_length: shape.max_length,
        rows: row,
        rejected_rows: 0,
        documents: row,
        tokens: sum(|segment| segment.tokens),
        target_tokens: sum(|segment| segment.target_tokens),
        target_tokens_by_role: Default::default(),
        messages_by_role: Default::default(),
        truncation: TruncationLosses::default(),
        segments,
    };
    manifest.save(folder)?;
    Ok(manifest)
}

fn push_pack(
    builder: &mut SegmentBuilder,
    random: &mut Random,
    max_length: u32,
    row: &mut u64,
) -> Result<()> {
    let documents: Vec<(u64, Vec<u32>, Vec<bool>)> = (0..=random.below(3))
        .map(|_| {
            let length = 4 + random.below(max_length / 3 - 4) as usize;
            // Runs of neighbouring ids, so that there is something to learn and the loss falls.
            let first = random.below(200);
            let tokens = (0..length as u32).map(|offset| first + offset % 7).collect();
            let mut targets: Vec<bool> = (0..length).map(|_| random.below(2) == 0).collect();
            (targets[0], targets[1]) = (false, true);
            *row += 1;
            (*row - 1, tokens, targets)
        })
        .collect();
    let documents: Vec<DocumentTokens<'_>> = documents
        .iter()
        .map(|(row, tokens, targets)| DocumentTokens { row: RowId(*row), tokens, targets })
        .collect();
    Ok(builder.push_pack(&documents)?)
}

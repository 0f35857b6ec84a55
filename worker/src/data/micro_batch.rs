//! Packs as tensors.

use crate::model::TokenLine;
use evenkeel_shared::dataset::Pack;
use tch::{Device, TchError, Tensor};

/// Some packs, one after the other, with what is to be predicted.
#[derive(Debug)]
pub struct MicroBatch {
    /// The tokens.
    pub line: TokenLine,
    /// Place of the token before each target, `[K]` int64: the prediction is made from there.
    pub sources: Tensor,
    /// Ids to predict, `[K]` int64.
    pub targets: Tensor,
    /// Tokens in the line, `T`.
    pub token_count: u64,
    /// Tokens to predict, `K`.
    pub target_count: u64,
}

/// Collects packs on the CPU.
#[derive(Debug, Default)]
pub(super) struct Collector {
    tokens: Vec<i64>,
    positions: Vec<i64>,
    bounds: Vec<i64>,
    sources: Vec<i64>,
    targets: Vec<i64>,
}

impl Collector {
    pub(super) fn add(&mut self, pack: &Pack<'_>) {
        let start = self.tokens.len();
        pack.copy_tokens(&mut self.tokens);
        for document in pack.documents() {
            self.bounds.push((start + document.range.start) as i64);
            self.positions.extend(0..document.range.len() as i64);
            // The first token of a document is never a target: there is nothing to predict it from.
            for place in document.range.skip(1).filter(|&place| pack.is_target(place)) {
                self.sources.push((start + place - 1) as i64);
                self.targets.push(self.tokens[start + place]);
            }
        }
    }

    pub(super) fn finish(mut self, device: Device) -> Result<MicroBatch, TchError> {
        self.bounds.push(self.tokens.len() as i64);
        let on_device = |values: &[i64]| Tensor::f_from_slice(values)?.f_to_device(device);
        Ok(MicroBatch {
            line: TokenLine {
                tokens: on_device(&self.tokens)?,
                positions: on_device(&self.positions)?,
                bounds: self.bounds,
            },
            sources: on_device(&self.sources)?,
            targets: on_device(&self.targets)?,
            token_count: self.tokens.len() as u64,
            target_count: self.targets.len() as u64,
        })
    }
}

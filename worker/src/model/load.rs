//! A model from a Hugging Face directory.

use super::llama::{Block, Llama};
use super::parameter::{Numerics, Parameter};
use super::rope::AngleTable;
use crate::tensor_file::{ModelFiles, TensorFileError};
use evenkeel_shared::hf::{ModelConfig, ModelConfigError};
use std::collections::VecDeque;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// `config.json`.
    #[error(transparent)]
    Config(#[from] ModelConfigError),
    /// The tensors.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// libtorch's answer, for instance out of memory.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// Reads a model directory. Weights of any of F32, BF16 and F16 become float32 masters.
///
/// `master` gives a tensor's float32 master instead of the directory's file where it returns one: a bf16 checkpoint keeps
/// its masters beside its optimizer state.
///
/// # Errors
/// A missing, truncated or unsupported directory; a tensor that is missing or has another shape.
pub fn load(
    folder: &Path,
    numerics: Numerics,
    device: Device,
    mut master: impl FnMut(&str) -> Result<Option<Tensor>, TensorFileError>,
) -> Result<Llama, LoadError> {
    let config = ModelConfig::load(folder)?;
    let files = ModelFiles::open(folder)?;
    let mut parameters = VecDeque::new();
    for (name, shape) in config.tensors() {
        let tensor = match master(&name)? {
            Some(tensor) => tensor,
            None => files.read(&name, &shape)?,
        };
        let tensor = tensor.f_to_device(device)?.f_to_kind(Kind::Float)?;
        parameters.push_back(Parameter::new(name, tensor, numerics)?);
    }
    let angles = AngleTable::new(config.head_dim, config.rope_theta, config.max_position_embeddings, device)?;
    assemble(config, angles, parameters).ok_or_else(|| unreachable_layout().into())
}

/// Deals the parameters out in the order of [`ModelConfig::tensors`]; `None` if there are fewer than the shape needs.
fn assemble(config: ModelConfig, angles: AngleTable, mut parameters: VecDeque<Parameter>) -> Option<Llama> {
    let mut next = || parameters.pop_front();
    let embedding = next()?;
    let mut blocks = Vec::with_capacity(config.num_layers);
    for _ in 0..config.num_layers {
        blocks.push(Block {
            attention_norm: next()?,
            query: next()?,
            key: next()?,
            value: next()?,
            output: next()?,
            mlp_norm: next()?,
            gate: next()?,
            up: next()?,
            down: next()?,
        });
    }
    let norm = next()?;
    let head = if config.tie_word_embeddings { None } else { Some(next()?) };
    Some(Llama { config, angles, embedding, blocks, norm, head })
}

fn unreachable_layout() -> tch::TchError {
    tch::TchError::Shape("the configuration lists fewer tensors than its own shape needs".into())
}

//! Whether a Hugging Face directory can be used.

use super::ImportError;
use super::safetensors_file::read_header;
use evenkeel_shared::fsio::WithPath;
use evenkeel_shared::hf::ModelConfig;
use evenkeel_shared::hf::tokenizer_files::TokenizerFiles;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use tokenizers::Tokenizer;

/// What a usable directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Number of parameters.
    pub parameters: u64,
    /// How many tensors there are of each number format.
    pub dtypes: BTreeMap<String, u64>,
    /// Tokens of the tokenizer, added ones included.
    pub tokens: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Tensors that the model does not use.
    pub unused_tensors: Vec<String>,
}

/// Checks configuration, weights (names, shapes, complete files; values are not read), tokenizer and chat template.
///
/// # Errors
/// The first thing that would keep the directory from being trained, with what to do about it.
pub fn check_directory(dir: &Path) -> Result<Checked, ImportError> {
    let config = ModelConfig::load(dir)?;
    let mut found = BTreeMap::new();
    for file in weight_files(dir)? {
        for (name, info) in read_header(&file)?.tensors() {
            if found.insert(name.clone(), (info.dtype, info.shape.clone())).is_some() {
                return Err(unusable(&file, format!("tensor {name} is in another file too")));
            }
        }
    }
    let mut dtypes = BTreeMap::new();
    for (name, shape) in config.tensors() {
        let Some((dtype, found_shape)) = found.remove(&name) else {
            return Err(unusable(
                dir,
                format!("its weights have no tensor {name}, which config.json demands"),
            ));
        };
        if found_shape != shape {
            let reason =
                format!("tensor {name} has shape {found_shape:?}, but config.json demands {shape:?}");
            return Err(unusable(dir, reason));
        }
        let dtype = format!("{dtype:?}");
        if !matches!(dtype.as_str(), "F32" | "BF16" | "F16") {
            return Err(unusable(dir, format!("tensor {name} has dtype {dtype}, expected F32, BF16 or F16")));
        }
        *dtypes.entry(dtype).or_insert(0) += 1;
    }
    let files = TokenizerFiles::load(dir)?;
    let tokenizer_path = dir.join("tokenizer.json");
    let tokenizer = Tokenizer::from_bytes(&files.tokenizer_json).map_err(|error| ImportError::Tokenizer {
        path: tokenizer_path.clone(),
        reason: error.to_string(),
    })?;
    let largest = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
    if largest > config.vocab_size {
        let reason =
            format!("it has ids up to {}, but the model has {} embeddings", largest - 1, config.vocab_size);
        return Err(ImportError::Tokenizer { path: tokenizer_path, reason });
    }
    Ok(Checked {
        parameters: config.parameter_count() as u64,
        dtypes,
        tokens: tokenizer.get_vocab_size(true),
        vocab_size: config.vocab_size,
        unused_tensors: found.into_keys().collect(),
    })
}

/// `model.safetensors.index.json`, as far as it is needed.
#[derive(Deserialize)]
struct Index {
    /// Tensor to file.
    weight_map: BTreeMap<String, String>,
}

fn weight_files(dir: &Path) -> Result<BTreeSet<PathBuf>, ImportError> {
    let single = dir.join("model.safetensors");
    if single.is_file() {
        return Ok([single].into());
    }
    let index_path = dir.join("model.safetensors.index.json");
    if !index_path.is_file() {
        let reason = "it has neither model.safetensors nor model.safetensors.index.json; weights in pickle files \
                      (pytorch_model.bin) are not read, save them as safetensors";
        return Err(unusable(dir, reason.into()));
    }
    let text = fs::read_to_string(&index_path).with_path("read", &index_path)?;
    let index: Index = serde_json::from_str(&text).map_err(|error| {
        unusable(&index_path, format!("it is not an index of safetensors files: {error}"))
    })?;
    let mut files = BTreeSet::new();
    for (tensor, file) in &index.weight_map {
        let mut parts = Path::new(file).components();
        let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if !is_name || !dir.join(file).is_file() {
            return Err(unusable(
                &index_path,
                format!("tensor {tensor} should be in {file:?}, which is not there"),
            ));
        }
        files.insert(dir.join(file));
    }
    Ok(files)
}

fn unusable(path: &Path, reason: String) -> ImportError {
    ImportError::Weights { path: path.to_path_buf(), reason }
}

//! Checkpoints: the model as a Hugging Face directory, the optimizer's state, and where the data goes on.

use super::error::TrainError;
use super::optimizer::{AdamW, Moments};
use crate::model::{self, Llama, Numerics, Parameter};
use crate::tensor_file::{self, TensorFile, TensorFileError};
use evenkeel_shared::checkpoint::{self, CheckpointManifest};
use evenkeel_shared::config::{Config, Precision};
use evenkeel_shared::fsio::{WithPath, write_atomically};
use std::fs;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

const MODEL_FOLDER: &str = "model";
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// Files of the model directory that an exported model takes along, besides weights and `config.json`.
const COMPANIONS: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];

/// Writes a checkpoint; it becomes visible only when it is complete. Returns its folder.
///
/// # Errors
/// A full disk or another I/O error; nothing visible is left then.
pub(super) fn save(
    run_dir: &Path,
    config: &Config,
    model: &Llama,
    optimizer: &AdamW,
    manifest: CheckpointManifest,
) -> Result<PathBuf, TrainError> {
    let temporary = checkpoint::begin(run_dir, manifest.step)?;
    write_model(&temporary.join(MODEL_FOLDER), &config.model.path, model, config.train.precision)?;
    let mut state = Vec::new();
    for (name, mean, square) in optimizer.moments() {
        state.push((format!("exp_avg.{name}"), mean.shallow_clone()));
        state.push((format!("exp_avg_sq.{name}"), square.shallow_clone()));
    }
    // The exported weights are rounded copies; training goes on from the masters.
    for parameter in model.parameters().into_iter().filter(|parameter| parameter.copy().is_some()) {
        state.push((format!("master.{}", parameter.name()), parameter.master().detach()));
    }
    tensor_file::write(&temporary.join(OPTIMIZER_FILE), &state)?;
    let sealed = checkpoint::seal(&temporary, manifest)?;
    // The new checkpoint stands. An old one that cannot be removed (somebody reads it over NFS) is no reason to stop.
    if let Err(error) = checkpoint::rotate(run_dir, config.checkpoint.keep_last) {
        tracing::warn!(%error, "an old checkpoint could not be removed");
    }
    Ok(sealed)
}

fn write_model(folder: &Path, origin: &Path, model: &Llama, precision: Precision) -> Result<(), TrainError> {
    fs::create_dir_all(folder).with_path("create folder", folder)?;
    for name in COMPANIONS {
        let (from, to) = (origin.join(name), folder.join(name));
        if from.is_file() {
            fs::copy(&from, &to).with_path("copy to", &to)?;
        }
    }
    let dtype = match precision {
        Precision::Fp32 => "float32",
        Precision::Bf16 => "bfloat16",
    };
    let config = format!("{:#}\n", model.config().to_json(dtype));
    write_atomically(&folder.join("config.json"), config.as_bytes())?;
    let weights: Vec<(String, Tensor)> = model
        .parameters()
        .into_iter()
        .map(|parameter| (parameter.name().to_string(), parameter.exported().detach()))
        .collect();
    tensor_file::write(&folder.join("model.safetensors"), &weights)?;
    Ok(())
}

/// A checkpoint that training goes on from. The coordinator that chose it has verified its
/// checksums and that it belongs to a run of this configuration.
#[derive(Debug)]
pub(super) struct Saved {
    dir: PathBuf,
    pub(super) manifest: CheckpointManifest,
    optimizer: TensorFile,
}

impl Saved {
    /// Opens a checkpoint.
    ///
    /// # Errors
    /// A missing or damaged checkpoint.
    pub(super) fn open(dir: &Path) -> Result<Self, TrainError> {
        let manifest = CheckpointManifest::load(dir)?;
        let optimizer = TensorFile::open(&dir.join(OPTIMIZER_FILE))?;
        Ok(Self { dir: dir.to_path_buf(), manifest, optimizer })
    }

    /// Its folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The model with its masters.
    ///
    /// # Errors
    /// As [`model::load`].
    pub(super) fn load_model(&self, device: Device) -> Result<Llama, TrainError> {
        let precision = self.manifest.precision;
        let master = |name: &str| -> Result<Option<Tensor>, TensorFileError> {
            match precision {
                Precision::Fp32 => Ok(None),
                Precision::Bf16 => self.optimizer.read(&format!("master.{name}")).map(Some),
            }
        };
        Ok(model::load(&self.dir.join(MODEL_FOLDER), Numerics::from(precision), device, master)?)
    }

    /// A parameter's running means.
    ///
    /// # Errors
    /// A tensor that is missing.
    pub(super) fn moments(&self, parameter: &Parameter) -> Result<Option<Moments>, TrainError> {
        let name = parameter.name();
        Ok(Some(Moments {
            mean: self.optimizer.read(&format!("exp_avg.{name}"))?,
            square: self.optimizer.read(&format!("exp_avg_sq.{name}"))?,
        }))
    }
}

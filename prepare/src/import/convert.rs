//! GGUF file to Hugging Face directory.

use super::gguf::Gguf;
use super::model::{Mapped, Rows, config_json, generation_config_json, map_tensors};
use super::safetensors_file::Writer;
use super::tokenizer::tokenizer_files;
use super::{ImportError, WeightType};
use evenkeel_shared::fsio::{WithPath, sync_folder, write_atomically};
use evenkeel_shared::hf::ModelConfig;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Values that are dequantised at a time, unless a row or a head has more.
const CHUNK_VALUES: u64 = 1 << 18;

/// What an import is to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The GGUF file.
    pub source: PathBuf,
    /// The directory to make; must not exist.
    pub out_dir: PathBuf,
    /// Number format of the weights.
    pub weight_type: WeightType,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The model's own name, where it has one.
    pub name: Option<String>,
    /// Number of parameters.
    pub parameters: u64,
    /// How many tensors the file had of each type.
    pub tensor_types: BTreeMap<&'static str, u64>,
    /// Tokens of the tokenizer.
    pub pre_tokenizer: String,
    /// Whether there is a chat template; base models have none.
    pub has_chat_template: bool,
}

/// Makes a Hugging Face directory from a GGUF file. `progress` is told the parameters done and their total.
///
/// # Errors
/// A file that is damaged or holds something unsupported (named), or an output folder that exists. The output folder is
/// then not there.
pub fn import_gguf(settings: &Settings, progress: &mut dyn FnMut(u64, u64)) -> Result<Imported, ImportError> {
    // Without a slash at the end, behind which the temporary name would go.
    let out_dir: &Path = settings.out_dir.components().as_path();
    if out_dir.exists() {
        return Err(ImportError::OutputExists(out_dir.to_path_buf()));
    }
    let gguf = Gguf::open(&settings.source)?;
    let config_json = config_json(&gguf, settings.weight_type)?;
    let config = ModelConfig::parse(&settings.source, &config_json.to_string())?;
    let tensors = map_tensors(&gguf, &config)?;
    let vocab_size = config.vocab_size as u64;
    let tokenizer = tokenizer_files(&gguf.metadata, vocab_size)?;
    let generation_config = generation_config_json(&gguf.metadata, vocab_size)?;

    let mut temporary = OsString::from(out_dir);
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        remove_if_there(&temporary)?;
        fs::create_dir_all(&temporary).with_path("create folder", &temporary)?;
        write_json(&temporary.join("config.json"), &config_json)?;
        write_json(&temporary.join("generation_config.json"), &generation_config)?;
        write_json(&temporary.join("tokenizer.json"), &tokenizer.tokenizer)?;
        write_json(&temporary.join("tokenizer_config.json"), &tokenizer.config)?;
        write_json(&temporary.join("special_tokens_map.json"), &tokenizer.special_tokens_map)?;
        write_weights(&gguf, &tensors, &temporary.join("model.safetensors"), settings.weight_type, progress)?;
        fs::rename(&temporary, out_dir).with_path("rename to", out_dir)?;
        let parent = out_dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok(sync_folder(parent.unwrap_or(Path::new(".")))?)
    })();
    if let Err(error) = written {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_dir_all(&temporary);
        return Err(error);
    }
    let mut tensor_types = BTreeMap::new();
    for tensor in gguf.tensors.values() {
        *tensor_types.entry(tensor.kind.name()).or_insert(0) += 1;
    }
    Ok(Imported {
        name: gguf.metadata.optional_text("general.name")?.map(str::to_owned),
        parameters: config.parameter_count() as u64,
        tensor_types,
        pre_tokenizer: tokenizer.pre_tokenizer,
        has_chat_template: tokenizer.has_chat_template,
    })
}

fn write_weights(
    gguf: &Gguf,
    tensors: &[Mapped],
    path: &Path,
    weight_type: WeightType,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), ImportError> {
    let header = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.info.shape.as_slice()));
    let mut writer = Writer::create(path, weight_type, header)?;
    let total = tensors.iter().map(|tensor| tensor.info.rows() * tensor.info.columns()).sum();
    let (mut done, mut values, mut ordered) = (0, Vec::new(), Vec::new());
    for tensor in tensors {
        let (rows, columns) = (tensor.info.rows(), tensor.info.columns());
        let at_once = match tensor.rows {
            Rows::AsIs => (CHUNK_VALUES / columns).max(1),
            Rows::Interleaved { heads } => rows / heads,
        };
        let mut first = 0;
        while first < rows {
            let count = at_once.min(rows - first);
            gguf.read_rows(&tensor.source, &tensor.info, first, count, &mut values)?;
            let values = match tensor.rows {
                Rows::AsIs => &values,
                Rows::Interleaved { .. } => {
                    deinterleave(&values, columns as usize, &mut ordered);
                    &ordered
                }
            };
            writer.push(&tensor.source, values)?;
            first += count;
            done += count * columns;
            progress(done, total);
        }
    }
    writer.finish()
}

/// One head's rows from the order `0, h, 1, h + 1, …` (pairs to rotate side by side, h being half a head) to `0, 1, …`
/// (the halves one after the other, which is what Hugging Face models rotate).
fn deinterleave(head: &[f32], columns: usize, ordered: &mut Vec<f32>) {
    ordered.clear();
    for parity in [0, 1] {
        ordered.extend(head.chunks_exact(columns).skip(parity).step_by(2).flatten());
    }
}

fn write_json(path: &Path, value: &Json) -> Result<(), ImportError> {
    Ok(write_atomically(path, format!("{value:#}\n").as_bytes())?)
}

fn remove_if_there(folder: &Path) -> Result<(), ImportError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_path("remove folder", folder).map_err(Into::into)
        }
        _ => Ok(()),
    }
}

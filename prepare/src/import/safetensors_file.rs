//! Writing a safetensors file as a stream, and reading only the header of one.
//!
//! Layout: header length u64 little-endian, a JSON header with name, dtype, shape and byte range of every tensor, then
//! the data without gaps. Source: the format's description in the safetensors project.

use super::{ImportError, WeightType};
use evenkeel_shared::fsio::WithPath;
use half::{bf16, f16};
use safetensors::tensor::Metadata;
use serde_json::{Map, json};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The crate that reads these files accepts no longer header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A file under way; the tensors' values are to be pushed in the order of the header.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    weight_type: WeightType,
}

impl Writer {
    /// Creates the file and writes the header for tensors of these names and shapes.
    pub(super) fn create<'a>(
        path: &Path,
        weight_type: WeightType,
        tensors: impl Iterator<Item = (&'a str, &'a [u64])>,
    ) -> Result<Self, ImportError> {
        let mut header = Map::new();
        header.insert("__metadata__".into(), json!({"format": "pt"}));
        let mut start = 0;
        for (name, shape) in tensors {
            let end = start + shape.iter().product::<u64>() * weight_type.bytes() as u64;
            let dtype = weight_type.safetensors_name();
            header.insert(name.into(), json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}));
            start = end;
        }
        let mut header = serde_json::Value::Object(header).to_string();
        // Spaces, so that the data is aligned.
        while !header.len().is_multiple_of(8) {
            header.push(' ');
        }
        let file = File::create(path).with_path("create", path)?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&(header.len() as u64).to_le_bytes())
            .and_then(|()| file.write_all(header.as_bytes()))
            .with_path("write", path)?;
        Ok(Self { path: path.to_path_buf(), file, weight_type })
    }

    /// Appends values of the tensor `name`.
    pub(super) fn push(&mut self, name: &str, values: &[f32]) -> Result<(), ImportError> {
        let written = match self.weight_type {
            WeightType::F32 => values.iter().try_for_each(|value| self.file.write_all(&value.to_le_bytes())),
            WeightType::Bf16 => {
                values.iter().try_for_each(|&value| self.file.write_all(&bf16::from_f32(value).to_le_bytes()))
            }
            WeightType::F16 => {
                if let Some(value) = values.iter().find(|&&value| !f16::from_f32(value).is_finite()) {
                    let reason =
                        format!("tensor {name} holds {value}, which float16 cannot; choose bf16 or f32");
                    return Err(ImportError::Weights { path: self.path.clone(), reason });
                }
                values.iter().try_for_each(|&value| self.file.write_all(&f16::from_f32(value).to_le_bytes()))
            }
        };
        Ok(written.with_path("write", &self.path)?)
    }

    /// Writes out what is buffered and syncs the file.
    pub(super) fn finish(self) -> Result<(), ImportError> {
        let file = self
            .file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .with_path("write", &self.path)?;
        Ok(file.sync_all().with_path("sync", &self.path)?)
    }
}

/// The header of a file, checked against the file's size.
pub(super) fn read_header(path: &Path) -> Result<Metadata, ImportError> {
    let unusable = |reason: String| ImportError::Weights { path: path.to_path_buf(), reason };
    let mut file = File::open(path).with_path("open", path)?;
    let bytes = file.metadata().with_path("look at", path)?.len();
    if bytes < 8 {
        return Err(unusable(format!("it has {bytes} bytes, too few for a safetensors file")));
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).with_path("read", path)?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > MAX_HEADER_BYTES || header_bytes > bytes - 8 {
        return Err(unusable(format!(
            "its header claims {header_bytes} bytes, but the file has {bytes}; it is cut off"
        )));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact(&mut header).with_path("read", path)?;
    // Deserialising checks that the tensors' ranges fit their shapes and leave no gap.
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| unusable(format!("its header is not one of a safetensors file: {error}")))?;
    let expected = 8 + header_bytes + metadata.data_len() as u64;
    if bytes != expected {
        return Err(unusable(format!(
            "its header describes {expected} bytes, but the file has {bytes}; it is cut off"
        )));
    }
    Ok(metadata)
}

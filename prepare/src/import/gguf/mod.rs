//! GGUF files (versions 2 and 3), read with every count and length checked against the size of the file.
//!
//! Layout, all little-endian: magic, version u32, tensor count u64, metadata count u64, the metadata (key, type, value),
//! the tensors' descriptions (name, dimensions, type, offset), padding up to the alignment, the tensors' data.
//! Source: the format's specification in the ggml project, `docs/gguf.md`.

mod metadata;
mod source;
mod tensor_type;

pub(super) use metadata::{Metadata, Value};
pub(super) use tensor_type::TensorType;

use super::ImportError;
use source::Source;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Dimensions that a tensor may have.
const MAX_DIMENSIONS: u32 = 4;
/// Bytes of the shortest tensor description: name length, dimension count, one dimension, type, offset.
const MIN_TENSOR_BYTES: u64 = 8 + 4 + 8 + 4 + 8;
const DEFAULT_ALIGNMENT: u64 = 32;

/// A tensor of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TensorInfo {
    /// Rows first (the file has them the other way round).
    pub(super) shape: Vec<u64>,
    pub(super) kind: TensorType,
    /// Offset of the data in the file.
    start: u64,
    /// Size of the data.
    bytes: u64,
}

impl TensorInfo {
    /// Values in a row, the last dimension.
    pub(super) fn columns(&self) -> u64 {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Rows of the tensor seen as a matrix.
    pub(super) fn rows(&self) -> u64 {
        self.shape.iter().rev().skip(1).product()
    }
}

/// An open file whose header has been checked completely.
#[derive(Debug)]
pub(super) struct Gguf {
    path: PathBuf,
    file: File,
    file_bytes: u64,
    pub(super) metadata: Metadata,
    pub(super) tensors: BTreeMap<String, TensorInfo>,
}

impl Gguf {
    /// Reads the header.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let mut source = Source::open(path)?;
        let tensor_count = source.count("the number of tensors", MIN_TENSOR_BYTES)?;
        let metadata_count = source.count("the number of metadata entries", metadata::MIN_ENTRY_BYTES)?;
        let metadata = Metadata::read(&mut source, metadata_count)?;
        let descriptions = read_descriptions(&mut source, tensor_count)?;
        let alignment = metadata.optional_whole("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return Err(source
                .damaged(format!("the alignment is {alignment}, which is not a power of two below 2^20")));
        }
        let data_start = source.position().next_multiple_of(alignment);
        let tensors = place(&source, descriptions, data_start, alignment)?;
        let (file, file_bytes) = source.into_file();
        Ok(Self { path: path.to_path_buf(), file, file_bytes, metadata, tensors })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Dequantises `count` rows from `first` on into `values` (replaced).
    pub(super) fn read_rows(
        &self,
        name: &str,
        tensor: &TensorInfo,
        first: u64,
        count: u64,
        values: &mut Vec<f32>,
    ) -> Result<(), ImportError> {
        let row_bytes = tensor.bytes / tensor.rows();
        let start = tensor.start + first * row_bytes;
        let damaged = |what: String| ImportError::Damaged {
            path: self.path.clone(),
            what,
            at: start,
            bytes: self.file_bytes,
        };
        // Within the bounds checked by `place`, so this is at most the size of the file.
        let mut raw = vec![0; (count * row_bytes) as usize];
        self.file
            .read_exact_at(&mut raw, start)
            .map_err(|error| damaged(format!("the data of tensor {name} cannot be read: {error}")))?;
        tensor.kind.dequantise(&raw, values);
        if values.iter().any(|value| !value.is_finite()) {
            return Err(damaged(format!("tensor {name} holds a value that is not a finite number")));
        }
        Ok(())
    }
}

/// A tensor description as it stands in the file.
struct Description {
    name: String,
    shape: Vec<u64>,
    kind: TensorType,
    offset: u64,
}

fn read_descriptions(source: &mut Source, count: u64) -> Result<Vec<Description>, ImportError> {
    let mut descriptions = Vec::new();
    for _ in 0..count {
        let name = source.text("the name of a tensor")?;
        let dimensions = source.u32("the number of dimensions")?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(source.damaged(format!("tensor {name} has {dimensions} dimensions, expected 1 to 4")));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(source.u64("a dimension")?);
        }
        shape.reverse();
        let id = source.u32("the type of a tensor")?;
        let kind = TensorType::from_id(id).map_err(|found| ImportError::Unsupported {
            path: source.path().to_path_buf(),
            what: format!("the type of tensor {name}"),
            found,
            supported: TensorType::supported(),
        })?;
        let offset = source.u64("the offset of a tensor")?;
        descriptions.push(Description { name, shape, kind, offset });
    }
    Ok(descriptions)
}

/// Checks that each tensor's data lies inside of the file, and that no two overlap.
fn place(
    source: &Source,
    descriptions: Vec<Description>,
    data_start: u64,
    alignment: u64,
) -> Result<BTreeMap<String, TensorInfo>, ImportError> {
    let mut tensors = BTreeMap::new();
    let mut extents = Vec::new();
    for Description { name, shape, kind, offset } in descriptions {
        let wrong = |what: String| source.damaged(format!("tensor {name} {what}"));
        let bytes = kind.tensor_bytes(&shape).ok_or_else(|| {
            wrong(format!("has shape {shape:?}, which a tensor of type {} cannot have", kind.name()))
        })?;
        let end = data_start.checked_add(offset).and_then(|start| start.checked_add(bytes));
        if !offset.is_multiple_of(alignment) || end.is_none_or(|end| end > source.len()) {
            return Err(wrong(format!(
                "has {bytes} bytes at offset {offset} of the data, which is not inside the file"
            )));
        }
        let start = data_start + offset;
        extents.push((start, start + bytes));
        let info = TensorInfo { shape, kind, start, bytes };
        if tensors.insert(name.clone(), info).is_some() {
            return Err(wrong("is described twice".into()));
        }
    }
    extents.sort_unstable();
    if let Some(pair) = extents.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        return Err(source.damaged(format!("two tensors overlap at byte {}", pair[1].0)));
    }
    Ok(tensors)
}

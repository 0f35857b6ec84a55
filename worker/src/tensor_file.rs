//! Tensors in safetensors files: read one at a time, written from where they are.

use evenkeel_shared::fsio::{PathError, WithPath};
use safetensors::tensor::{Dtype, Metadata, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

/// The format's own bound on its JSON header.
const LARGEST_HEADER: u64 = 100_000_000;

/// Why tensors could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The file system's answer.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The file is not a complete safetensors file.
    #[error("{} is not a complete safetensors file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor is not in the file(s).
    #[error("{} has no tensor {name}", path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the model's configuration says.
    #[error("{}: tensor {name} has shape {found:?}, but config.json asks for {expected:?}", path.display())]
    Shape {
        /// The file or folder.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Shape in the file.
        found: Vec<i64>,
        /// Shape that the configuration asks for.
        expected: Vec<i64>,
    },
    /// A number format that is not read here.
    #[error("{}: tensor {name} has number format {found}, expected F32, BF16 or F16", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The format's name.
        found: String,
    },
    /// libtorch's answer.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// One open safetensors file; its header is checked, its tensors are read on demand.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    data_start: u64,
}

impl TensorFile {
    /// Opens a file and checks its header against its length.
    ///
    /// # Errors
    /// A missing or truncated file, a malformed header.
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        let malformed = |reason: String| TensorFileError::Malformed { path: path.to_path_buf(), reason };
        let file = File::open(path).with_path("open", path)?;
        let length = file.metadata().with_path("read", path)?.len();
        if length < 8 {
            return Err(malformed(format!("it has {length} bytes, less than the length of a header")));
        }
        let mut prefix = [0; 8];
        file.read_exact_at(&mut prefix, 0).with_path("read", path)?;
        let header_length = u64::from_le_bytes(prefix);
        let room = length - prefix.len() as u64;
        if header_length > room.min(LARGEST_HEADER) {
            return Err(malformed(format!("its header claims {header_length} bytes, the file has {length}")));
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact_at(&mut header, prefix.len() as u64).with_path("read", path)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| malformed(format!("header: {error}")))?;
        let data_start = prefix.len() as u64 + header_length;
        let data_length =
            metadata.tensors().values().map(|info| info.data_offsets.1 as u64).max().unwrap_or(0);
        if data_start + data_length != length {
            return Err(malformed(format!(
                "expected {} bytes, found {length} (a download or copy that was cut off?)",
                data_start + data_length
            )));
        }
        Ok(Self { path: path.to_path_buf(), file, metadata, data_start })
    }

    /// Names of the tensors inside.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.metadata.tensors().keys().cloned().collect()
    }

    /// Reads one tensor in its own number format, on the CPU.
    ///
    /// # Errors
    /// A tensor that is not there, a number format other than F32, BF16, F16, I64; a failed read.
    pub fn read(&self, name: &str) -> Result<Tensor, TensorFileError> {
        let Some(info) = self.metadata.info(name) else {
            return Err(TensorFileError::Missing { path: self.path.clone(), name: name.into() });
        };
        let kind = kind_of(info.dtype).ok_or_else(|| TensorFileError::Format {
            path: self.path.clone(),
            name: name.into(),
            found: format!("{:?}", info.dtype),
        })?;
        let shape: Vec<i64> = info.shape.iter().map(|&size| size as i64).collect();
        let (start, end) = info.data_offsets;
        let elements: usize = info.shape.iter().product();
        if end.saturating_sub(start) != elements * kind.elt_size_in_bytes() {
            return Err(TensorFileError::Malformed {
                path: self.path.clone(),
                reason: format!("tensor {name} has shape {shape:?} but {} bytes", end.saturating_sub(start)),
            });
        }
        let mut bytes = vec![0; end - start];
        self.file.read_exact_at(&mut bytes, self.data_start + start as u64).with_path("read", &self.path)?;
        Ok(Tensor::f_from_data_size(&bytes, &shape, kind)?)
    }
}

/// The safetensors files of a model directory: one file, or shards with an index.
#[derive(Debug)]
pub struct ModelFiles {
    folder: PathBuf,
    files: Vec<TensorFile>,
    place: BTreeMap<String, usize>,
}

impl ModelFiles {
    /// Opens `model.safetensors`, or every shard that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// As [`TensorFile::open`]; a folder with neither file.
    pub fn open(folder: &Path) -> Result<Self, TensorFileError> {
        let index = folder.join("model.safetensors.index.json");
        let mut paths = vec![folder.join("model.safetensors")];
        if !paths[0].exists() && index.exists() {
            paths = shards(&index)?.into_iter().map(|name| folder.join(name)).collect();
        }
        let mut files = Vec::new();
        let mut place = BTreeMap::new();
        for path in paths {
            let file = TensorFile::open(&path)?;
            for name in file.names() {
                place.insert(name, files.len());
            }
            files.push(file);
        }
        Ok(Self { folder: folder.to_path_buf(), files, place })
    }

    /// Reads a tensor and checks its shape.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape; a failed read.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Tensor, TensorFileError> {
        let Some(&index) = self.place.get(name) else {
            return Err(TensorFileError::Missing { path: self.folder.clone(), name: name.into() });
        };
        let tensor = self.files[index].read(name)?;
        let expected: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        if tensor.size() != expected {
            return Err(TensorFileError::Shape {
                path: self.folder.clone(),
                name: name.into(),
                found: tensor.size(),
                expected,
            });
        }
        Ok(tensor)
    }
}

fn shards(index: &Path) -> Result<Vec<String>, TensorFileError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read_to_string(index).with_path("read", index)?;
    let malformed = |reason: String| TensorFileError::Malformed { path: index.to_path_buf(), reason };
    let parsed: Index = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    // A name is one file beside the index, never a path that leads elsewhere.
    match names.iter().find(|name| name.contains('/') || name.starts_with('.')) {
        Some(name) => Err(malformed(format!("shard name {name:?} is not a plain file name"))),
        None => Ok(names),
    }
}

/// Writes tensors as one safetensors file and syncs it. Each tensor is copied to the CPU alone.
///
/// # Errors
/// A full disk or another I/O error; an unsupported number format.
pub fn write(path: &Path, tensors: &[(String, Tensor)]) -> Result<(), TensorFileError> {
    let malformed = |reason: String| TensorFileError::Malformed { path: path.to_path_buf(), reason };
    let mut views = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype =
            dtype_of(tensor.f_kind()?).ok_or_else(|| malformed(format!("tensor {name} has no format")))?;
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        views.push((name.as_str(), TensorView { tensor, dtype, shape }));
    }
    // transformers reads this key to tell which framework wrote the file.
    let information = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize_to_file(views, Some(information), path)
        .map_err(|error| malformed(error.to_string()))?;
    File::open(path).and_then(|file| file.sync_all()).with_path("sync", path)?;
    Ok(())
}

struct TensorView<'a> {
    tensor: &'a Tensor,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl View for TensorView<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let tensor = self.tensor.detach().to_device(tch::Device::Cpu).contiguous();
        let mut bytes = vec![0; self.data_len()];
        let elements = tensor.numel();
        tensor.copy_data_u8(&mut bytes, elements);
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F16 => Some(Kind::Half),
        Dtype::I64 => Some(Kind::Int64),
        _ => None,
    }
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::Float => Some(Dtype::F32),
        Kind::BFloat16 => Some(Dtype::BF16),
        Kind::Half => Some(Dtype::F16),
        Kind::Int64 => Some(Dtype::I64),
        _ => None,
    }
}

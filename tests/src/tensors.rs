//! Comparing what checkpoints hold.

use anyhow::{Context, Result};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Tensors by file and name, as the bytes that the file holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Tensors(BTreeMap<String, (Dtype, Vec<u8>)>);

/// Every tensor of every safetensors file of the run's checkpoint of `step`: model and optimizer.
///
/// # Errors
/// When there is no such checkpoint, or it is damaged.
pub fn checkpoint_tensors(run_dir: &Path, step: u64) -> Result<Tensors> {
    let folder = run_dir.join("checkpoints").join(format!("step-{step:08}"));
    evenkeel_shared::checkpoint::verify(&folder)?;
    let mut tensors = BTreeMap::new();
    for part in [folder.join("model"), folder] {
        for entry in fs::read_dir(&part).with_context(|| format!("no folder {}", part.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "safetensors") {
                read_file(&path, &mut tensors)?;
            }
        }
    }
    anyhow::ensure!(!tensors.is_empty(), "the checkpoint holds no tensors");
    Ok(Tensors(tensors))
}

fn read_file(path: &Path, tensors: &mut BTreeMap<String, (Dtype, Vec<u8>)>) -> Result<()> {
    let bytes = fs::read(path)?;
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
        tensors.insert(format!("{file}:{name}"), (view.dtype(), view.data().to_vec()));
    }
    Ok(())
}

impl Tensors {
    /// Largest difference of any two values of a float32 tensor, relative to that tensor's largest value, and its name.
    ///
    /// # Panics
    /// When the two do not hold the same tensors.
    #[must_use]
    pub fn largest_difference(&self, other: &Self) -> (f64, String) {
        assert!(self.0.keys().eq(other.0.keys()), "the checkpoints hold different tensors");
        let mut largest = (0.0, String::new());
        for ((name, (dtype, ours)), (_, theirs)) in self.0.iter().zip(other.0.values()) {
            if *dtype != Dtype::F32 {
                continue;
            }
            let difference = relative_difference(&floats(ours), &floats(theirs));
            if difference > largest.0 {
                largest = (difference, name.clone());
            }
        }
        largest
    }
}

fn relative_difference(ours: &[f64], theirs: &[f64]) -> f64 {
    let scale = ours.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let difference = ours.iter().zip(theirs).fold(0.0, |largest: f64, (a, b)| largest.max((a - b).abs()));
    if difference == 0.0 { 0.0 } else { difference / scale }
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]).into())
        .collect()
}

//! Devices and threads.

use crate::train::TrainError;
use tch::Device;

/// "cpu" or "cuda:N".
///
/// # Errors
/// Another word, or a device that this machine or this build does not have.
pub fn parse(name: &str) -> Result<Device, TrainError> {
    let unavailable = || TrainError::Device(name.to_string());
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let index: usize = name.strip_prefix("cuda:").and_then(|n| n.parse().ok()).ok_or_else(unavailable)?;
    if cfg!(feature = "cuda") && (index as i64) < tch::Cuda::device_count() {
        return Ok(Device::Cuda(index));
    }
    Err(unavailable())
}

/// Threads inside one operation; operations themselves run one after the other.
pub fn set_threads(threads: u32) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
}

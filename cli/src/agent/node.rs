//! What this host has and how others reach it.

use crate::client::Address;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};
use std::num::NonZeroUsize;
use std::path::Path;

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// CUDA where there is a device, else CPU.
    Auto,
    Cpu,
    Cuda,
}

impl DeviceChoice {
    /// Reads `cluster.device`.
    ///
    /// # Errors
    /// On any other word.
    pub fn from_config(word: &str) -> Result<Self> {
        <Self as ValueEnum>::from_str(word, false).map_err(|_| {
            anyhow::anyhow!("cluster.device is {word:?}; it must be \"auto\", \"cpu\" or \"cuda\"")
        })
    }
}

/// Where the workers of a host compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    Cpu,
    Cuda,
}

impl DeviceKind {
    /// Decides for `workers` processes on a host with `devices` CUDA devices.
    ///
    /// # Errors
    /// When CUDA is wanted and there are fewer devices than workers: two ranks cannot share one.
    pub fn decide(choice: DeviceChoice, workers: u32, devices: u32) -> Result<Self> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::Cpu),
            DeviceChoice::Auto if devices == 0 => Ok(Self::Cpu),
            _ if workers <= devices => Ok(Self::Cuda),
            _ => bail!(
                "{workers} workers on CUDA need {workers} devices, and this host shows {devices}; start fewer workers \
                 (--workers, cluster.workers), or choose the CPU (--device cpu, cluster.device)"
            ),
        }
    }

    /// The device of one process, as the worker's `--device` takes it.
    pub fn name(self, local_rank: u32) -> String {
        match self {
            Self::Cpu => "cpu".into(),
            Self::Cuda => format!("cuda:{local_rank}"),
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

/// CUDA devices that a process started now would see.
pub fn cuda_devices() -> u32 {
    let nodes = device_nodes(Path::new("/dev"));
    match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(list) => nodes.min(visible(&list)),
        Err(_) => nodes,
    }
}

/// Counts `nvidia0`, `nvidia1` …, not `nvidiactl` and its like.
fn device_nodes(folder: &Path) -> u32 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let is_device = |name: &str| {
        name.strip_prefix("nvidia")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let count = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_device)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Entries of `CUDA_VISIBLE_DEVICES` up to the first that names no device, which is where CUDA stops reading.
fn visible(list: &str) -> u32 {
    let count =
        list.split(',').map(str::trim).take_while(|entry| !entry.is_empty() && *entry != "-1").count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Threads for each of `workers` processes when nobody has said: this host's cores, divided.
pub fn threads_per_worker(workers: u32) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let cores = u32::try_from(cores).unwrap_or(u32::MAX);
    (cores / workers.max(1)).max(1)
}

/// This host's name.
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".into(),
        name => name.to_owned(),
    }
}

/// The address of this host on the way to the coordinator, which is one that the other hosts reach too.
///
/// # Errors
/// When the coordinator's name does not resolve or there is no route to it.
pub fn address_towards(coordinator: &Address) -> Result<IpAddr> {
    let unroutable =
        || format!("cannot find this host's address towards {coordinator}; give it with --data-address");
    let target = coordinator
        .to_string()
        .to_socket_addrs()
        .with_context(unroutable)?
        .next()
        .with_context(unroutable)?;
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Connecting a UDP socket sends nothing: it only asks the routing table.
    let socket = UdpSocket::bind((any, 0)).with_context(unroutable)?;
    socket.connect(target).with_context(unroutable)?;
    Ok(socket.local_addr().with_context(unroutable)?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_counted_by_their_nodes() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["nvidia0", "nvidia11", "nvidiactl", "nvidia-uvm", "nvidia", "sda1"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(device_nodes(folder.path()), 2);
        assert_eq!(device_nodes(&folder.path().join("none")), 0);
        assert_eq!(["", "-1", "0", "0,3", "1,-1,2", "GPU-1f, GPU-2a"].map(visible), [0, 0, 1, 2, 1, 2]);
    }

    #[test]
    fn ranks_never_share_a_device() {
        let decide = |choice, workers, devices| DeviceKind::decide(choice, workers, devices).ok();
        assert_eq!(decide(DeviceChoice::Auto, 4, 0), Some(DeviceKind::Cpu));
        assert_eq!(decide(DeviceChoice::Auto, 4, 4), Some(DeviceKind::Cuda));
        assert_eq!(decide(DeviceChoice::Auto, 5, 4), None);
        assert_eq!(decide(DeviceChoice::Cuda, 1, 0), None);
        assert_eq!(decide(DeviceChoice::Cpu, 9, 4), Some(DeviceKind::Cpu));
        assert_eq!(DeviceKind::Cuda.name(3), "cuda:3");
    }

    #[test]
    fn the_way_to_loopback_is_loopback() {
        let address = "127.0.0.1:29400".parse().unwrap();
        assert_eq!(address_towards(&address).unwrap(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn every_worker_gets_a_thread() {
        assert_eq!(threads_per_worker(100_000), 1);
        assert!(threads_per_worker(1) >= 1);
    }
}

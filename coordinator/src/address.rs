//! Where the coordinator listens, and how others learn it.

use evenkeel_shared::fsio::{PathError, write_atomically};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tokio::net::{TcpListener, lookup_host};

/// Who may reach the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Processes of this host only.
    Loopback,
    /// Anyone who reaches the address, in plain text and without a password: the operator has said so.
    Insecure,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Not an address.
    #[error(
        "cannot listen on {address:?}: {source}. Expected HOST:PORT, such as 127.0.0.1:0 (cluster.listen or --listen)"
    )]
    Address {
        /// The address as given.
        address: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Reachable from other hosts, which nobody allowed.
    #[error(
        "{address} can be reached from other hosts, and this version has neither encryption nor passwords (TLS comes with a \
         later one): whoever reaches it could watch, join or stop the run. Give --insecure to allow that on a trusted \
         network, or listen on 127.0.0.1"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// Somebody else has the port.
    #[error(
        "cannot listen on {address}: the port is taken by another program, perhaps another coordinator. Choose another \
         port, or port 0 to take any free one (cluster.listen or --listen)"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// The operating system refused.
    #[error(
        "cannot listen on {address}: {source}. Choose an address of this host (cluster.listen or --listen)"
    )]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Its answer.
        source: io::Error,
    },
}

/// Binds `address`, HOST:PORT; port 0 takes a free one.
///
/// # Errors
/// Not an address of this host, one that other hosts reach without leave, or a port that is taken.
pub async fn bind(address: &str, exposure: Exposure) -> Result<TcpListener, ListenError> {
    let bad = |source| ListenError::Address { address: address.to_owned(), source };
    let resolved: Vec<SocketAddr> = lookup_host(address).await.map_err(bad)?.collect();
    if exposure == Exposure::Loopback
        && let Some(&address) = resolved.iter().find(|address| !address.ip().is_loopback())
    {
        return Err(ListenError::Exposed { address });
    }
    // A name may stand for an IPv6 and an IPv4 address, and a host may have only one of the two.
    let mut refusal = bad(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for address in resolved {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                refusal = ListenError::Taken { address };
            }
            Err(source) => refusal = ListenError::Refused { address, source },
        }
    }
    Err(refusal)
}

/// HOST:PORT under which others reach a listener bound to `bound`. One on all addresses goes by the host's name.
#[must_use]
pub fn reachable(bound: SocketAddr) -> String {
    if !bound.ip().is_unspecified() {
        return bound.to_string();
    }
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), bound.port()).to_string(),
        name => format!("{name}:{}", bound.port()),
    }
}

/// A file that holds the coordinator's address while it runs.
#[derive(Debug)]
pub struct AddressFile {
    path: PathBuf,
    content: String,
}

impl AddressFile {
    /// Writes the file, complete or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(path: PathBuf, address: &str) -> Result<Self, PathError> {
        let content = format!("{address}\n");
        write_atomically(&path, content.as_bytes())?;
        Ok(Self { path, content })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // A coordinator started since may have written its own.
        if fs::read_to_string(&self.path).is_ok_and(|found| found == self.content) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_hosts_are_shut_out_unless_allowed() {
        let error = bind("0.0.0.0:0", Exposure::Loopback).await.unwrap_err().to_string();
        assert!(error.contains("--insecure") && error.contains("TLS"), "{error}");
        assert!(bind("0.0.0.0:0", Exposure::Insecure).await.is_ok());
        assert!(bind("127.0.0.1:0", Exposure::Loopback).await.is_ok());
        assert!(
            bind("[::1]:0", Exposure::Loopback)
                .await
                .map_or_else(|e| !matches!(e, ListenError::Exposed { .. }), |_| true)
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_what_to_do() {
        let first = bind("127.0.0.1:0", Exposure::Loopback).await.unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = bind(&address, Exposure::Loopback).await.unwrap_err().to_string();
        assert!(error.contains(&address) && error.contains("port 0"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_address_is_shown() {
        let error = bind("here", Exposure::Loopback).await.unwrap_err().to_string();
        assert!(error.contains("\"here\"") && error.contains("HOST:PORT"), "{error}");
    }

    #[test]
    fn the_file_is_removed_by_its_own_coordinator_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coordinator.address");
        let first = AddressFile::write(path.clone(), "127.0.0.1:1").unwrap();
        let second = AddressFile::write(path.clone(), "127.0.0.1:2").unwrap();
        drop(first);
        assert_eq!(fs::read_to_string(&path).unwrap(), "127.0.0.1:2\n");
        drop(second);
        assert!(!path.exists());
    }
}

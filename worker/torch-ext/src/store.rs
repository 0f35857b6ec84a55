//! The rendezvous store: keys and values that all members of a process group see.

use std::ffi::c_int;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::ptr::null_mut;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::ffi::{self, RawStore, c_string};

/// A client of a c10d `TCPStore`, and for the one that serves it also the server.
///
/// A store can be sent to another thread but not shared between threads: one waiting call would block the others.
/// The server lives until its store and every group and prefix made from it are dropped.
#[derive(Debug)]
pub struct Store {
    raw: *mut RawStore,
    port: u16,
    timeout: Duration,
}

// SAFETY: the C++ object has no ties to the thread that made it. It is not Sync: raw pointers keep it so.
unsafe impl Send for Store {}

impl Store {
    /// Serves a store on `listen_host:port` (port 0: any free one, see [`Store::port`]) and connects to it.
    /// Listens on that address only. `timeout` bounds each later call that names no other.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] when the port is taken, [`Error::Listen`] when the address is not this machine's.
    pub fn serve(listen_host: &str, port: u16, timeout: Duration) -> Result<Self> {
        // Bound here rather than by libtorch, which would listen on every address of the machine.
        let listener = TcpListener::bind((listen_host, port))
            .map_err(|error| listen_error(listen_host, port, &error))?;
        let address = listener.local_addr().map_err(|error| listen_error(listen_host, port, &error))?;
        let port = address.port();
        let own_host = match address.ip() {
            ip if !ip.is_unspecified() => ip.to_string(),
            ip if ip.is_ipv6() => "::1".to_owned(),
            _ => "127.0.0.1".to_owned(),
        };
        let own_host = c_string("host", &own_host)?;
        let fd: c_int = listener.into_raw_fd();
        let mut raw = null_mut();
        // SAFETY: the host outlives the call, `fd` is a listening socket whose ownership goes over, `raw` is written on success.
        unsafe { ffi::ek_store_serve(own_host.as_ptr(), port, fd, millis(timeout), &mut raw) }.ok()?;
        Ok(Self { raw, port, timeout })
    }

    /// Connects to a store that another process serves, trying again until `timeout`, which also bounds each later call
    /// that names no other.
    ///
    /// # Errors
    /// [`Error::Connect`] when nothing answers there in time.
    pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<Self> {
        let c_host = c_string("host", host)?;
        let mut raw = null_mut();
        // SAFETY: the host outlives the call and `raw` is written on success.
        let status = unsafe { ffi::ek_store_connect(c_host.as_ptr(), port, millis(timeout), &mut raw) };
        status.failure().map_err(|failure| Error::Connect {
            host: host.to_owned(),
            port,
            waited: timeout,
            detail: failure.to_string(),
        })?;
        Ok(Self { raw, port, timeout })
    }

    /// The same store, with `prefix` and a slash before each key.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the prefix has a NUL character.
    pub fn prefix(&self, prefix: &str) -> Result<Self> {
        let prefix = c_string("prefix", prefix)?;
        let mut raw = null_mut();
        // SAFETY: `self.raw` is a live store, the prefix outlives the call, `raw` is written on success.
        unsafe { ffi::ek_store_prefix(self.raw, prefix.as_ptr(), &mut raw) }.ok()?;
        Ok(Self { raw, port: self.port, timeout: self.timeout })
    }

    /// The port that is served or connected to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets a key.
    ///
    /// # Errors
    /// [`Error::PeerLost`] when the server is gone.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let key = c_string("key", key)?;
        // SAFETY: `self.raw` is a live store; key and value outlive the call.
        unsafe { ffi::ek_store_set(self.raw, key.as_ptr(), value.as_ptr(), value.len()) }.ok()
    }

    /// A key's value, waiting up to `timeout` until some process has set it.
    ///
    /// # Errors
    /// [`Error::Timeout`] when nobody sets it, [`Error::PeerLost`] when the server is gone.
    pub fn get(&self, key: &str, timeout: Duration) -> Result<Vec<u8>> {
        let key = c_string("key", key)?;
        let mut bytes = Bytes::default();
        // SAFETY: `self.raw` is a live store, the key outlives the call, the two outputs are written on success.
        unsafe {
            ffi::ek_store_get(self.raw, key.as_ptr(), millis(timeout), &mut bytes.data, &mut bytes.length)
        }
        .ok()?;
        Ok(bytes.copy())
    }

    /// Sets a key that nobody has set, and gives its value: `value`, or that of the one who was first.
    ///
    /// # Errors
    /// [`Error::PeerLost`] when the server is gone.
    pub fn set_if_absent(&self, key: &str, value: &[u8]) -> Result<Vec<u8>> {
        let key = c_string("key", key)?;
        let mut bytes = Bytes::default();
        // SAFETY: as in `get`; an empty `expected` is never read.
        unsafe {
            ffi::ek_store_compare_set(
                self.raw,
                key.as_ptr(),
                std::ptr::null(),
                0,
                value.as_ptr(),
                value.len(),
                &mut bytes.data,
                &mut bytes.length,
            )
        }
        .ok()?;
        Ok(bytes.copy())
    }

    /// Adds to a counter, which begins at 0, and gives the sum.
    ///
    /// # Errors
    /// [`Error::PeerLost`] when the server is gone.
    pub fn add(&self, key: &str, amount: i64) -> Result<i64> {
        let key = c_string("key", key)?;
        let mut total = 0;
        // SAFETY: `self.raw` is a live store, the key outlives the call, `total` is written on success.
        unsafe { ffi::ek_store_add(self.raw, key.as_ptr(), amount, &mut total) }.ok()?;
        Ok(total)
    }

    /// Whether a key is set now.
    ///
    /// # Errors
    /// [`Error::PeerLost`] when the server is gone.
    pub fn contains(&self, key: &str) -> Result<bool> {
        let key = c_string("key", key)?;
        let mut present = 0;
        // SAFETY: `self.raw` is a live store, the key outlives the call, `present` is written on success.
        unsafe { ffi::ek_store_check(self.raw, key.as_ptr(), &mut present) }.ok()?;
        Ok(present != 0)
    }

    /// Waits up to `timeout` until a key is set.
    ///
    /// # Errors
    /// [`Error::Timeout`] when nobody sets it, [`Error::PeerLost`] when the server is gone.
    pub fn wait(&self, key: &str, timeout: Duration) -> Result<()> {
        let key = c_string("key", key)?;
        // SAFETY: `self.raw` is a live store and the key outlives the call.
        unsafe { ffi::ek_store_wait(self.raw, key.as_ptr(), millis(timeout)) }.ok()
    }

    pub(crate) fn raw(&self) -> *const RawStore {
        self.raw
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once. Groups hold their own reference to what is inside.
        unsafe { ffi::ek_store_free(self.raw) }
    }
}

/// libtorch counts in milliseconds and takes 0 for "without end".
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2).max(1)
}

fn listen_error(host: &str, port: u16, error: &std::io::Error) -> Error {
    let host = host.to_owned();
    if error.kind() == ErrorKind::AddrInUse {
        return Error::AddressInUse { host, port };
    }
    Error::Listen { host, port, detail: error.to_string() }
}

/// Bytes that the shim allocated.
struct Bytes {
    data: *mut u8,
    length: usize,
}

impl Default for Bytes {
    fn default() -> Self {
        Self { data: null_mut(), length: 0 }
    }
}

impl Bytes {
    fn copy(&self) -> Vec<u8> {
        if self.data.is_null() || self.length == 0 {
            return Vec::new();
        }
        // SAFETY: the shim allocated `length` bytes at `data`, and they are freed only in `drop`.
        unsafe { std::slice::from_raw_parts(self.data, self.length) }.to_vec()
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: null or made by the shim, freed once.
        unsafe { ffi::ek_bytes_free(self.data) }
    }
}

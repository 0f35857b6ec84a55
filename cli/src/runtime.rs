//! The async runtime of a command: one thread, so that the cores are the workers'.

use anyhow::{Context, Result};
use std::future::Future;

/// Runs a command's future to its end.
///
/// # Errors
/// The future's own, or that the runtime cannot be made.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(future)
}

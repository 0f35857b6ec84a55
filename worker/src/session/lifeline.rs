//! The parent's end of a pipe: while it is open, the parent lives.

use std::future::Future;
use std::io::Read;
use std::pin::Pin;

/// Resolves when standard input reaches its end; never when there is no life line.
///
/// Survives what signals do not: kill -9 of the parent closes its end of the pipe too.
pub(super) fn watch(enabled: bool) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    if !enabled {
        return Box::pin(std::future::pending());
    }
    let (gone, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut sink), Ok(count) if count > 0) {}
        let _ = gone.send(());
    });
    Box::pin(async move {
        let _ = wait.await;
    })
}

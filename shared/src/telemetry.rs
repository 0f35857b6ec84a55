//! Logs: lower-case messages with values as fields, to stderr, filtered by `EVENKEEL_LOG` (default `warn` for a
//! person's commands, `info` for daemons).

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging to stderr. A second call does nothing, so tests may call it freely.
pub fn init(default_filter: &str) {
    let filter = EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| EnvFilter::new(default_filter));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .compact()
        .try_init();
}

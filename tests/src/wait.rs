//! Waiting for something to become true.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longest that a test waits for one thing; far above what it takes, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within `deadline`.
pub fn wait_until<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(began.elapsed() < deadline, "not within {} s: {what}", deadline.as_secs());
        sleep(POLL);
    }
}

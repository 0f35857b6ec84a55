//! Jobs over threads.

use super::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs jobs `0..count` on `threads` threads, each with a `state` of its own, and gives the results in job order.
///
/// A thread takes the next job when it is free, so at most `threads` jobs are in flight. After an error no job is
/// begun.
///
/// # Errors
/// The first error of a job, or when the threads cannot be started.
pub(super) fn run<S, T: Send>(
    threads: usize,
    count: usize,
    state: impl Fn() -> S + Sync,
    job: impl Fn(&mut S, usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let threads = threads.clamp(1, count.max(1));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("vectorize-{index}"))
        .build()
        .map_err(|error| Error::Threads { threads, reason: error.to_string() })?;
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, Result<T, Error>)>> = Mutex::new(Vec::with_capacity(count));
    pool.broadcast(|_| {
        let mut state = state();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let result = job(&mut state, index);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            results.push((index, result));
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_job_order_for_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let results = run(
                threads,
                20,
                || 0usize,
                |seen, index| {
                    *seen += 1;
                    Ok(index * 10)
                },
            );
            assert_eq!(results.unwrap(), (0..20).map(|index| index * 10).collect::<Vec<_>>());
        }
        assert_eq!(run(3, 0, || (), |(), index| Ok(index)).unwrap(), Vec::<usize>::new());
    }

    #[test]
    fn an_error_ends_the_work() {
        let begun = AtomicUsize::new(0);
        let result = run(
            1,
            100,
            || (),
            |(), index| {
                begun.fetch_add(1, Ordering::Relaxed);
                if index == 3 { Err(Error::Setting("bad".into())) } else { Ok(()) }
            },
        );
        assert_eq!(result.unwrap_err().to_string(), "bad");
        assert_eq!(begun.load(Ordering::Relaxed), 4);
    }
}

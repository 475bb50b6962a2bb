//! The threads that a step is shared among.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// How often to look whether the others are done, some tens of microseconds, before sleeping.
const SPINS: usize = 4000;

/// Does `work` with each of the `parts`, on the calling thread and on those that come to help, at
/// most `threads` in all. The calling thread begins at once: it would wait for as long as the
/// others take to wake.
pub(super) fn share<T: Send>(
    parts: impl Iterator<Item = T> + Send,
    threads: usize,
    work: impl Fn(T) + Sync,
) {
    let parts = Mutex::new(parts);
    let next = || {
        parts
            .lock()
            .expect("a part is taken without panicking")
            .next()
    };
    let work = || {
        while let Some(part) = next() {
            work(part);
        }
    };
    // While the helpers are at another call they would have to be waited for.
    let helpers = HELPERS.as_ref().filter(|_| threads > 1);
    let Some(Ok(pool)) = helpers.map(Mutex::try_lock) else {
        return work();
    };
    let mut threads = threads.min(pool.current_num_threads() + 1);
    // In a pool of the user's its size counts. Elsewhere, to ask would start rayon's own.
    if rayon::current_thread_index().is_some() {
        threads = threads.min(rayon::current_num_threads());
    }
    let helpers = threads - 1;
    let finished = AtomicUsize::new(0);
    pool.in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| {
                work();
                finished.fetch_add(1, Ordering::Relaxed);
            });
        }
        work();
        // Their last parts take microseconds; asleep, this thread would take tens to wake.
        for _ in 0..SPINS {
            if finished.load(Ordering::Relaxed) == helpers {
                break;
            }
            std::hint::spin_loop();
        }
    });
}

/// A thread for each core but the caller's, where there are any, or as many as rayon is told to
/// have. They are the crate's own: a worker of rayon's shared pool may be in a task of the user's
/// that waits for this very step. One call has them at a time.
static HELPERS: LazyLock<Option<Mutex<ThreadPool>>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().ok()?.get();
    let told = std::env::var("RAYON_NUM_THREADS").ok();
    let told = told
        .and_then(|threads| threads.parse().ok())
        .filter(|threads| *threads > 0);
    let cores = cores.min(told.unwrap_or(cores));
    let builder = ThreadPoolBuilder::new()
        .num_threads(cores.checked_sub(1).filter(|helpers| *helpers > 0)?)
        .thread_name(|i| format!("burn-decay-{i}"));
    builder.build().ok().map(Mutex::new)
});

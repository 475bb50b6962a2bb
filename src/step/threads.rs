//! The threads that a step is shared among.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// How often to look whether the others are done, some tens of microseconds, before sleeping.
const SPINS: usize = 4000;

/// Does `work` with each of the `parts`, of which there are `count`, on the calling thread and on
/// those that come to help. The calling thread begins at once: it would wait for as long as the
/// others take to wake.
pub(super) fn share<T: Send>(
    parts: impl Iterator<Item = T> + Send,
    count: usize,
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
    let Some(pool) = HELPERS.as_ref().filter(|_| count > 1) else {
        return work();
    };
    let helpers = rayon::current_num_threads().min(pool.current_num_threads() + 1);
    let helpers = helpers.min(count) - 1;
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

/// A thread for each core but the caller's, where there are any. They are the crate's own: a worker
/// of rayon's shared pool may be in a task of the user's that waits for this very step.
static HELPERS: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().ok()?.get();
    let builder = ThreadPoolBuilder::new()
        .num_threads(cores.checked_sub(1).filter(|helpers| *helpers > 0)?)
        .thread_name(|i| format!("burn-decay-{i}"));
    builder.build().ok()
});

//! The threads that a step is shared among: the calling one, and helpers of the crate's own.
//!
//! A step has a call for each tensor, a few microseconds apart, and to wake a thread takes longer
//! than most tensors do. So a helper stays awake for the next call, a little while; and a call never
//! waits for a helper that has not begun: it may still be waking, or its core be busy.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The length of a tensor from which threads pay: less is done before another thread wakes.
pub(super) const THREADS_PAY_FROM: usize = 1 << 16;

/// How long a thread waits for another without giving up its core.
const AWAKE: Duration = Duration::from_micros(100);

/// How long the caller sleeps between two looks at a helper that has been stopped in its work.
const NAP: Duration = Duration::from_micros(50);

/// How many helpers are woken by the caller, and by each helper that wakes.
const WOKEN_BY_EACH: usize = 2;

/// How many threads a step takes, if it has work for `most`.
pub(super) fn threads(most: usize) -> usize {
    let crew = CREW.as_ref();
    let threads = most.min(crew.map_or(1, |crew| crew.helpers.len() + 1));
    // In a pool of the user's its size counts. Elsewhere, to ask would start rayon's own.
    if threads > 1 && rayon::current_thread_index().is_some() {
        threads.min(rayon::current_num_threads())
    } else {
        threads
    }
}

/// Does `work` with each of the `parts`, on the calling thread and on those that come to help, at
/// most `threads` in all.
///
/// # Panics
///
/// Panics where `work` does, on whichever thread, once no thread is at work any more.
pub(super) fn share<T: Send>(
    parts: impl Iterator<Item = T> + Send,
    threads: usize,
    work: impl Fn(T) + Sync,
) {
    let parts = Mutex::new(parts);
    let next = || lock(&parts).next();
    let work = || {
        while let Some(part) = next() {
            work(part);
        }
    };
    let crew = CREW.as_ref().filter(|_| threads > 1);
    // One call has the helpers at a time: the next would have to wait for them.
    let taken = crew.map(|crew| (crew, crew.taken.try_lock()));
    match taken {
        // A lock that a panic left is free.
        Some((crew, Ok(_) | Err(TryLockError::Poisoned(_)))) => crew.call(threads - 1, &work),
        _ => work(),
    }
}

/// A helper for each core but the caller's, where there are any, and no more than rayon is told to
/// have. Rayon's own workers may be in a task of the user's that waits for this very step.
static CREW: LazyLock<Option<&'static Crew>> = LazyLock::new(|| {
    let cores = thread::available_parallelism().ok()?.get();
    let told = std::env::var("RAYON_NUM_THREADS").ok();
    let told = told.and_then(|threads| threads.parse().ok());
    let threads = cores.min(told.filter(|threads| *threads > 0).unwrap_or(cores));
    (threads > 1).then(|| Crew::of(threads - 1))
});

type Work = dyn Fn() + Sync + 'static;

/// Helpers, and the call that they are at.
#[derive(Default)]
struct Crew {
    taken: Mutex<()>,
    helpers: Vec<Helper>,
    /// How many calls there have been.
    calls: AtomicUsize,
    call: Mutex<Call>,
    /// How many are at the call's work.
    helping: AtomicUsize,
}

#[derive(Default)]
struct Helper {
    thread: OnceLock<Thread>,
    asleep: AtomicBool,
}

#[derive(Default)]
struct Call {
    /// What there is to do, until the caller finds nothing left of it.
    work: Option<&'static Work>,
    /// How many more helpers may come.
    places: usize,
    panic: Option<Box<dyn Any + Send>>,
}

impl Crew {
    fn of(helpers: usize) -> &'static Self {
        let crew: &Self = Box::leak(Box::new(Self {
            helpers: (0..helpers).map(|_| Helper::default()).collect(),
            ..Self::default()
        }));
        for (i, helper) in crew.helpers.iter().enumerate() {
            let thread = thread::Builder::new().name(format!("burn-decay-{i}"));
            // Where the system has no thread to give, there is less help.
            let _ = thread.spawn(move || crew.serve(helper));
        }
        crew
    }

    /// Does `work`, with at most so many helpers.
    #[allow(
        unsafe_code,
        reason = "a safe scope waits for helpers that never began"
    )]
    fn call(&self, helpers: usize, work: &(dyn Fn() + Sync)) {
        // SAFETY: only the lifetime changes, and no helper uses the reference after this function:
        // `end`, which is dropped however the function is left, takes it off the call, and then
        // waits until every helper that has it is done with it.
        let lent = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static Work>(work) };
        let end = End(self);
        *lock(&self.call) = Call {
            work: Some(lent),
            places: helpers,
            panic: None,
        };
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.wake(helpers.min(WOKEN_BY_EACH));
        work();
        drop(end);
        if let Some(panic) = lock(&self.call).panic.take() {
            resume_unwind(panic);
        }
    }

    fn wake(&self, count: usize) {
        let asleep = self.helpers.iter();
        let asleep = asleep.filter(|helper| helper.asleep.swap(false, Ordering::SeqCst));
        for thread in asleep.filter_map(|helper| helper.thread.get()).take(count) {
            thread.unpark();
        }
    }

    /// What a helper does all its life.
    fn serve(&self, helper: &Helper) {
        helper.thread.get_or_init(thread::current);
        let mut seen = 0;
        loop {
            let called = || self.calls.load(Ordering::SeqCst) != seen;
            if !stay_awake_until(called) {
                // Anew before each look: who wakes it says that it is awake, and may do so for a call
                // that it has seen already.
                while {
                    helper.asleep.store(true, Ordering::SeqCst);
                    !called()
                } {
                    thread::park();
                }
                helper.asleep.store(false, Ordering::SeqCst);
            }
            seen = self.calls.load(Ordering::SeqCst);
            self.help();
        }
    }

    /// Has a part in the call, where it has a place left.
    fn help(&self) {
        let mut call = lock(&self.call);
        let (Some(work), 1..) = (call.work, call.places) else {
            return;
        };
        call.places -= 1;
        let places = call.places;
        self.helping.fetch_add(1, Ordering::Relaxed);
        drop(call);

        self.wake(places.min(WOKEN_BY_EACH));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            lock(&self.call).panic.get_or_insert(panic);
        }
        // What the helper wrote is there for the caller, who waits for this.
        self.helping.fetch_sub(1, Ordering::Release);
    }
}

/// Ends a call when it is dropped.
struct End<'a>(&'a Crew);

impl Drop for End<'_> {
    fn drop(&mut self) {
        lock(&self.0.call).work = None;
        let done = || self.0.helping.load(Ordering::Acquire) == 0;
        if !stay_awake_until(done) {
            while !done() {
                thread::sleep(NAP);
            }
        }
    }
}

/// Whether `condition` came true while this thread was awake for it. Who else has work for the core
/// gets it in between.
fn stay_awake_until(condition: impl Fn() -> bool) -> bool {
    const LOOKS: usize = 64;
    let start = Instant::now();
    loop {
        for _ in 0..LOOKS {
            if condition() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() >= AWAKE {
            return false;
        }
        thread::yield_now();
    }
}

/// The lock, also after a panic: nothing is left half done under it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of `count` parts was worked on, by a crew that has that many calls.
    fn shared(crew: &Crew, calls: usize, count: usize) -> Vec<usize> {
        let done: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
        for _ in 0..calls {
            let parts = Mutex::new(done.iter());
            let next = || lock(&parts).next();
            crew.call(3, &|| {
                while let Some(part) = next() {
                    part.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        done.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn every_part_is_worked_on_once_a_call() {
        let crew = Crew::of(3);
        for count in [0, 1, 2, 100] {
            assert_eq!(shared(crew, 2000, count), vec![2000; count]);
            // Long enough to fall asleep.
            thread::sleep(2 * AWAKE);
        }
    }

    #[test]
    fn a_call_does_not_wait_for_helpers_that_do_not_come() {
        let nobody = Crew::default();
        assert_eq!(shared(&nobody, 3, 5), vec![3; 5]);
    }

    #[test]
    fn a_panic_reaches_the_caller_after_everyone_is_done() {
        let crew = Crew::of(3);
        for _ in 0..200 {
            let (begun, at_work) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let call = || {
                crew.call(3, &|| {
                    at_work.fetch_add(1, Ordering::SeqCst);
                    let mine = begun.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(Duration::from_micros(20));
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    assert!(mine != 0, "the first to begin");
                })
            };
            assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
            assert_eq!(at_work.load(Ordering::SeqCst), 0);
        }
        assert_eq!(shared(crew, 10, 10), vec![10; 10]);
    }

    #[test]
    fn a_call_beside_another_does_not_wait_for_it() {
        let (ended, end) = std::sync::mpsc::channel();
        let (ended, end) = (Mutex::new(ended), Mutex::new(end));
        share(0..2, 2, |_| {
            let ended = lock(&ended).clone();
            let other = move || {
                share(0..2, 2, |_| ());
                ended.send(()).expect("somebody receives");
            };
            thread::spawn(other);
            let end = lock(&end).recv_timeout(Duration::from_secs(60));
            end.expect("the other call ends");
        });
    }

    /// Two parts, each of which waits until both have begun.
    fn meet(share: impl FnOnce(&(dyn Fn() + Sync))) {
        let begun = AtomicUsize::new(0);
        let start = Instant::now();
        share(&|| {
            begun.fetch_add(1, Ordering::SeqCst);
            while begun.load(Ordering::SeqCst) < 2 && start.elapsed() < Duration::from_secs(60) {
                thread::yield_now();
            }
        });
        assert_eq!(begun.into_inner(), 2, "nobody helps");
    }

    #[test]
    fn helpers_help_asleep_or_awake_and_after_a_panic() {
        let crew = Crew::of(1);
        for _ in 0..100 {
            meet(|work| crew.call(1, work));
        }
        thread::sleep(10 * AWAKE);
        meet(|work| crew.call(1, work));
        let panics = || crew.call(1, &|| panic!("on both threads or on one"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        meet(|work| crew.call(1, work));
    }

    #[test]
    fn a_helper_that_is_woken_for_nothing_is_woken_again() {
        let crew = Crew::of(1);
        meet(|work| crew.call(1, work));
        thread::sleep(10 * AWAKE);
        crew.wake(1);
        thread::sleep(10 * AWAKE);
        meet(|work| crew.call(1, work));
    }

    #[test]
    fn a_panic_does_not_end_the_sharing() {
        if threads(2) < 2 {
            return println!("there is one core");
        }
        let panics = || share(0..2, 2, |_| panic!("in a part"));
        assert!(catch_unwind(panics).is_err());
        // Unless another test has the helpers.
        let shared = (0..100).any(|_| {
            let callers = Mutex::new(std::collections::HashSet::new());
            share(0..2, 2, |_| {
                lock(&callers).insert(thread::current().id());
                thread::sleep(Duration::from_millis(2));
            });
            lock(&callers).len() == 2
        });
        assert!(shared, "nobody helps");
    }
}

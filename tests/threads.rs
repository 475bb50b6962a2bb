//! A step ends, whatever the threads of the program do: it never waits for a thread of the user's.
//!
//! What would hang runs in a process of its own, which is given up on after a while.

mod devices;

use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use burn_decay::{AdamWConfig, SimpleOptimizer};
use rayon::ThreadPoolBuilder;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use devices::devices;

/// Long enough for threads to pay, and for every worker to be asked.
const COUNT: usize = 1 << 20;

/// Takes a step on each device, with a sum that shows that it was taken.
fn step() {
    for device in devices() {
        let [theta, gradient] = [1.0, 0.5].map(|value| Tensor::<1>::full([COUNT], value, &device));
        let adam = AdamWConfig::new().with_weight_decay(0.0).build();
        let (updated, _) = adam.step(0.5, theta, gradient, None);
        let mean: f64 = updated.mean().into_scalar();
        assert!((mean - 0.5).abs() < 1e-3, "{mean}");
    }
}

/// Runs the scenario of the test of this name in a process of its own: the same test, told so.
fn apart(test: &str, scenario: fn()) {
    const TOLD: &str = "BURN_DECAY_SCENARIO";
    const PATIENCE: Duration = Duration::from_secs(60);
    // Of a test's own codes none: a process that ran no scenario does not pass for one that did.
    const DONE: i32 = 42;
    if std::env::var_os(TOLD).is_some() {
        scenario();
        std::process::exit(DONE);
    }
    let this = std::env::current_exe().expect("a test has a path");
    let mut child = Command::new(this)
        .args([test, "--exact"])
        .env(TOLD, test)
        .stdout(Stdio::null())
        .spawn()
        .expect("a test can be started");
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().expect("it is our child");
            panic!("{test} hangs");
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(DONE), "{test} fails");
}

macro_rules! tests {
    ($($test:ident: $scenario:ident),* $(,)?) => {$(
        #[test]
        fn $test() {
            apart(stringify!($test), $scenario);
        }
    )*};
}

tests! {
    a_step_that_every_worker_waits_for_ends: workers_wait_for_a_step,
    a_step_does_not_wait_for_busy_workers: workers_are_busy,
    a_loop_beside_a_parallel_loader_ends: a_loader_fills_a_channel,
    steps_in_pools_of_any_size_end: steps_in_pools,
    steps_in_a_parallel_loop_end: steps_in_a_parallel_loop,
    a_step_does_not_make_rayons_pool: rayons_pool_is_still_to_be_made,
    helpers_sleep_after_a_step: nothing_spins,
}

fn workers_wait_for_a_step() {
    for _ in 0..5 {
        rayon::broadcast(|_| thread::spawn(step).join().expect("the step ends"));
    }
}

fn workers_are_busy() {
    step();
    const BUSY: Duration = Duration::from_secs(4);
    let busy = Instant::now();
    for _ in 0..rayon::current_num_threads() {
        rayon::spawn(move || {
            while busy.elapsed() < BUSY {
                std::hint::spin_loop();
            }
        });
    }
    thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    // Without the sums, which Burn computes on rayon's workers.
    for device in devices() {
        let zeros = Tensor::<1>::zeros([COUNT], &device);
        let adam = AdamWConfig::new().build();
        adam.step(0.5, zeros.clone(), zeros, None);
    }
    assert!(start.elapsed() < BUSY / 4, "{:?}", start.elapsed());
}

fn a_loader_fills_a_channel() {
    let (sender, receiver) = sync_channel(2);
    let trainer = thread::spawn(move || receiver.iter().map(|_: usize| step()).count());
    (0..40).into_par_iter().for_each_with(sender, |sender, i| {
        sender.send(i).expect("somebody receives")
    });
    assert_eq!(trainer.join().expect("the training ends"), 40);
}

fn steps_in_pools() {
    for threads in [1, 2, 3, 16] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("threads can be started");
        pool.install(step);
        pool.broadcast(|_| step());
    }
}

fn steps_in_a_parallel_loop() {
    (0..16).into_par_iter().for_each(|_| {
        (0..2).into_par_iter().for_each(|_| step());
    });
}

/// A program may still say how many threads it has.
fn rayons_pool_is_still_to_be_made() {
    let zeros = Tensor::<1>::zeros([COUNT], &Device::flex());
    AdamWConfig::new()
        .build()
        .step(0.5, zeros.clone(), zeros, None);
    let pool = ThreadPoolBuilder::new().num_threads(3).build_global();
    assert!(pool.is_ok(), "{pool:?}");
}

/// A helper that is awake for the next tensor sleeps soon after the last one.
fn nothing_spins() {
    if !cfg!(target_os = "linux") {
        return println!("only Linux tells what each thread has had of the processor");
    }
    /// What the process has had of the processor: the first field, in nanoseconds.
    fn spent() -> Option<Duration> {
        let tasks = std::fs::read_dir("/proc/self/task").ok()?;
        let of_task = |task: std::fs::DirEntry| {
            let spent = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            spent.split_whitespace().next()?.parse::<u64>().ok()
        };
        let spent = tasks.filter_map(Result::ok).filter_map(of_task).sum();
        Some(Duration::from_nanos(spent))
    }
    for device in devices() {
        let zeros = Tensor::<1>::zeros([COUNT], &device);
        let adam = AdamWConfig::new().build();
        adam.step(0.5, zeros.clone(), zeros, None);
        thread::sleep(Duration::from_millis(20));
        let before = spent().expect("Linux tells");
        thread::sleep(Duration::from_millis(500));
        let spinning = spent().expect("Linux tells") - before;
        assert!(spinning < Duration::from_millis(5), "{spinning:?}");
    }
}

//! All runs of a sweep, several at a time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};

use crate::options::Settings;
use crate::results::{Point, Results, points};
use crate::training::Problem;

/// Trains what the results do not have yet.
pub fn run(
    settings: &Settings,
    problem: &Problem,
    results: &mut Results,
    jobs: u64,
) -> Result<(), String> {
    let all = points(settings).count();
    let missing: VecDeque<Point> = points(settings)
        .filter(|point| results.get(point).is_none())
        .collect();
    if missing.len() < all {
        println!("{} of {all} runs are there already", all - missing.len());
    }
    let progress = ProgressBar::new(missing.len() as u64).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {eta} left")
            .expect("the template is valid"),
    );
    let queue = Mutex::new(missing);
    let results = Mutex::new(results);
    let next = || {
        queue
            .lock()
            .expect("no thread panics with the queue")
            .pop_front()
    };
    let work = || -> Result<(), String> {
        // One thread a run: small matrices gain nothing from more, and results depend on nothing else.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|error| format!("--jobs: {error}"))?;
        while let Some(point) = next() {
            let map = settings.map(point.optimizer);
            let learning_rate = map.learning_rates[point.learning_rate];
            let lambda = map.lambdas[point.lambda];
            let outcome = pool.install(|| problem.run(&point, learning_rate, lambda));
            let mut results = results.lock().expect("no thread panics with the results");
            results.add(point, outcome)?;
            progress.inc(1);
        }
        Ok(())
    };
    let failures = thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let join = |thread: thread::ScopedJoinHandle<Result<(), String>>| {
            let ended = thread.join();
            ended
                .unwrap_or_else(|_| Err("a run panicked; what is done is kept".into()))
                .err()
        };
        threads.into_iter().filter_map(join).collect::<Vec<_>>()
    });
    progress.finish_and_clear();
    match failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

//! All runs of a sweep, several at a time, and the file that holds those that are done.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::options::{Map, Options};
use crate::training::{Errors, Problem, Run};

/// Trains what the file at `path` does not hold yet.
pub fn run(maps: &[Map], options: &Options, path: &Path) -> Result<Results, String> {
    let failed = |error| format!("{}: {error}", path.display());
    let results = Mutex::new(Results::open(path).map_err(failed)?);
    let problem = Problem::new(&options.data, options.seeds.get())?;
    let runs: Vec<&Run> = maps.iter().flat_map(|map| &map.runs).collect();
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {eta} left");
    let style = style.expect("the template is valid");
    let progress = ProgressBar::new(runs.len() as u64).with_style(style);

    let queue = Mutex::new(runs.into_iter());
    let next = || queue.lock().unwrap().next();
    let work = || {
        // One thread a run: small matrices gain nothing from more.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|error| format!("--jobs: {error}"))?;
        while let Some(run) = next() {
            if results.lock().unwrap().get(run).is_none() {
                let errors = pool.install(|| problem.train(run));
                let added = results.lock().unwrap().add(run.clone(), errors);
                added.map_err(failed)?;
            }
            progress.inc(1);
        }
        Ok::<(), String>(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs.get()).map(|_| scope.spawn(work)).collect();
        let mut threads = threads.into_iter();
        threads.try_for_each(|thread| thread.join().expect("a run panicked"))
    })?;
    progress.finish_and_clear();
    Ok(results.into_inner().unwrap())
}

/// All runs as a table, in an order that does not depend on when they ended.
pub fn csv(maps: &[Map], results: &Results) -> String {
    let row = |run: &Run| {
        let (seed, learning_rate, lambda) = (run.seed, run.learning_rate, run.lambda);
        let optimizer = run.optimizer.to_possible_value().expect("it has a name");
        let optimizer = optimizer.get_name();
        let [validation, test] = results.get(run).expect("the sweep is complete");
        format!("{optimizer},{seed},{learning_rate:e},{lambda:e},{validation},{test}\n")
    };
    let header = "optimizer,seed,learning_rate,lambda,validation_error,test_error\n";
    let rows = maps.iter().flat_map(|map| &map.runs).map(row);
    header.to_owned() + &rows.collect::<String>()
}

pub struct Results {
    file: File,
    runs: Vec<(Run, Errors)>,
}

impl Results {
    /// Reads what the file holds, of this sweep and of others, and makes it ready for more.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A last line without an end is what a sweep that was killed left of it.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        file.set_len(text.len() as u64)?;
        let runs = serde_json::Deserializer::from_str(&text).into_iter();
        let runs = runs.collect::<serde_json::Result<_>>()?;
        Ok(Self { file, runs })
    }

    pub fn get(&self, run: &Run) -> Option<Errors> {
        let found = self.runs.iter().find(|(other, _)| other == run);
        found.map(|(_, errors)| *errors)
    }

    /// Adds a run, to the file first.
    pub fn add(&mut self, run: Run, errors: Errors) -> io::Result<()> {
        let line = serde_json::to_string(&(&run, errors))? + "\n";
        self.file.write_all(line.as_bytes())?;
        self.runs.push((run, errors));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::options::Options;

    #[test]
    fn a_torn_line_is_cut_off_and_the_rest_is_kept() {
        let path = std::env::temp_dir().join(format!("runs-{}.jsonl", std::process::id()));
        let maps = Options::parse_from(["decay_map"]).maps().unwrap();
        let go_on = |text: &str| {
            fs::write(&path, text).unwrap();
            let mut results = Results::open(&path).unwrap();
            for run in &maps[0].runs[..2] {
                if results.get(run).is_none() {
                    results.add(run.clone(), [10.002, 12.345]).unwrap();
                }
            }
            fs::read_to_string(&path).unwrap()
        };
        let text = go_on("");
        for cut in 0..=text.len() {
            assert_eq!(go_on(&text[..cut]), text);
        }
        fs::write(&path, text + "nonsense\n").unwrap();
        let error = Results::open(&path).err().unwrap().to_string();
        assert!(error.contains("line 3"), "{error}");
        fs::remove_file(&path).unwrap();
    }
}

//! The runs so far, in a file that every finished run is appended to.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::options::{Map, OptimizerName, Settings};

/// Which point of which map, and which of its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    pub optimizer: OptimizerName,
    pub seed: usize,
    /// The place on the axis of learning rates, and on that of λ's.
    pub learning_rate: usize,
    pub lambda: usize,
}

/// What a run came to, in whole numbers, which a file keeps to the last bit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How many of the unseen digits are taken for another; as by chance, where the run diverged.
    pub wrong: usize,
    /// How many unseen digits there are.
    pub unseen: usize,
    pub diverged: bool,
}

impl Outcome {
    /// The share of the unseen digits that are taken for another.
    pub fn test_error(&self) -> f64 {
        self.wrong as f64 / self.unseen as f64
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    point: Point,
    #[serde(flatten)]
    outcome: Outcome,
}

pub struct Results {
    path: PathBuf,
    file: File,
    outcomes: HashMap<Point, Outcome>,
}

impl Results {
    /// Reads what the file holds, and makes it ready for more.
    ///
    /// A last line without an end is what a run that was killed left of its own; it is cut off.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, String> {
        let failed = |error: String| format!("{}: {error}", path.display());
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path);
        let mut file = file.map_err(|error| failed(error.to_string()))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(failed("another sweep is writing it".into()));
        }
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(|error| failed(error.to_string()))?;
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut lines = whole.lines();

        let mut outcomes = HashMap::new();
        if let Some(head) = lines.next() {
            let before: Settings = serde_json::from_str(head)
                .map_err(|error| failed(format!("line 1 holds no settings: {error}")))?;
            if let Some(option) = before.difference(settings) {
                return Err(failed(format!("the sweep there has another {option}")));
            }
        }
        for (number, line) in (2..).zip(lines) {
            let Line { point, outcome } = serde_json::from_str(line)
                .map_err(|error| failed(format!("line {number} holds no run: {error}")))?;
            outcomes.insert(point, outcome);
        }

        let mut start = || {
            file.set_len(whole.len() as u64)?;
            if whole.is_empty() {
                writeln!(file, "{}", serde_json::to_string(settings)?)?;
            }
            Ok::<_, std::io::Error>(())
        };
        start().map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            path: path.into(),
            file,
            outcomes,
        })
    }

    pub fn get(&self, point: &Point) -> Option<Outcome> {
        self.outcomes.get(point).copied()
    }

    /// Adds a run, to the file first.
    pub fn add(&mut self, point: Point, outcome: Outcome) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let line = serde_json::to_string(&Line { point, outcome });
        let line = line.map_err(|error| failed(error.into()))? + "\n";
        self.file.write_all(line.as_bytes()).map_err(failed)?;
        self.outcomes.insert(point, outcome);
        Ok(())
    }

    /// The test errors of one map: by seed, learning rate and λ.
    pub fn errors(&self, settings: &Settings, map: &Map) -> Vec<Vec<Vec<f64>>> {
        let error = |seed, learning_rate, lambda| {
            let point = Point {
                optimizer: map.optimizer,
                seed,
                learning_rate,
                lambda,
            };
            let outcome = self.get(&point).expect("the sweep is complete");
            outcome.test_error()
        };
        let row = |seed, rate| {
            let lambdas = 0..map.lambdas.len();
            lambdas.map(|lambda| error(seed, rate, lambda)).collect()
        };
        let run = |seed| {
            let rates = 0..map.learning_rates.len();
            rates.map(|rate| row(seed, rate)).collect()
        };
        (0..settings.seeds).map(run).collect()
    }

    /// All runs as a table, in an order that does not depend on when they ended.
    pub fn csv(&self, settings: &Settings) -> String {
        let mut csv = "optimizer,seed,learning_rate,lambda,test_error,diverged\n".to_owned();
        for point in points(settings) {
            let Some(outcome) = self.get(&point) else {
                continue;
            };
            let map = settings.map(point.optimizer);
            csv += &format!(
                "{},{},{:e},{:e},{},{}\n",
                point.optimizer.as_str(),
                point.seed,
                map.learning_rates[point.learning_rate],
                map.lambdas[point.lambda],
                outcome.test_error(),
                outcome.diverged
            );
        }
        csv
    }
}

/// Every run of a sweep.
pub fn points(settings: &Settings) -> impl Iterator<Item = Point> {
    (0..settings.seeds).flat_map(move |seed| {
        settings.maps.iter().flat_map(move |map| {
            (0..map.learning_rates.len()).flat_map(move |learning_rate| {
                (0..map.lambdas.len()).map(move |lambda| Point {
                    optimizer: map.optimizer,
                    seed,
                    learning_rate,
                    lambda,
                })
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use std::fs;

    use super::*;
    use crate::options::Options;

    fn settings(grid: &str) -> Settings {
        Options::parse_from(["decay_map", "--grid", grid])
            .settings()
            .unwrap()
    }

    fn file(name: &str) -> PathBuf {
        let name = format!("decay-map-{}-{name}.jsonl", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_torn_line_is_cut_off_and_the_rest_is_kept() {
        let (path, settings) = (file("torn"), settings("2"));
        let outcome = Outcome {
            wrong: 2349,
            unseen: 11_500,
            diverged: false,
        };
        let [first, second] = [0, 1].map(|i| points(&settings).nth(i).unwrap());
        let mut results = Results::open(&path, &settings).unwrap();
        results.add(first, outcome).unwrap();
        results.add(second, outcome).unwrap();
        let error = Results::open(&path, &settings).err().unwrap();
        assert!(error.ends_with("another sweep is writing it"), "{error}");
        let text = fs::read_to_string(&path).unwrap();
        let csv = results.csv(&settings);
        drop(results);
        for cut in 1..text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            let mut results = Results::open(&path, &settings).unwrap();
            for point in [first, second] {
                if results.get(&point).is_none() {
                    results.add(point, outcome).unwrap();
                }
            }
            assert_eq!(results.csv(&settings), csv);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn another_sweeps_file_is_refused() {
        let path = file("other");
        Results::open(&path, &settings("2")).unwrap();
        let error = Results::open(&path, &settings("3")).err().unwrap();
        assert!(
            error.ends_with("the sweep there has another --grid"),
            "{error}"
        );
        fs::write(&path, "nonsense\n").unwrap();
        let error = Results::open(&path, &settings("2")).err().unwrap();
        assert!(error.contains("line 1 holds no settings"), "{error}");
        fs::remove_file(&path).unwrap();
    }
}

//! What the command line takes, and what it comes to.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::digits::Data;

/// Draw the map of learning rate and λ, for each way to decay.
///
/// Every point of a map is a network that is trained from the same weights on the same batches,
/// with a cosine schedule; its colour is the test error. A sweep that was interrupted goes on where
/// it stopped. The test error is counted on the test images and on the training images that
/// --train-size leaves.
#[derive(Parser, Debug, Clone)]
#[command(name = "decay_map")]
pub struct Options {
    /// The optimizers to draw a map of
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "adam-l2,adamw,adamw-torch,sgd-l2,sgdw"
    )]
    optimizer: Vec<OptimizerName>,

    /// The learning rates, and the λ's, of a map [default: 9]
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=50))]
    grid: Option<u64>,

    /// The smallest and the largest learning rate [default: each optimizer's own]
    #[arg(long, num_args = 2, value_names = ["LOW", "HIGH"], value_parser = positive)]
    learning_rates: Option<Vec<f64>>,

    /// The smallest and the largest λ [default: each optimizer's own]
    #[arg(long, num_args = 2, value_names = ["LOW", "HIGH"], value_parser = positive)]
    lambdas: Option<Vec<f64>>,

    /// The passes over the training images [default: 100]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,

    /// How many training images, of those that --data has
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    train_size: u64,

    /// How many times each point is trained, from other weights and on other batches [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,

    /// The runs at a time [default: one a core]
    #[arg(long, default_value_t = cores(), hide_default_value = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub jobs: u64,

    /// Where decay_map.png, decay_map.csv, decay_map.json and runs.jsonl go
    #[arg(long, default_value = "decay-map-out", value_name = "DIR")]
    pub out: PathBuf,

    /// The digits: those that the MNIST example carries, or a folder with MNIST's files
    #[arg(long, default_value = "embedded", value_name = "embedded|DIR")]
    data: Data,

    /// A first look: maps of 5 × 5, of 60 epochs, once each
    #[arg(long)]
    quick: bool,
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        Ok(_) => Err("it must be finite and greater than 0".into()),
        Err(error) => Err(format!("{error}")),
    }
}

/// What a sweep's results depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub maps: Vec<Map>,
    pub epochs: usize,
    pub train_size: usize,
    pub seeds: usize,
    pub data: Data,
}

/// The axes of one map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    pub optimizer: OptimizerName,
    pub learning_rates: Vec<f64>,
    pub lambdas: Vec<f64>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    AdamL2,
    /// AdamW with the paper's scaling: δ = η_t·λ
    #[value(name = "adamw")]
    #[serde(rename = "adamw")]
    AdamW,
    /// AdamW with PyTorch's scaling: δ = lr·λ
    #[value(name = "adamw-torch")]
    #[serde(rename = "adamw-torch")]
    AdamWTorch,
    SgdL2,
    /// SgdW with the paper's scaling
    #[value(name = "sgdw")]
    #[serde(rename = "sgdw")]
    SgdW,
}

impl OptimizerName {
    /// The name in everything that is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdamL2 => "adam-l2",
            Self::AdamW => "adamw",
            Self::AdamWTorch => "adamw-torch",
            Self::SgdL2 => "sgd-l2",
            Self::SgdW => "sgdw",
        }
    }

    /// The name above its map.
    pub fn title(self) -> &'static str {
        match self {
            Self::AdamL2 => "AdamL2",
            Self::AdamW => "AdamW, η·λ (the paper's)",
            Self::AdamWTorch => "AdamW, lr·λ (PyTorch's)",
            Self::SgdL2 => "SgdL2",
            Self::SgdW => "SgdW, η·λ (the paper's)",
        }
    }

    /// The range of learning rates, and of λ's, with its good region inside.
    fn ranges(self) -> [[f64; 2]; 2] {
        match self {
            Self::AdamL2 => [[3e-4, 1e0], [1e-6, 1e-1]],
            Self::AdamW => [[3e-4, 1e0], [1e-4, 1e0]],
            Self::AdamWTorch => [[3e-4, 1e0], [1e-2, 1e2]],
            Self::SgdL2 | Self::SgdW => [[1e-3, 3e0], [1e-4, 1e0]],
        }
    }
}

impl Options {
    pub fn settings(&self) -> Result<Settings, String> {
        let number = |given: Option<u64>, default: usize, quick: usize| {
            let default = if self.quick { quick } else { default };
            given.map_or(default, |given| given as usize)
        };
        let grid = number(self.grid, 9, 5);
        let axis = |option: &str, given: &Option<Vec<f64>>, default: [f64; 2]| {
            let [low, high] = given.as_ref().map_or(default, |given| [given[0], given[1]]);
            if low < high {
                Ok(logarithmic(low, high, grid))
            } else {
                Err(format!("{option}: {low} is not less than {high}"))
            }
        };
        let map = |optimizer: &OptimizerName| {
            let [learning_rates, lambdas] = optimizer.ranges();
            Ok(Map {
                optimizer: *optimizer,
                learning_rates: axis("--learning-rates", &self.learning_rates, learning_rates)?,
                lambdas: axis("--lambdas", &self.lambdas, lambdas)?,
            })
        };
        let mut optimizers = self.optimizer.clone();
        let mut seen = std::collections::HashSet::new();
        optimizers.retain(|optimizer| seen.insert(*optimizer));
        Ok(Settings {
            maps: optimizers.iter().map(map).collect::<Result<_, String>>()?,
            epochs: number(self.epochs, 100, 60),
            train_size: self.train_size as usize,
            seeds: number(self.seeds, 3, 1),
            data: self.data.clone(),
        })
    }
}

/// `count` values from `low` to `high`, each as many times the one before it.
fn logarithmic(low: f64, high: f64, count: usize) -> Vec<f64> {
    let at = |i: usize| low * (high / low).powf(i as f64 / (count - 1) as f64);
    // To three digits, as they are shown and written.
    let rounded = |value: f64| format!("{value:.2e}").parse().expect("it was a number");
    (0..count).map(at).map(rounded).collect()
}

impl Settings {
    /// The axes of an optimizer's map.
    pub fn map(&self, optimizer: OptimizerName) -> &Map {
        let mut maps = self.maps.iter();
        maps.find(|map| map.optimizer == optimizer)
            .expect("the points of a sweep are of its maps")
    }

    /// The option in which the two differ.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let optimizers =
            |settings: &Self| -> Vec<_> { settings.maps.iter().map(|map| map.optimizer).collect() };
        let axes = |of: fn(&Map) -> &Vec<f64>| {
            let axes = |settings: &Self| settings.maps.iter().map(of).cloned().collect::<Vec<_>>();
            axes(self) != axes(other)
        };
        let sizes = |settings: &Self| settings.maps.first().map(|map| map.lambdas.len());
        [
            ("--optimizer", optimizers(self) != optimizers(other)),
            ("--grid", sizes(self) != sizes(other)),
            ("--learning-rates", axes(|map| &map.learning_rates)),
            ("--lambdas", axes(|map| &map.lambdas)),
            ("--epochs", self.epochs != other.epochs),
            ("--train-size", self.train_size != other.train_size),
            ("--seeds", self.seeds != other.seeds),
            ("--data", self.data != other.data),
        ]
        .into_iter()
        .find_map(|(option, differs)| differs.then_some(option))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_logarithmic() {
        assert_eq!(logarithmic(1e-3, 1e-1, 3), [1e-3, 1e-2, 1e-1]);
    }

    #[test]
    fn a_bad_option_is_named() {
        for (arguments, option) in [
            (vec!["--grid", "1"], "--grid"),
            (vec!["--learning-rates", "0", "1"], "--learning-rates"),
            (vec!["--optimizer", "adagrad"], "--optimizer"),
            (vec!["--jobs", "0"], "--jobs"),
        ] {
            let arguments = ["decay_map"].into_iter().chain(arguments);
            let error = Options::try_parse_from(arguments).unwrap_err().to_string();
            assert!(error.contains(option), "{error}");
        }
        let swapped = ["decay_map", "--lambdas", "1", "0.1"];
        let error = Options::parse_from(swapped).settings().unwrap_err();
        assert_eq!(error, "--lambdas: 1 is not less than 0.1");
    }
}

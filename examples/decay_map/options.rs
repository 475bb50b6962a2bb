//! The command line, and the maps that it asks for.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;

use burn_decay::MomentPrecision;
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::digits::Data;
use crate::training::Run;

/// Draw the map of learning rate and λ, for each way to decay.
///
/// Each cell of a map is a network that is trained on 1,000 digits, from the same weights and on
/// the same batches. Half of the other digits are for validation: they give the colours and decide
/// what is best. The rest only test how good that is. A stopped sweep goes on where it stopped.
#[derive(Parser)]
#[command(name = "decay_map")]
pub struct Options {
    /// The optimizers to draw a map of
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "adam-l2,adamw,adamw-torch,sgd-l2,sgdw"
    )]
    optimizer: Vec<OptimizerName>,
    /// How many learning rates, and how many λ's beside λ = 0, a map has
    #[arg(long, default_value = "9", default_value_if("quick", "true", "5"))]
    grid: NonZeroUsize,
    /// The smallest and the largest learning rate
    #[arg(long, num_args = 2, value_names = ["LOW", "HIGH"], default_values = ["3e-4", "3"])]
    learning_rates: Vec<f64>,
    /// The smallest and the largest λ beside λ = 0 [default: each optimizer's own]
    #[arg(long, num_args = 2, value_names = ["LOW", "HIGH"])]
    lambdas: Option<Vec<f64>>,
    /// The passes over the training digits
    #[arg(long, default_value = "100", default_value_if("quick", "true", "60"))]
    epochs: NonZeroUsize,
    /// How many times each cell is trained, from other weights and on other batches
    #[arg(long, default_value = "3", default_value_if("quick", "true", "1"))]
    pub seeds: NonZeroUsize,
    /// How the optimizers keep their moments: Full, Bf16 or Bits8
    #[arg(long, default_value = "Full", value_parser = moments)]
    moments: MomentPrecision,
    /// The runs at a time: as many as there are cores, unless told
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pub jobs: NonZeroUsize,
    /// Where decay_map.png, decay_map.csv, decay_map.json and runs.jsonl go
    #[arg(long, default_value = "decay-map-out", value_name = "DIR")]
    pub out: PathBuf,
    /// The digits: those that the MNIST example carries, or a folder with MNIST's files
    #[arg(long, default_value = "embedded", value_name = "embedded|DIR")]
    pub data: Data,
    /// A first look: --grid 5 --epochs 60 --seeds 1
    #[arg(long)]
    quick: bool,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    AdamL2,
    /// AdamW with the paper's scaling: δ = η_t·λ
    Adamw,
    /// AdamW with PyTorch's scaling: δ = lr·λ
    AdamwTorch,
    SgdL2,
    /// SgdW with the paper's scaling
    Sgdw,
}

impl OptimizerName {
    /// The title of its map, and the λ's that have the good region between them.
    fn defaults(self) -> (&'static str, [f64; 2]) {
        match self {
            Self::AdamL2 => ("AdamL2", [1e-5, 1e-1]),
            Self::Adamw => ("AdamW, η·λ (the paper's)", [1e-4, 1e0]),
            Self::AdamwTorch => ("AdamW, lr·λ (PyTorch's)", [1e-2, 1e2]),
            Self::SgdL2 => ("SgdL2", [1e-3, 1e1]),
            Self::Sgdw => ("SgdW, η·λ (the paper's)", [1e-4, 1e0]),
        }
    }
}

/// The axes of a map, with λ = 0 first, and its runs: by seed, learning rate and λ.
pub struct Map {
    pub title: &'static str,
    pub learning_rates: Vec<f64>,
    pub lambdas: Vec<f64>,
    pub runs: Vec<Run>,
}

impl Options {
    pub fn maps(&self) -> Result<Vec<Map>, String> {
        self.optimizer.iter().map(|name| self.map(*name)).collect()
    }

    fn map(&self, optimizer: OptimizerName) -> Result<Map, String> {
        let (title, bounds) = optimizer.defaults();
        let bounds = self.lambdas.as_deref().unwrap_or(&bounds);
        let lambdas = logarithmic("--lambdas", bounds, self.grid.get())?;
        let lambdas = [vec![0.0], lambdas].concat();
        let bounds = &self.learning_rates;
        let learning_rates = logarithmic("--learning-rates", bounds, self.grid.get())?;

        let mut runs = Vec::new();
        for seed in 0..self.seeds.get() {
            for &learning_rate in &learning_rates {
                runs.extend(lambdas.iter().map(|&lambda| Run {
                    optimizer,
                    learning_rate,
                    lambda,
                    seed,
                    epochs: self.epochs.get(),
                    data: self.data.clone(),
                    moments: self.moments,
                }));
            }
        }
        Ok(Map {
            title,
            learning_rates,
            lambdas,
            runs,
        })
    }
}

fn moments(name: &str) -> Result<MomentPrecision, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// `count` values from the first bound to the second, each as many times the one before it.
fn logarithmic(option: &str, bounds: &[f64], count: usize) -> Result<Vec<f64>, String> {
    let (low, high) = (bounds[0], bounds[1]);
    if !(0.0 < low && low < high && high.is_finite()) {
        return Err(format!("{option} {low} {high}: not 0 < LOW < HIGH"));
    }
    let ratio = (high / low).powf(1.0 / (count - 1).max(1) as f64);
    let values = (0..count as i32).map(|i| low * ratio.powi(i));
    // To three digits, as they are written.
    let rounded = |value: f64| format!("{value:.2e}").parse().expect("it was a number");
    Ok(values.map(rounded).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_is_logarithmic_and_its_bounds_are_checked() {
        let axis = |low, high| logarithmic("--lambdas", &[low, high], 3);
        assert_eq!(axis(1e-3, 1e-1), Ok(vec![1e-3, 1e-2, 1e-1]));
        assert!(axis(0.0, 1.0).unwrap_err().starts_with("--lambdas 0 1"));
        assert!(axis(1.0, 0.1).is_err() && axis(1.0, f64::INFINITY).is_err());
    }
}

//! What the command line takes.

use std::path::{Path, PathBuf};
use std::{error::Error, fs};

use clap::{Parser, ValueEnum, value_parser};
use serde::Serialize;
use serde_json::{Map, Value, from_str};

use crate::files::write_whole;

/// Train an MNIST classifier under the L2 penalty and under decoupled weight decay.
#[derive(Parser, Serialize)]
pub struct Options {
    /// The optimizers, each of which trains from the same weights and on the same batches
    #[arg(long, value_delimiter = ',', default_value = "adam-l2,adamw")]
    pub optimizer: Vec<Scheme>,
    /// The passes over the training images
    #[arg(long, default_value = "10", value_parser = value_parser!(u16).range(1..))]
    pub epochs: u16,
    /// The L2 penalty or the weight decay [default: 1e-3, adamw: 0.5, sgdw: 0.01]
    #[arg(long)]
    pub lambda: Option<f64>,
    /// A folder with the four files of MNIST, in place of the subset in the program
    #[arg(long, default_value = "embedded", value_name = "DIR")]
    pub data: PathBuf,
    /// Where checkpoints, logs, curves.png and summary.json go
    #[arg(long, default_value = "mnist-out", value_name = "DIR")]
    #[serde(skip)]
    pub out: PathBuf,
    /// Go on from the last checkpoints in the folder of --out
    #[arg(long)]
    #[serde(skip)]
    pub resume: bool,
}

#[derive(ValueEnum, Debug, Clone, Copy, Serialize)]
pub enum Scheme {
    AdamL2,
    #[value(name = "adamw")]
    AdamW,
    SgdL2,
    #[value(name = "sgdw")]
    SgdW,
}

impl Options {
    /// The learning rate of the first step, and λ.
    pub fn coefficients(&self, scheme: Scheme) -> (f64, f64) {
        let (learning_rate, lambda) = match scheme {
            Scheme::AdamL2 => (1e-3, 1e-3),
            Scheme::AdamW => (1e-3, 0.5),
            Scheme::SgdL2 => (0.05, 1e-3),
            Scheme::SgdW => (0.05, 0.01),
        };
        (learning_rate, self.lambda.unwrap_or(lambda))
    }

    /// Makes `folder` ready for a new run, or sees that the run in it has the same options.
    pub fn prepare(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let file = folder.join("options.json");
        let now = serde_json::to_string(self)?;
        if !self.resume {
            if file.exists() {
                fs::remove_dir_all(folder)?;
            }
            fs::create_dir_all(folder)?;
            return Ok(write_whole(&file, |file| fs::write(file, now))?);
        }
        let before = fs::read_to_string(&file).map_err(|e| format!("--resume: {folder:?}: {e}"))?;
        let [before, now]: [Map<String, Value>; 2] = [from_str(&before)?, from_str(&now)?];
        for ((option, before), now) in before.iter().zip(now.values()) {
            if before != now {
                let difference = format!("--{option} {before}, not {now}");
                return Err(format!("--resume: the run has {difference}").into());
            }
        }
        Ok(())
    }
}

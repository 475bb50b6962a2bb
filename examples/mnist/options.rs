//! What the command line takes.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::Serialize;

use crate::digits::Data;

/// Train an MNIST classifier under the L2 penalty and under decoupled weight decay.
///
/// The device is Burn's choice, or that of BURN_DEVICE (flex, wgpu, …).
#[derive(Parser, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Options {
    /// The optimizers, each of which trains from the same weights and on the same batches
    #[arg(long, value_delimiter = ',', default_value = "adam-l2,adamw")]
    pub optimizer: Vec<Scheme>,
    /// The passes over the training images
    #[arg(long, default_value = "10")]
    pub epochs: NonZeroUsize,
    /// The images in a step
    #[arg(long, default_value = "64")]
    pub batch_size: NonZeroUsize,
    /// The learning rate of the first step; a cosine takes it to 0 [default: 1e-3, SGD: 0.05]
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// λ of adam-l2 and sgd-l2
    #[arg(long, default_value_t = 1e-3)]
    pub l2_penalty: f64,
    /// λ of adamw and sgdw, which the learning rate scales [default: 0.5, SGD: 0.01]
    #[arg(long)]
    pub weight_decay: Option<f64>,
    /// What the initial weights and the order of the images are drawn from
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// A folder with the four files of MNIST, gzipped or not, in place of the subset in the program
    #[arg(long, default_value = "embedded", value_name = "DIR")]
    pub data: Data,
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

impl Scheme {
    /// The learning rate of the first step, and λ.
    pub fn coefficients(self, options: &Options) -> (f64, f64) {
        let (learning_rate, lambda) = match self {
            Self::AdamL2 => (1e-3, options.l2_penalty),
            Self::AdamW => (1e-3, options.weight_decay.unwrap_or(0.5)),
            Self::SgdL2 => (0.05, options.l2_penalty),
            Self::SgdW => (0.05, options.weight_decay.unwrap_or(0.01)),
        };
        (options.learning_rate.unwrap_or(learning_rate), lambda)
    }
}

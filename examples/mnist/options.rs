//! What the command line takes.

use std::path::PathBuf;
use std::str::FromStr;

use burn_decay::L2Penalty;
use clap::{Args, Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::digits::Data;

/// Train an MNIST classifier under the L2 penalty and under decoupled weight decay.
///
/// The runs start from the same weights and see the same batches. The device is Burn's choice;
/// BURN_DEVICE names another one of those that are compiled in (flex, ndarray, …).
#[derive(Parser, Debug, Clone)]
#[command(name = "mnist")]
pub struct Options {
    /// The optimizers to train with, one after the other
    #[arg(long, value_delimiter = ',', default_value = "adam-l2,adamw")]
    pub optimizer: Vec<OptimizerName>,

    #[command(flatten)]
    pub settings: Settings,

    /// The passes over the training images
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub epochs: usize,

    /// Where the checkpoints, the logs, curves.png and summary.json go
    #[arg(long, default_value = "mnist-out", value_name = "DIR")]
    pub out: PathBuf,

    /// Go on from the last checkpoints in the folder of --out
    #[arg(long)]
    pub resume: bool,
}

/// What a run must be resumed with.
#[derive(Args, Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The network: two hidden layers of 512, or two convolutions
    #[arg(long, value_enum, default_value_t = ModelName::Mlp)]
    pub model: ModelName,

    /// The images in a step
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    pub batch_size: usize,

    /// The learning rate of the first step, in (0, 1] [default: 1e-3, and 0.05 for SGD]
    #[arg(long, value_parser = learning_rate)]
    pub learning_rate: Option<f64>,

    /// What becomes of the learning rate over all epochs
    #[arg(long, value_enum, default_value_t)]
    #[serde(default)]
    pub schedule: ScheduleName,

    /// λ of adam-l2 and sgd-l2
    #[arg(long, default_value_t = 1e-3)]
    pub l2_penalty: f64,

    /// λ of adamw and sgdw, times the learning rate [default: 0.5, and 0.01 for SGD]
    #[arg(long)]
    pub weight_decay: Option<f64>,

    /// Penalties to add to the loss, on all weights but the biases: l1=λ, l2=λ or both
    #[arg(long, value_delimiter = ',', value_name = "l1=λ|l2=λ")]
    #[serde(default)]
    pub penalty: Vec<Penalty>,

    /// The share of the hidden units that a training step leaves out, in [0, 1)
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    #[serde(default)]
    pub dropout: f64,

    /// Shift every training image by up to two pixels, anew in each epoch
    #[arg(long)]
    #[serde(default)]
    pub augment: bool,

    /// Stop after this many epochs without a better test loss
    #[arg(long, value_name = "EPOCHS", value_parser = at_least_one)]
    #[serde(default)]
    pub early_stopping: Option<usize>,

    /// What the initial weights and the order of the images are drawn from
    #[arg(long, default_value_t = 42)]
    pub seed: u64,

    /// The digits: those that the example carries (10,000 + 2,000), or a folder with the four IDX
    /// files of MNIST, gzipped or not
    #[arg(long, default_value = "embedded", value_name = "embedded|DIR")]
    pub data: Data,
}

impl Settings {
    /// The first option in which the two differ.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            ("--model", self.model != other.model),
            ("--batch-size", self.batch_size != other.batch_size),
            ("--learning-rate", self.learning_rate != other.learning_rate),
            ("--schedule", self.schedule != other.schedule),
            ("--l2-penalty", self.l2_penalty != other.l2_penalty),
            ("--weight-decay", self.weight_decay != other.weight_decay),
            ("--penalty", self.penalty != other.penalty),
            ("--dropout", self.dropout != other.dropout),
            ("--augment", self.augment != other.augment),
            (
                "--early-stopping",
                self.early_stopping != other.early_stopping,
            ),
            ("--seed", self.seed != other.seed),
            ("--data", self.data != other.data),
        ]
        .into_iter()
        .find_map(|(option, differs)| differs.then_some(option))
    }
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq)]
pub enum OptimizerName {
    AdamL2,
    #[value(name = "adamw")]
    AdamW,
    SgdL2,
    #[value(name = "sgdw")]
    SgdW,
}

impl OptimizerName {
    pub const ALL: [Self; 4] = [Self::AdamL2, Self::AdamW, Self::SgdL2, Self::SgdW];

    /// The name on the command line and in everything that is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdamL2 => "adam-l2",
            Self::AdamW => "adamw",
            Self::SgdL2 => "sgd-l2",
            Self::SgdW => "sgdw",
        }
    }

    pub fn learning_rate(self, settings: &Settings) -> f64 {
        settings.learning_rate.unwrap_or(match self {
            Self::AdamL2 | Self::AdamW => 1e-3,
            Self::SgdL2 | Self::SgdW => 0.05,
        })
    }

    /// λ
    pub fn lambda(self, settings: &Settings) -> f64 {
        match self {
            Self::AdamL2 | Self::SgdL2 => settings.l2_penalty,
            Self::AdamW => settings.weight_decay.unwrap_or(0.5),
            Self::SgdW => settings.weight_decay.unwrap_or(0.01),
        }
    }
}

#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleName {
    /// It stays as it is
    Constant,
    /// A cosine takes it to 0
    #[default]
    Cosine,
    /// A cosine takes it to 0 in a third of the time, and again in the rest
    WarmRestarts,
}

/// A term of the loss, and its λ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Penalty {
    L1(f64),
    L2(f64),
}

impl FromStr for Penalty {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, lambda) = text.split_once('=').ok_or("it must be l1=λ or l2=λ")?;
        let lambda = lambda.parse().map_err(|error| format!("λ: {error}"))?;
        let penalty = match kind {
            "l1" => Self::L1(lambda),
            "l2" => Self::L2(lambda),
            _ => return Err("it must be l1=λ or l2=λ".into()),
        };
        // The same error that the penalty itself gives.
        match L2Penalty::try_new(lambda) {
            Ok(_) => Ok(penalty),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    Mlp,
    Cnn,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        Ok(_) => Err("it must be greater than 0 and at most 1".into()),
        Err(error) => Err(format!("{error}")),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        Ok(_) => Err("it must be at least 0 and less than 1".into()),
        Err(error) => Err(format!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let arguments = ["mnist"].iter().chain(arguments);
        Options::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn optimizers_are_repeated_or_separated_by_commas() {
        use OptimizerName::{AdamL2, AdamW};
        assert_eq!(parse(&[]).unwrap().optimizer, [AdamL2, AdamW]);
        assert_eq!(
            parse(&["--optimizer", "adamw,adam-l2"]).unwrap().optimizer,
            [AdamW, AdamL2]
        );
        let repeated = ["--optimizer", "adamw", "--optimizer", "adam-l2"];
        assert_eq!(parse(&repeated).unwrap().optimizer, [AdamW, AdamL2]);
    }

    #[test]
    fn penalties_are_repeated_or_separated_by_commas() {
        let both = [Penalty::L1(1e-5), Penalty::L2(1e-3)];
        let penalty = |arguments: &[&str]| parse(arguments).unwrap().settings.penalty;
        assert_eq!(penalty(&["--penalty", "l1=1e-5,l2=1e-3"]), both);
        assert_eq!(penalty(&["--penalty=l1=1e-5", "--penalty=l2=1e-3"]), both);
        assert_eq!(penalty(&[]), []);
    }

    #[test]
    fn a_bad_option_is_named() {
        for (option, value) in [
            ("--optimizer", "sgd9"),
            ("--model", "rnn"),
            ("--epochs", "0"),
            ("--batch-size", "-1"),
            ("--learning-rate", "NaN"),
            ("--learning-rate", "-1"),
            ("--seed", "x"),
            ("--schedule", "linear"),
            ("--penalty", "l3=1"),
            ("--penalty", "l1"),
            ("--penalty", "l2=-1"),
            ("--dropout", "1"),
            ("--early-stopping", "0"),
        ] {
            let error = parse(&[&format!("{option}={value}")]).unwrap_err();
            assert!(error.contains(option) && error.contains(value), "{error}");
        }
    }
}

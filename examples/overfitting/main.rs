//! What helps against overfitting: a network on 500 digits, with one technique at a time, from the
//! same weights and in a training loop of one's own.
//!
//! ```text
//! cargo run --release --example overfitting
//! ```

mod chart;
#[path = "../mnist/digits.rs"]
mod digits;

use std::error::Error;
use std::path::PathBuf;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn_decay::{AdamL2Config, AdamWConfig, L1Penalty};
use clap::Parser;
use plotters::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use chart::{COLORS, PLAIN, panel, plain};
use digits::{CLASSES, Data, Digit, Digits, SIDE, normalize};

/// Compare techniques against overfitting, on 500 digits.
#[derive(Parser)]
struct Options {
    /// The picture
    #[arg(long, default_value = "overfitting.png")]
    out: PathBuf,
}

const SEEDS: usize = 5;
const EPOCHS: usize = 40;
/// How many digits a run has. Each seed has others.
const DIGITS: usize = 500;

/// What a run does against overfitting.
struct Technique {
    name: &'static str,
    l2_penalty: f64,
    l1_penalty: f64,
    weight_decay: f64,
    dropout: f64,
    /// An image is shifted by up to so many pixels in each direction.
    shift: usize,
    /// A fifth of the digits is held out, and training stops after so many epochs in which the loss
    /// on them has not been lower than before.
    patience: Option<usize>,
}

const NONE: Technique = Technique {
    name: "none",
    l2_penalty: 0.0,
    l1_penalty: 0.0,
    weight_decay: 0.0,
    dropout: 0.0,
    shift: 0,
    patience: None,
};

/// Each number was the best of three or so on training digits that no run sees.
#[rustfmt::skip]
const TECHNIQUES: [Technique; 7] = [
    NONE,
    Technique { name: "L2 penalty", l2_penalty: 1e-3, ..NONE },
    Technique { name: "L1 penalty", l1_penalty: 1e-5, ..NONE },
    Technique { name: "dropout", dropout: 0.5, ..NONE },
    Technique { name: "augmentation", shift: 2, ..NONE },
    Technique { name: "early stopping", patience: Some(5), ..NONE },
    Technique { name: "weight decay", weight_decay: 2.0, ..NONE },
];

impl Technique {
    fn optimizer(&self) -> ModuleOptimizer {
        if self.l2_penalty > 0.0 {
            return AdamL2Config::new().with_l2_penalty(self.l2_penalty).init();
        }
        AdamWConfig::new()
            .with_weight_decay(self.weight_decay)
            .init()
    }

    /// The digits as tensors, each shifted at random.
    fn batch(&self, digits: &[Digit], random: &mut StdRng, device: &Device) -> Batch {
        let range = 0..=2 * self.shift;
        let shifted = |digit: &Digit| {
            let shift = [(); 2].map(|()| random.random_range(range.clone()));
            shifted(digit, shift, self.shift).map(normalize)
        };
        let pixels: Vec<f32> = digits.iter().flat_map(shifted).collect();
        let labels: Vec<i32> = digits.iter().map(|digit| digit.label.into()).collect();
        let images = TensorData::new(pixels, [digits.len(), SIDE * SIDE]);
        (
            Tensor::from_data(images, device),
            Tensor::from_ints(labels.as_slice(), device),
        )
    }
}

/// Images and labels.
type Batch = (Tensor<2>, Tensor<1, Int>);

/// The image, shifted by so much less the `middle`; black comes in from outside.
fn shifted(digit: &Digit, [dx, dy]: [usize; 2], middle: usize) -> [u8; SIDE * SIDE] {
    std::array::from_fn(|i| {
        let [x, y] = [i % SIDE + dx, i / SIDE + dy].map(|at| at.wrapping_sub(middle));
        if x < SIDE && y < SIDE {
            digit.pixels[SIDE * y + x]
        } else {
            0
        }
    })
}

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    dropout: Dropout,
    output: Linear,
}

impl Network {
    fn new(dropout: f64, device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(SIDE * SIDE, 256).init(device),
            dropout: DropoutConfig::new(dropout).init(),
            output: LinearConfig::new(256, CLASSES).init(device),
        }
    }

    /// The loss, and the logits.
    fn forward(&self, (images, labels): Batch) -> (Tensor<1>, Tensor<2>) {
        let hidden = self.dropout.forward(relu(self.hidden.forward(images)));
        let logits = self.output.forward(hidden);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        (loss.forward(logits.clone(), labels), logits)
    }

    fn evaluate(&self, batch: &Batch) -> Score {
        let (loss, logits) = self.valid().forward(batch.clone());
        let wrong = logits
            .argmax(1)
            .squeeze_dim::<1>(1)
            .not_equal(batch.1.clone());
        Score {
            loss: loss.into_scalar(),
            error: 100.0 * wrong.float().mean().into_scalar::<f64>(),
        }
    }
}

/// The mean loss, and the percentage of digits that are taken for another.
#[derive(Clone, Copy)]
struct Score {
    loss: f64,
    error: f64,
}

/// The scores on the training and the test digits after each epoch, and the epochs it trained.
struct Run {
    scores: Vec<[Score; 2]>,
    epochs: usize,
}

fn train(technique: &Technique, seed: usize, digits: &Digits) -> Run {
    let device = Device::default();
    device.seed(seed as u64);
    let mut random = StdRng::seed_from_u64(seed as u64);

    let mut train = digits.train[DIGITS * seed..][..DIGITS].to_vec();
    let held_out = train.split_off(if technique.patience.is_some() {
        DIGITS * 4 / 5
    } else {
        DIGITS
    });
    let [train_batch, test_batch, held_out] =
        [&train, &digits.test, &held_out].map(|digits| NONE.batch(digits, &mut random, &device));

    let autodiff = device.autodiff();
    let mut network = Network::new(technique.dropout, &autodiff);
    let mut optimizer = technique.optimizer();
    let l1_penalty = L1Penalty::new(technique.l1_penalty);
    let mut scores = Vec::new();
    // The least loss on the digits held out, and the epochs until then.
    let (mut least, mut best) = (f64::MAX, EPOCHS);
    while scores.len() < EPOCHS
        && technique
            .patience
            .is_none_or(|patience| scores.len() < best + patience)
    {
        train.shuffle(&mut random);
        for digits in train.chunks(50) {
            let batch = technique.batch(digits, &mut random, &autodiff);
            let mut loss = network.forward(batch).0;
            if technique.l1_penalty > 0.0 {
                loss = loss + l1_penalty.of(&network);
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(1e-3, network, gradients);
        }
        scores.push([&train_batch, &test_batch].map(|batch| network.evaluate(batch)));
        if technique.patience.is_some() {
            let loss = network.evaluate(&held_out).loss;
            if loss < least {
                (least, best) = (loss, scores.len());
            }
        }
    }
    // Early stopping goes back to the best weights.
    let epochs = scores.len();
    scores.truncate(best);
    scores.resize(EPOCHS, scores[scores.len() - 1]);
    Run { scores, epochs }
}

/// The mean, and the standard deviation of a sample.
fn statistics(values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    [mean, (squares / (count - 1.0)).sqrt()]
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let digits = Digits::load(&Data::Embedded)?;
    let (mut losses, mut errors) = (Vec::new(), Vec::new());
    println!("technique       train error (%)  test error (%)  epochs");
    for ((row, technique), color) in TECHNIQUES.iter().enumerate().zip(COLORS) {
        let runs: Vec<Run> = (0..SEEDS)
            .map(|seed| train(technique, seed, &digits))
            .collect();
        let ends = runs.iter().map(|run| run.scores[EPOCHS - 1]);
        let [train, _] = statistics(ends.clone().map(|[train, _]| train.error));
        let [test, deviation] = statistics(ends.map(|[_, test]| test.error));
        let [epochs, _] = statistics(runs.iter().map(|run| run.epochs as f64));
        let name = technique.name;
        println!("{name:15} {train:15.2} {test:8.2} ± {deviation:.2} {epochs:8.1}");

        let loss = |epoch: usize| statistics(runs.iter().map(|run| run.scores[epoch][1].loss))[0];
        let loss: Vec<_> = (0..EPOCHS).map(loss).collect();
        losses.push((color.into(), chart::epochs(&loss)));
        let points = [test - deviation, test, test + deviation].map(|error| (error, -(row as f64)));
        errors.push((color.into(), points.to_vec()));
    }

    let root = BitMapBackend::new(&options.out, (1480, 560)).into_drawing_area();
    let [left, right] = chart::panels(&root, &TECHNIQUES.map(|technique| technique.name))?;
    let title = format!("test loss, mean of {SEEDS} runs");
    panel(&left, &title, "epoch", &losses, PLAIN)?;
    let title = "test error (%): mean and standard deviation";
    panel(&right, title, "", &errors, [plain, |_| String::new()])?;
    root.present()?;
    println!("\nwritten to {}", options.out.display());
    Ok(())
}

#[cfg(test)]
#[test]
fn a_shift_moves_the_image() {
    let mut pixels = [0; SIDE * SIDE];
    pixels[SIDE * 3 + 5] = 200;
    let digit = Digit { pixels, label: 1 };
    let found = |shift| {
        shifted(&digit, shift, 2)
            .iter()
            .position(|&pixel| pixel == 200)
    };
    assert_eq!(found([2, 2]), Some(SIDE * 3 + 5));
    assert_eq!(found([4, 1]), Some(SIDE * 4 + 3));
}

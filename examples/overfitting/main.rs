//! What helps against overfitting: a network on 500 digits, with one technique at a time.
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

use chart::{COLORS, panel};
use digits::{CLASSES, Data, Digit, Digits, SIDE, normalize};

/// Compare techniques against overfitting.
#[derive(Parser)]
struct Options {
    /// The runs of each technique, each on 500 digits of its own
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=16))]
    seeds: u64,
    /// The passes over the digits
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// The picture
    #[arg(long, default_value = "overfitting.png")]
    out: PathBuf,
}

/// What a run does against overfitting.
#[derive(Clone, Copy)]
struct Technique {
    name: &'static str,
    l2_penalty: f64,
    l1_penalty: f64,
    weight_decay: f64,
    dropout: f64,
    /// By how many pixels an image is shifted at most, in each direction.
    shift: usize,
    /// After how many epochs without a lower loss on a fifth of the digits, held out, it stops.
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

#[rustfmt::skip]
const TECHNIQUES: [Technique; 7] = [
    NONE,
    Technique { name: "L2 penalty", l2_penalty: 1e-3, ..NONE },
    Technique { name: "L1 penalty", l1_penalty: 1e-4, ..NONE },
    Technique { name: "dropout", dropout: 0.5, ..NONE },
    Technique { name: "augmentation", shift: 2, ..NONE },
    Technique { name: "early stopping", patience: Some(5), ..NONE },
    Technique { name: "weight decay", weight_decay: 0.5, ..NONE },
];

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

    fn loss(&self, images: Tensor<2>, labels: Tensor<1, Int>) -> (Tensor<1>, Tensor<2>) {
        let hidden = self.dropout.forward(relu(self.hidden.forward(images)));
        let logits = self.output.forward(hidden);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        (loss.forward(logits.clone(), labels), logits)
    }

    /// The mean loss, and the share of the digits that are taken for another, in percent.
    fn evaluate(&self, (images, labels): &(Tensor<2>, Tensor<1, Int>)) -> Score {
        let (loss, logits) = self.valid().loss(images.clone(), labels.clone());
        let wrong = logits
            .argmax(1)
            .flatten::<1>(0, 1)
            .not_equal(labels.clone());
        Score {
            loss: loss.into_scalar::<f64>(),
            error: 100.0 * wrong.float().mean().into_scalar::<f64>(),
        }
    }
}

#[derive(Clone, Copy)]
struct Score {
    loss: f64,
    error: f64,
}

/// The digits as tensors, each shifted by up to so many pixels.
fn batch(
    digits: &[Digit],
    shift: usize,
    random: &mut StdRng,
    device: &Device,
) -> (Tensor<2>, Tensor<1, Int>) {
    let shifted = |digit: &Digit| {
        let [dx, dy] = [(); 2].map(|()| random.random_range(0..=2 * shift));
        let pixels = digit.pixels;
        (0..SIDE * SIDE).map(move |i| {
            let [x, y] = [i % SIDE + dx, i / SIDE + dy].map(|at| at.wrapping_sub(shift));
            // Black from outside of the image.
            if x < SIDE && y < SIDE {
                pixels[SIDE * y + x]
            } else {
                0
            }
        })
    };
    let pixels: Vec<f32> = digits.iter().flat_map(shifted).map(normalize).collect();
    let labels: Vec<i32> = digits.iter().map(|digit| digit.label.into()).collect();
    let images = TensorData::new(pixels, [digits.len(), SIDE * SIDE]);
    (
        Tensor::from_data(images, device),
        Tensor::from_ints(labels.as_slice(), device),
    )
}

/// The scores on the training and on the test digits after each epoch, and the epochs it took.
struct Run {
    scores: Vec<[Score; 2]>,
    epochs: usize,
}

fn train(technique: &Technique, seed: u64, digits: &Digits, epochs: usize) -> Run {
    let device = Device::default();
    let autodiff = device.clone().autodiff();
    let mut random = StdRng::seed_from_u64(seed);
    device.seed(seed);

    let mut train = digits.train[500 * seed as usize..][..500].to_vec();
    let held_out = train.split_off(if technique.patience.is_some() {
        400
    } else {
        500
    });
    let mut tensors = |digits: &[Digit]| batch(digits, 0, &mut random, &device);
    let evaluated = [tensors(&train), tensors(&digits.test)];
    let held_out = tensors(&held_out);

    let mut network = Network::new(technique.dropout, &autodiff);
    let mut optimizer = technique.optimizer();
    let l1_penalty = L1Penalty::new(technique.l1_penalty).with_vectors(false);
    let mut run = Run {
        scores: Vec::new(),
        epochs,
    };
    // The least loss on the digits held out, and when it was.
    let mut best = (f64::MAX, 0);
    for epoch in 0..epochs {
        train.shuffle(&mut random);
        for digits in train.chunks(50) {
            let (images, labels) = batch(digits, technique.shift, &mut random, &autodiff);
            let (mut loss, _) = network.loss(images, labels);
            if technique.l1_penalty > 0.0 {
                loss = loss + l1_penalty.of(&network);
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(1e-3, network, gradients);
        }
        run.scores
            .push(evaluated.each_ref().map(|digits| network.evaluate(digits)));

        if let Some(patience) = technique.patience {
            let loss = network.evaluate(&held_out).loss;
            if loss < best.0 {
                best = (loss, epoch);
            } else if epoch == best.1 + patience {
                // It goes back to the best weights.
                let kept = run.scores[best.1];
                run.scores.truncate(best.1);
                run.scores.resize(epochs, kept);
                run.epochs = epoch + 1;
                break;
            }
        }
    }
    run
}

impl Technique {
    fn optimizer(&self) -> ModuleOptimizer {
        if self.l2_penalty > 0.0 {
            let config = AdamL2Config::new().with_l2_penalty(self.l2_penalty);
            config.with_decay_vectors(false).init()
        } else {
            let config = AdamWConfig::new().with_weight_decay(self.weight_decay);
            config.with_decay_vectors(false).init()
        }
    }
}

/// The mean, and the standard deviation of a sample.
fn statistics(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let digits = Digits::load(&Data::Embedded)?;
    println!("technique       train error   test error (%)   epochs");
    let mut lines = [Vec::new(), Vec::new()];
    for ((index, technique), color) in TECHNIQUES.iter().enumerate().zip(COLORS) {
        let run = |seed| train(technique, seed, &digits, options.epochs as usize);
        let runs: Vec<Run> = (0..options.seeds).map(run).collect();

        let last = |split: usize| {
            runs.iter()
                .map(move |run| run.scores[run.scores.len() - 1][split].error)
        };
        let [(train, _), (mean, deviation)] =
            [0, 1].map(|split| statistics(&last(split).collect::<Vec<_>>()));
        let epochs = runs.iter().map(|run| run.epochs).sum::<usize>() as f64 / runs.len() as f64;
        println!(
            "{:14} {train:12.2} {mean:10.2} ± {deviation:.2} {epochs:9.1}",
            technique.name
        );

        let loss = |epoch: usize| {
            runs.iter()
                .map(|run| run.scores[epoch][1].loss)
                .sum::<f64>()
                / runs.len() as f64
        };
        let losses = (0..options.epochs as usize).map(|epoch| (epoch as f64 + 1.0, loss(epoch)));
        lines[0].push((color.mix(1.0), losses.collect()));
        let points = [mean - deviation, mean, mean + deviation].map(|error| (error, index as f64));
        lines[1].push((color.mix(1.0), points.to_vec()));
    }
    let root = BitMapBackend::new(&options.out, (1480, 560)).into_drawing_area();
    let panels = chart::panels(&root, &TECHNIQUES.map(|technique| technique.name), 2)?;
    panel(
        &panels[0],
        ["test loss, mean of the runs", "epoch"],
        &lines[0],
        chart::plain,
    )?;
    panel(
        &panels[1],
        ["test error (%)", "mean ± standard deviation of the runs"],
        &lines[1],
        chart::plain,
    )?;
    root.present()?;
    println!("\nwritten to {}", options.out.display());
    Ok(())
}

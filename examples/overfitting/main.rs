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
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn_decay::{AdamL2Config, AdamWConfig, L1Penalty};
use clap::Parser;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use Technique::*;
use chart::{draw, epochs};
use digits::{CLASSES, Digit, Digits, SIDE, normalize};

/// Compare techniques against overfitting, on 500 digits.
#[derive(Parser)]
struct Options {
    /// The picture
    #[arg(long, default_value = "overfitting.png")]
    out: PathBuf,
}

const EPOCHS: usize = 40;
/// How many digits a run has. Each seed has others.
const DIGITS: usize = 500;

/// What a run does against overfitting.
#[derive(Clone, Copy)]
enum Technique {
    Nothing,
    L2(f64),
    L1(f64),
    WeightDecay(f64),
    DropOut(f64),
    /// An image is shifted by up to so many pixels in each direction.
    Shift(usize),
    /// A fifth of the digits is held out, and training stops after so many epochs in which the loss
    /// on them has not been lower than before.
    EarlyStopping(usize),
}

/// Each number was the best of three or so on training digits that no run sees.
const TECHNIQUES: [(&str, Technique); 7] = [
    ("none", Nothing),
    ("L2 penalty", L2(1e-3)),
    ("L1 penalty", L1(1e-5)),
    ("dropout", DropOut(0.5)),
    ("augmentation", Shift(2)),
    ("early stopping", EarlyStopping(5)),
    ("weight decay", WeightDecay(2.0)),
];

/// Images and labels.
type Batch = (Tensor<2>, Tensor<1, Int>);

fn batch(digits: &[Digit], device: &Device) -> Batch {
    let pixels = digits.iter().flat_map(|digit| &digit.pixels);
    let pixels = pixels.map(|pixel| normalize(*pixel)).collect();
    let images = TensorData::new(pixels, [digits.len(), SIDE * SIDE]);
    let labels: Vec<i32> = digits.iter().map(|digit| digit.label.into()).collect();
    let labels = Tensor::from_ints(labels.as_slice(), device);
    (Tensor::from_data(images, device), labels)
}

/// The image, shifted by so much less the `middle`; black comes in from outside.
fn shifted(digit: &Digit, [dx, dy]: [usize; 2], middle: usize) -> Digit {
    let mut pixels = [0; SIDE * SIDE];
    for (i, pixel) in pixels.iter_mut().enumerate() {
        let x = (i % SIDE + dx).wrapping_sub(middle);
        let y = (i / SIDE + dy).wrapping_sub(middle);
        if x < SIDE && y < SIDE {
            *pixel = digit.pixels[SIDE * y + x];
        }
    }
    Digit { pixels, ..*digit }
}

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    dropout: Dropout,
    output: Linear,
}

impl Network {
    /// The loss, and the logits.
    fn forward(&self, (images, labels): Batch) -> (Tensor<1>, Tensor<2>) {
        let hidden = self.dropout.forward(relu(self.hidden.forward(images)));
        let logits = self.output.forward(hidden);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        (loss.forward(logits.clone(), labels), logits)
    }

    fn evaluate(&self, batch: &Batch) -> Score {
        let (loss, logits) = self.valid().forward(batch.clone());
        let wrong = logits.argmax(1).squeeze_dim(1).not_equal(batch.1.clone());
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
type Run = (Vec<[Score; 2]>, usize);

fn train(technique: Technique, seed: usize, digits: &Digits) -> Run {
    let device = Device::default();
    device.seed(seed as u64);
    let mut random = StdRng::seed_from_u64(seed as u64);

    let mut train = digits.train[DIGITS * seed..][..DIGITS].to_vec();
    let (held_out, patience) = match technique {
        EarlyStopping(patience) => (train.split_off(DIGITS * 4 / 5), patience),
        _ => (Vec::new(), EPOCHS),
    };
    let batches = [&train, &digits.test].map(|digits| batch(digits, &device));

    let device = device.autodiff();
    let probability = if let DropOut(p) = technique { p } else { 0.0 };
    let mut network = Network {
        hidden: LinearConfig::new(SIDE * SIDE, 256).init(&device),
        dropout: DropoutConfig::new(probability).init(),
        output: LinearConfig::new(256, CLASSES).init(&device),
    };
    let mut optimizer = match technique {
        L2(penalty) => AdamL2Config::new().with_l2_penalty(penalty).init(),
        WeightDecay(decay) => AdamWConfig::new().with_weight_decay(decay).init(),
        _ => AdamWConfig::new().with_weight_decay(0.0).init(),
    };
    let mut scores = Vec::new();
    // The least loss on the digits held out, and the epochs until then.
    let (mut least, mut best) = (f64::MAX, 0);
    while scores.len() < EPOCHS.min(best + patience) {
        train.shuffle(&mut random);
        for digits in train.chunks(50) {
            let mut digits = digits.to_vec();
            if let Shift(pixels) = technique {
                for digit in &mut digits {
                    let shift = [(); 2].map(|()| random.random_range(0..=2 * pixels));
                    *digit = shifted(digit, shift, pixels);
                }
            }
            let mut loss = network.forward(batch(&digits, &device)).0;
            if let L1(penalty) = technique {
                loss = loss + L1Penalty::new(penalty).of(&network);
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(1e-3, network, gradients);
        }
        scores.push(batches.each_ref().map(|batch| network.evaluate(batch)));
        if held_out.is_empty() {
            best = scores.len();
        } else {
            let loss = network.evaluate(&batch(&held_out, &device)).loss;
            if loss < least {
                (least, best) = (loss, scores.len());
            }
        }
    }
    // Early stopping goes back to the best weights.
    let epochs = scores.len();
    scores.truncate(best);
    scores.resize(EPOCHS, scores[best - 1]);
    (scores, epochs)
}

/// The mean, and the standard deviation of a sample.
fn statistics<const N: usize>(values: [f64; N]) -> [f64; 2] {
    let mean = values.iter().sum::<f64>() / N as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    [mean, (squares / (N - 1) as f64).sqrt()]
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let digits = Digits::load(&"embedded".into())?;
    let mut lines = Vec::new();
    println!("technique       train error (%)  test error (%)  epochs");
    for (row, (name, technique)) in (1..).zip(TECHNIQUES) {
        let runs = [0, 1, 2, 3, 4].map(|seed| train(technique, seed, &digits));
        let mean = |of: &dyn Fn(&Run) -> f64| statistics(runs.each_ref().map(of));
        let [train, _] = mean(&|run| run.0[EPOCHS - 1][0].error);
        let [test, deviation] = mean(&|run| run.0[EPOCHS - 1][1].error);
        let [trained, _] = mean(&|run| run.1 as f64);
        println!("{name:15} {train:15.2} {test:8.2} ± {deviation:.2} {trained:8.1}");

        let losses = epochs((0..EPOCHS).map(|epoch| mean(&|run| run.0[epoch][1].loss)[0]));
        let errors = [test - deviation, test, test + deviation];
        let errors = errors.map(|error| (f64::from(row), error));
        lines.push((name, [losses, errors.to_vec()]));
    }

    let panels = [
        ("test loss by epoch, mean of 5 runs", false),
        ("test error (%): mean and standard deviation", false),
    ];
    draw(&options.out, panels, &lines)?;
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
        let moved = shifted(&digit, shift, 2).pixels;
        moved.iter().position(|&pixel| pixel == 200)
    };
    assert_eq!(found([2, 2]), Some(SIDE * 3 + 5));
    assert_eq!(found([4, 1]), Some(SIDE * 4 + 3));
}

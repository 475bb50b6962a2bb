//! What an MNIST classifier loses where its moments are kept in fewer bytes: the test accuracy of an MLP
//! and of a CNN, over five seeds.
//!
//! ```text
//! cargo bench --bench accuracy
//! ```
//!
//! Every way to keep moments starts from the same weights and sees the same batches.

#[allow(dead_code, reason = "the example uses all of it")]
#[path = "../examples/mnist/digits.rs"]
mod digits;

use std::f64::consts::PI;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn_decay::{AdamWConfig, MomentPrecision};
use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};

use digits::{CLASSES, Digit, Digits, SIDE, normalize};

const SEEDS: u64 = 5;
const EPOCHS: usize = 10;
const BATCH_SIZE: usize = 64;
const MAX_LR: f64 = 1e-3;

trait Network: Module {
    fn new(device: &Device) -> Self;

    fn forward(&self, images: Tensor<2>) -> Tensor<2>;
}

#[derive(Module, Debug)]
struct Mlp {
    hidden: Linear,
    output: Linear,
}

impl Network for Mlp {
    fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(SIDE * SIDE, 256).init(device),
            output: LinearConfig::new(256, CLASSES).init(device),
        }
    }

    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(images)))
    }
}

#[derive(Module, Debug)]
struct Cnn {
    first: Conv2d,
    second: Conv2d,
    pool: MaxPool2d,
    output: Linear,
}

impl Network for Cnn {
    fn new(device: &Device) -> Self {
        Self {
            first: Conv2dConfig::new([1, 8], [3, 3]).init(device),
            second: Conv2dConfig::new([8, 16], [3, 3]).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            output: LinearConfig::new(16 * 5 * 5, CLASSES).init(device),
        }
    }

    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let [count, _] = images.dims();
        let images = images.reshape([count, 1, SIDE, SIDE]);
        let images = self.pool.forward(relu(self.first.forward(images)));
        let images = self.pool.forward(relu(self.second.forward(images)));
        self.output.forward(images.reshape([count, 16 * 5 * 5]))
    }
}

fn batch(digits: &[&Digit], device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let pixels = digits.iter().flat_map(|digit| digit.pixels.map(normalize));
    let images = TensorData::new(pixels.collect(), [digits.len(), SIDE * SIDE]);
    let labels: Vec<i32> = digits.iter().map(|digit| digit.label.into()).collect();
    let labels = Tensor::from_ints(labels.as_slice(), device);
    (Tensor::from_data(images, device), labels)
}

/// The test accuracy after training, in percent.
fn trained<N: Network>(digits: &Digits, precision: MomentPrecision, seed: u64) -> f64 {
    let device = Device::default().autodiff();
    device.seed(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let mut network = N::new(&device);
    let adamw = AdamWConfig::torch().with_weight_decay(0.1);
    let mut optimizer = adamw.with_moment_precision(precision).init();
    let steps = EPOCHS * (digits.train.len() / BATCH_SIZE);
    let mut order: Vec<&Digit> = digits.train.iter().collect();
    let mut step = 0;
    for _ in 0..EPOCHS {
        order.shuffle(&mut random);
        for digits in order.chunks_exact(BATCH_SIZE) {
            let (images, labels) = batch(digits, &device);
            let loss = CrossEntropyLossConfig::new().init(&device);
            let loss = loss.forward(network.forward(images), labels);
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            let lr = MAX_LR * (1.0 + (PI * step as f64 / steps as f64).cos()) / 2.0;
            network = optimizer.step(lr, network, gradients);
            step += 1;
        }
    }
    let network = network.valid();
    let right = |digits: &[Digit]| -> i64 {
        let (images, labels) = batch(&digits.iter().collect::<Vec<_>>(), &device.clone().inner());
        let guesses = network.forward(images).argmax(1).flatten::<1>(0, 1);
        guesses.equal(labels).int().sum().into_scalar()
    };
    let right: i64 = digits.test.chunks(500).map(right).sum();
    100.0 * right as f64 / digits.test.len() as f64
}

fn main() {
    let digits = Digits::load(&"embedded".into()).expect("they are in the program");
    println!(
        "test accuracy, mean and standard deviation over {SEEDS} seeds, after {EPOCHS} epochs"
    );
    for precision in [
        MomentPrecision::Full,
        MomentPrecision::Bf16,
        MomentPrecision::Bits8,
    ] {
        for (name, trained) in [
            ("MLP", trained::<Mlp> as fn(&Digits, _, _) -> f64),
            ("CNN", trained::<Cnn>),
        ] {
            let all: Vec<f64> = (0..SEEDS)
                .map(|seed| trained(&digits, precision, seed))
                .collect();
            let count = all.len() as f64;
            let mean = all.iter().sum::<f64>() / count;
            let square = all.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0);
            println!(
                "{precision:?} moments, {name}: {mean:.2} ± {:.2} %",
                square.sqrt()
            );
        }
    }
}

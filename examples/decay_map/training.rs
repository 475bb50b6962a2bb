//! One training run: the same weights and batches for every point of the maps.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn_decay::{AdamL2Config, AdamWConfig, DecayScaling, SgdL2Config, SgdWConfig};

use crate::digits::{CLASSES, Digit, Digits, SIDE, normalize};
use crate::options::{OptimizerName, Settings};
use crate::results::{Outcome, Point};

const HIDDEN: usize = 64;
const BATCH: usize = 50;

/// 784-64-64-10, each layer normalized, the logits too.
///
/// A norm takes back the scale of the weights before it, as in the paper's networks, so that decay
/// sets how far a step turns those weights, and not how large the activations are. Only the logits'
/// norm learns its gains and biases: they are vectors, which are left undecayed.
#[derive(Module, Debug)]
struct Network {
    hidden: [Linear; 2],
    norms: [LayerNorm; 2],
    output: Linear,
    logits: LayerNorm,
}

impl Network {
    fn new(device: &Device) -> Self {
        let linear = |inputs, outputs| {
            let linear = LinearConfig::new(inputs, outputs);
            linear.with_bias(false).init(device)
        };
        let norm = |size| LayerNormConfig::new(size).init(device);
        Self {
            hidden: [SIDE * SIDE, HIDDEN].map(|inputs| linear(inputs, HIDDEN)),
            norms: [(); 2].map(|()| norm(HIDDEN).no_grad()),
            output: linear(HIDDEN, CLASSES),
            logits: norm(CLASSES),
        }
    }

    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let hidden =
            |x, (linear, norm): (&Linear, &LayerNorm)| relu(norm.forward(linear.forward(x)));
        let features = self.hidden.iter().zip(&self.norms).fold(images, hidden);
        self.logits.forward(self.output.forward(features))
    }
}

/// What all runs share: the digits, and for each seed the first weights and the order of the images.
pub struct Problem {
    device: Device,
    train: Examples,
    /// The test images, and the training images that nothing trains on.
    test: Examples,
    starts: Vec<Start>,
}

struct Start {
    network: Network,
    /// The images' order in each epoch.
    orders: Vec<Vec<i32>>,
}

impl Problem {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let Digits {
            mut train,
            mut test,
        } = Digits::load(&settings.data)?;
        if settings.train_size > train.len() {
            return Err(format!(
                "--train-size: there are {} training images, not {}",
                train.len(),
                settings.train_size
            ));
        }
        test.extend(train.drain(settings.train_size..));
        let device = Device::flex();
        let start = |seed| {
            device.seed(seed as u64);
            let network = Network::new(&device.clone().autodiff());
            // Weights are drawn when they are first looked at, which must not be a run's business.
            network.forward(Tensor::zeros([1, SIDE * SIDE], &device.clone().autodiff()));
            let order = |epoch| {
                let count = settings.train_size as i32;
                shuffled(count, (seed * settings.epochs + epoch) as u64)
            };
            Start {
                network,
                orders: (0..settings.epochs).map(order).collect(),
            }
        };
        Ok(Self {
            starts: (0..settings.seeds).map(start).collect(),
            train: Examples::new(&train, &device.clone().autodiff()),
            test: Examples::new(&test, &device),
            device,
        })
    }

    /// Trains a network at one point of a map.
    pub fn run(&self, point: &Point, learning_rate: f64, lambda: f64) -> Outcome {
        let start = &self.starts[point.seed];
        let device = self.device.clone().autodiff();
        let loss_function = CrossEntropyLossConfig::new().init(&device);
        let mut network = start.network.clone();
        let mut optimizer = point.optimizer.init(learning_rate, lambda);
        let steps_per_epoch = self.train.count().div_ceil(BATCH);
        let steps = start.orders.len() * steps_per_epoch;

        for (epoch, order) in start.orders.iter().enumerate() {
            let mut last_loss = 0.0;
            for (i, batch) in order.chunks(BATCH).enumerate() {
                let Examples { images, labels } = self.train.select(batch);
                let loss = loss_function.forward(network.forward(images), labels);
                last_loss = loss.clone().into_scalar();

                let turn = (epoch * steps_per_epoch + i) as f64 / steps as f64;
                let schedule = (1.0 + (core::f64::consts::PI * turn).cos()) / 2.0;
                let gradients = GradientsParams::from_grads(loss.backward(), &network);
                network = optimizer.step(schedule * learning_rate, network, gradients);
            }
            // What has become infinite does not come back.
            if !f64::is_finite(last_loss) {
                let unseen = self.test.count();
                return Outcome {
                    wrong: unseen - unseen / CLASSES,
                    unseen,
                    diverged: true,
                };
            }
        }
        self.test(&network.valid())
    }

    fn test(&self, network: &Network) -> Outcome {
        let Examples { images, labels } = self.test.clone();
        let guesses = network.forward(images).argmax(1).flatten::<1>(0, 1);
        let wrong: i64 = guesses.not_equal(labels).int().sum().into_scalar();
        Outcome {
            wrong: wrong as usize,
            unseen: self.test.count(),
            diverged: false,
        }
    }
}

/// Digits as a network takes them: the images, each a row, and their labels.
#[derive(Clone)]
struct Examples {
    images: Tensor<2>,
    labels: Tensor<1, Int>,
}

impl Examples {
    fn new(digits: &[Digit], device: &Device) -> Self {
        let pixels = digits.iter().flat_map(|digit| digit.pixels);
        let pixels: Vec<f32> = pixels.map(normalize).collect();
        let labels: Vec<i32> = digits.iter().map(|digit| i32::from(digit.label)).collect();
        let shape = [digits.len(), SIDE * SIDE];
        Self {
            images: Tensor::from_data(TensorData::new(pixels, shape), device),
            labels: Tensor::from_ints(labels.as_slice(), device),
        }
    }

    fn count(&self) -> usize {
        self.labels.dims()[0]
    }

    fn select(&self, places: &[i32]) -> Self {
        let places = Tensor::<1, Int>::from_ints(places, &self.labels.device());
        Self {
            images: self.images.clone().select(0, places.clone()),
            labels: self.labels.clone().select(0, places),
        }
    }
}

/// The numbers below `count` in an order that the seed gives (Fisher and Yates, with SplitMix64).
fn shuffled(count: i32, seed: u64) -> Vec<i32> {
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut order: Vec<i32> = (0..count).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, (random() % (i as u64 + 1)) as usize);
    }
    order
}

impl OptimizerName {
    fn init(self, max_lr: f64, lambda: f64) -> ModuleOptimizer {
        let paper = DecayScaling::Schedule { max_lr };
        let momentum = Some(MomentumConfig::new().with_dampening(0.0));
        match self {
            Self::AdamL2 => AdamL2Config::torch()
                .with_l2_penalty(lambda)
                .with_decay_vectors(false)
                .init(),
            Self::AdamW => AdamWConfig::torch()
                .with_weight_decay(lambda)
                .with_decay_scaling(paper)
                .with_decay_vectors(false)
                .init(),
            Self::AdamWTorch => AdamWConfig::torch()
                .with_weight_decay(lambda)
                .with_decay_vectors(false)
                .init(),
            Self::SgdL2 => SgdL2Config::new()
                .with_l2_penalty(lambda)
                .with_momentum(momentum)
                .with_decay_vectors(false)
                .init(),
            Self::SgdW => SgdWConfig::new()
                .with_weight_decay(lambda)
                .with_decay_scaling(paper)
                .with_momentum(momentum)
                .with_decay_vectors(false)
                .init(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_number() {
        let mut order = shuffled(100, 1);
        assert_ne!(order, shuffled(100, 2));
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}

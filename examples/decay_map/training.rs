//! One training run.

use std::ops::Range;

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig};
use burn::optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, momentum::MomentumConfig};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn_decay::{AdamL2Config, AdamWConfig, DecayScaling, MomentPrecision};
use burn_decay::{SgdL2Config, SgdWConfig};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use crate::digits::{CLASSES, Data, Digits, SIDE, normalize};
use crate::options::OptimizerName;

const TRAIN_SIZE: usize = 1000;
const IMAGE: usize = SIDE * SIDE;
const BATCH: usize = 50;
const HIDDEN: usize = 64;

/// All that the outcome of a run depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub optimizer: OptimizerName,
    pub learning_rate: f64,
    pub lambda: f64,
    pub seed: usize,
    pub epochs: usize,
    pub data: Data,
    #[serde(default)]
    pub moments: MomentPrecision,
}

/// The validation error and the test error, in percent.
pub type Errors = [f64; 2];

/// What all runs share: the digits, and the first weights of each seed.
pub struct Problem {
    /// First those that are trained on, then those for validation, then those for the test.
    images: Tensor<2>,
    labels: Tensor<1, Int>,
    networks: Vec<Network>,
}

impl Problem {
    pub fn new(data: &Data, seeds: usize) -> Result<Self, String> {
        let Digits { train, test } = Digits::load(data)?;
        if train.len() < TRAIN_SIZE {
            let there = train.len();
            return Err(format!("--data: {there} training digits, not {TRAIN_SIZE}"));
        }
        let digits = [train, test].concat();
        let pixels = digits.iter().flat_map(|digit| digit.pixels);
        let pixels: Vec<f32> = pixels.map(normalize).collect();
        let labels: Vec<i32> = digits.iter().map(|digit| digit.label.into()).collect();

        let device = Device::flex().autodiff();
        let network = |seed| {
            device.seed(seed as u64);
            Network::new(&device).valid()
        };
        Ok(Self {
            images: Tensor::<1>::from_floats(&pixels[..], &device).reshape([-1, IMAGE as i32]),
            labels: Tensor::from_ints(&labels[..], &device),
            networks: (0..seeds).map(network).collect(),
        })
    }

    pub fn train(&self, run: &Run) -> Errors {
        let device = self.images.device();
        // On graphs of its own: two threads that share one may wait for each other for ever, in Burn.
        let mut network = self.networks[run.seed].clone().train();
        let mut optimizer = run.optimizer.init(run);
        let loss_function = CrossEntropyLossConfig::new().init(&device);
        let steps = run.epochs * TRAIN_SIZE / BATCH;
        let schedule = CosineAnnealingLrSchedulerConfig::new(1.0, steps).init();
        let mut schedule = schedule.expect("there are steps");
        let mut random = StdRng::seed_from_u64(run.seed as u64);
        let mut order: Vec<i32> = (0..TRAIN_SIZE as i32).collect();

        for _ in 0..run.epochs {
            order.shuffle(&mut random);
            for batch in order.chunks(BATCH) {
                let batch = Tensor::<1, Int>::from_ints(batch, &device);
                let images = self.images.clone().select(0, batch.clone());
                let labels = self.labels.clone().select(0, batch);
                let loss = loss_function.forward(network.forward(images), labels);
                let gradients = GradientsParams::from_grads(loss.backward(), &network);
                let learning_rate = run.learning_rate * schedule.step().base();
                network = optimizer.step(learning_rate, network, gradients);
            }
        }
        let (network, count) = (network.valid(), self.labels.dims()[0]);
        let middle = (TRAIN_SIZE + count) / 2;
        [TRAIN_SIZE..middle, middle..count].map(|digits| self.error(&network, digits))
    }

    fn error(&self, network: &Network, digits: Range<usize>) -> f64 {
        let images = self.images.clone().inner().slice([digits.clone()]);
        let labels = self.labels.clone().inner().slice([digits]);
        let guesses = network.forward(images).argmax(1).flatten(0, 1);
        let share: f64 = guesses.not_equal(labels).float().mean().into_scalar();
        // To a few digits, which a file keeps to the last bit.
        (1e5 * share).round() / 1e3
    }
}

impl OptimizerName {
    fn init(self, run: &Run) -> ModuleOptimizer {
        let (max_lr, lambda, moments) = (run.learning_rate, run.lambda, run.moments);
        let paper = DecayScaling::Schedule { max_lr };
        let momentum = Some(MomentumConfig::new().with_dampening(0.0));
        let adamw = AdamWConfig::torch()
            .with_weight_decay(lambda)
            .with_moment_precision(moments)
            .with_decay_vectors(false);
        match self {
            Self::AdamL2 => AdamL2Config::torch()
                .with_l2_penalty(lambda)
                .with_moment_precision(moments)
                .with_decay_vectors(false)
                .init(),
            Self::Adamw => adamw.with_decay_scaling(paper).init(),
            Self::AdamwTorch => adamw.init(),
            Self::SgdL2 => SgdL2Config::new()
                .with_l2_penalty(lambda)
                .with_moment_precision(moments)
                .with_decay_vectors(false)
                .with_momentum(momentum)
                .init(),
            Self::Sgdw => SgdWConfig::new()
                .with_weight_decay(lambda)
                .with_moment_precision(moments)
                .with_decay_vectors(false)
                .with_decay_scaling(paper)
                .with_momentum(momentum)
                .init(),
        }
    }
}

/// 784-64-64-10, each layer normalized, the logits too.
///
/// A norm takes back the scale of the weights before it, as in the paper's networks, so that decay
/// sets how far a step turns those weights. Only the logits' norm learns: vectors, left undecayed.
#[derive(Module, Debug)]
struct Network {
    hidden: [Linear; 2],
    norm: LayerNorm,
    output: Linear,
    logits: LayerNorm,
}

impl Network {
    fn new(device: &Device) -> Self {
        let linear = |inputs, outputs| {
            let linear = LinearConfig::new(inputs, outputs);
            linear.with_bias(false).init(device)
        };
        let network = Self {
            hidden: [IMAGE, HIDDEN].map(|inputs| linear(inputs, HIDDEN)),
            norm: LayerNormConfig::new(HIDDEN).init(device).no_grad(),
            output: linear(HIDDEN, CLASSES),
            logits: LayerNormConfig::new(CLASSES).init(device),
        };
        // Weights are drawn when they are first looked at: here, and not in a run.
        network.forward(Tensor::zeros([1, IMAGE], device));
        network
    }

    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let layer = |x, linear: &Linear| relu(self.norm.forward(linear.forward(x)));
        let features = self.hidden.iter().fold(images, layer);
        self.logits.forward(self.output.forward(features))
    }
}

//! The classifiers.

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::train::{ClassificationOutput, InferenceStep, TrainOutput, TrainStep};
use burn_decay::{L1Penalty, L2Penalty};

use crate::batches::Batch;
use crate::digits::{CLASSES, SIDE};
use crate::metric::Evaluation;
use crate::options::{ModelName, Penalty, Settings};

#[derive(Module, Debug)]
pub struct Classifier {
    network: Network,
    dropout: Dropout,
    #[module(skip)]
    penalties: Vec<Penalty>,
}

#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it is not moved about"
)]
enum Network {
    Mlp(Mlp),
    Cnn(Cnn),
}

/// 784-512-512-10.
#[derive(Module, Debug)]
struct Mlp {
    hidden: [Linear; 2],
    output: Linear,
}

/// Two convolutions, each followed by pooling, and two linear layers.
#[derive(Module, Debug)]
struct Cnn {
    convolutions: [Conv2d; 2],
    pool: MaxPool2d,
    hidden: Linear,
    output: Linear,
}

impl Classifier {
    pub fn new(settings: &Settings, device: &Device) -> Self {
        let network = match settings.model {
            ModelName::Mlp => Network::Mlp(Mlp::new(device)),
            ModelName::Cnn => Network::Cnn(Cnn::new(device)),
        };
        Self {
            network,
            dropout: DropoutConfig::new(settings.dropout).init(),
            penalties: settings.penalty.clone(),
        }
    }

    /// Images of shape [batch, 28, 28] to logits of shape [batch, 10].
    fn forward(&self, images: Tensor<3>) -> Tensor<2> {
        match &self.network {
            Network::Mlp(mlp) => mlp.forward(images, &self.dropout),
            Network::Cnn(cnn) => cnn.forward(images, &self.dropout),
        }
    }

    fn classify(&self, batch: Batch) -> ClassificationOutput {
        let output = self.forward(batch.images);
        let loss = CrossEntropyLossConfig::new().init(&output.device());
        let loss = loss.forward(output.clone(), batch.labels.clone());
        ClassificationOutput::new(loss, output, batch.labels)
    }

    /// ‖θ‖ over all parameters.
    fn weight_norm(&self) -> Tensor<1> {
        let mut squares = Squares(Vec::new());
        self.visit(&mut squares);
        Tensor::cat(squares.0, 0).sum().sqrt()
    }
}

struct Squares(Vec<Tensor<1>>);

impl ModuleVisitor for Squares {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.0.push(parameter.val().square().sum());
    }
}

impl Mlp {
    fn new(device: &Device) -> Self {
        const HIDDEN: usize = 512;
        Self {
            hidden: [SIDE * SIDE, HIDDEN]
                .map(|inputs| LinearConfig::new(inputs, HIDDEN).init(device)),
            output: LinearConfig::new(HIDDEN, CLASSES).init(device),
        }
    }

    fn forward(&self, images: Tensor<3>, dropout: &Dropout) -> Tensor<2> {
        let hidden = |x, layer: &Linear| dropout.forward(relu(layer.forward(x)));
        self.output
            .forward(self.hidden.iter().fold(images.flatten(1, 2), hidden))
    }
}

impl Cnn {
    fn new(device: &Device) -> Self {
        const CHANNELS: [usize; 3] = [1, 16, 32];
        let convolution = |channels: [usize; 2]| {
            let config = Conv2dConfig::new(channels, [3, 3]);
            config.with_padding(PaddingConfig2d::Same).init(device)
        };
        let pooled = SIDE / 4 * (SIDE / 4) * CHANNELS[2];
        Self {
            convolutions: [0, 1].map(|i| convolution([CHANNELS[i], CHANNELS[i + 1]])),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            hidden: LinearConfig::new(pooled, 128).init(device),
            output: LinearConfig::new(128, CLASSES).init(device),
        }
    }

    fn forward(&self, images: Tensor<3>, dropout: &Dropout) -> Tensor<2> {
        let convolve = |x, layer: &Conv2d| self.pool.forward(relu(layer.forward(x)));
        let features = self
            .convolutions
            .iter()
            .fold(images.unsqueeze_dim(1), convolve);
        let hidden = relu(self.hidden.forward(features.flatten(1, 3)));
        self.output.forward(dropout.forward(hidden))
    }
}

impl Penalty {
    /// The term of the loss.
    fn of(self, model: &Classifier) -> Tensor<1> {
        match self {
            Self::L1(lambda) => L1Penalty::new(lambda).with_vectors(false).of(model),
            Self::L2(lambda) => L2Penalty::new(lambda).with_vectors(false).of(model),
        }
    }
}

impl TrainStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let item = self.classify(batch);
        let penalized = |loss, penalty: &Penalty| loss + penalty.of(self);
        let loss = self.penalties.iter().fold(item.loss.clone(), penalized);
        TrainOutput::new(self, loss.backward(), item)
    }
}

impl InferenceStep for Classifier {
    type Input = Batch;
    type Output = Evaluation;

    fn step(&self, batch: Batch) -> Evaluation {
        Evaluation {
            classification: self.classify(batch),
            weight_norm: self.weight_norm(),
        }
    }
}

//! The heart of the example: the model, the optimizers, and Burn's `Learner`.

use std::io::{IsTerminal, stdout};
use std::path::Path;

use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{ModuleOptimizer, momentum::MomentumConfig};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::*;
use burn_decay::{AdamL2Config, AdamWConfig, ConfigError, SgdL2Config, SgdWConfig};

use crate::batches::{Batch, test_loader, train_loader};
use crate::digits::{CLASSES, Digits, SIDE};
use crate::lines::Lines;
use crate::options::{Options, Scheme};
use crate::resume::last_checkpoint;

/// 784-512-512-10.
#[derive(Module, Debug)]
pub struct Classifier {
    pub hidden: [Linear; 2],
    output: Linear,
}

impl Classifier {
    fn new(device: &Device) -> Self {
        Self {
            hidden: [SIDE * SIDE, 512].map(|inputs| LinearConfig::new(inputs, 512).init(device)),
            output: LinearConfig::new(512, CLASSES).init(device),
        }
    }

    pub fn classify(&self, Batch { images, labels }: Batch) -> ClassificationOutput {
        let hidden = |x, layer: &Linear| relu(layer.forward(x));
        let logits = self.output.forward(self.hidden.iter().fold(images, hidden));
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        let loss = loss.forward(logits.clone(), labels.clone());
        ClassificationOutput::new(loss, logits, labels)
    }
}

impl TrainStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = self.classify(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl InferenceStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        self.classify(batch)
    }
}

impl Scheme {
    pub fn optimizer(self, lambda: f64) -> Result<ModuleOptimizer, ConfigError> {
        let momentum = Some(MomentumConfig::new().with_dampening(0.0));
        match self {
            Self::AdamL2 => AdamL2Config::new().with_l2_penalty(lambda).try_init(),
            Self::AdamW => AdamWConfig::new().with_weight_decay(lambda).try_init(),
            Self::SgdL2 => SgdL2Config::new()
                .with_l2_penalty(lambda)
                .with_momentum(momentum)
                .try_init(),
            Self::SgdW => SgdWConfig::new()
                .with_weight_decay(lambda)
                .with_momentum(momentum)
                .try_init(),
        }
    }

    /// What is to be trained, from its start. The same seed gives every scheme the same weights.
    pub fn learner(self, options: &Options, images: usize) -> Result<Learner<Classifier>, String> {
        let (learning_rate, lambda) = self.coefficients(options);
        let steps = options.epochs.get() * images.div_ceil(options.batch_size.get());
        let schedule = CosineAnnealingLrSchedulerConfig::new(learning_rate, steps).init();
        let schedule =
            schedule.map_err(|error| format!("--learning-rate {learning_rate}: {error}"))?;
        let optimizer = self.optimizer(lambda).map_err(|error| error.to_string())?;
        let device = Device::default().autodiff();
        device.seed(options.seed);
        Ok(Learner::new(Classifier::new(&device), optimizer, schedule))
    }

    /// Trains from the start, or from the last checkpoint in the folder.
    pub fn train(
        self,
        options: &Options,
        digits: &Digits,
        folder: &Path,
    ) -> Result<Classifier, String> {
        let done = last_checkpoint(folder, options.epochs.get());
        let train = train_loader(&digits.train, options, done.unwrap_or(0));
        let mut training = SupervisedTraining::new(folder, train, test_loader(&digits.test))
            .metrics((LossMetric::new(), AccuracyMetric::new()))
            .with_default_checkpointers()
            .with_application_logger(None)
            .label(&format!("{self:?}"))
            .num_epochs(options.epochs.get());
        if let Some(epoch) = done {
            training = training.checkpoint(epoch);
        }
        if !stdout().is_terminal() {
            training = training.renderer(Box::new(Lines::default()));
        }
        let result = training.launch(self.learner(options, digits.train.len())?);
        match (result.error, result.interrupted) {
            (Some(error), _) => Err(format!("{self:?}: {error}")),
            (_, Some(_)) => Err("interrupted; --resume goes on from the last checkpoint".into()),
            _ => Ok(result.model.train()),
        }
    }
}

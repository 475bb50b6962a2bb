//! The heart of the example: the model, the optimizers, and Burn's `Learner`.

use std::{error::Error, io::IsTerminal, path::Path};

use burn::lr_scheduler::{LrSchedulerRecord, cosine::CosineAnnealingLrSchedulerConfig};
use burn::nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig};
use burn::optim::{ModuleOptimizer, OptimizerRecord, momentum::MomentumConfig};
use burn::tensor::{Device, activation::relu};
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::{module::Module, store::ModuleRecord, train::*};
use burn_decay::{AdamL2Config, AdamWConfig, SgdL2Config, SgdWConfig};

use crate::batches::{BATCH_SIZE, Batch, loader};
use crate::digits::{CLASSES, Digits, SIDE};
use crate::lines::Lines;
use crate::options::{Options, Scheme};

#[derive(Module, Debug)]
pub struct Classifier {
    pub layers: [Linear; 3],
}

impl InferenceStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;
    fn step(&self, (images, labels): Batch) -> ClassificationOutput {
        let [first, second, last] = &self.layers;
        let logits = last.forward(relu(second.forward(relu(first.forward(images)))));
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        let loss = loss.forward(logits.clone(), labels.clone());
        ClassificationOutput::new(loss, logits, labels)
    }
}

impl TrainStep for Classifier {
    type Input = Batch;
    type Output = ClassificationOutput;
    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = InferenceStep::step(self, batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl Scheme {
    pub fn optimizer(self, lambda: f64) -> Result<ModuleOptimizer, String> {
        let momentum = Some(MomentumConfig::new().with_dampening(0.0));
        let sgd_l2 = SgdL2Config::new().with_momentum(momentum.clone());
        let sgdw = SgdWConfig::new().with_momentum(momentum);
        let optimizer = match self {
            Self::AdamL2 => AdamL2Config::new().with_l2_penalty(lambda).try_init(),
            Self::AdamW => AdamWConfig::new().with_weight_decay(lambda).try_init(),
            Self::SgdL2 => sgd_l2.with_l2_penalty(lambda).try_init(),
            Self::SgdW => sgdw.with_weight_decay(lambda).try_init(),
        };
        optimizer.map_err(|error| format!("--lambda: {error}"))
    }

    /// Trains from the start, or from the last checkpoint in the folder.
    pub fn train(
        self,
        options: &Options,
        digits: &Digits,
        folder: &Path,
    ) -> Result<Classifier, Box<dyn Error>> {
        let epochs = options.epochs.into();
        let (learning_rate, lambda) = options.coefficients(self);
        let steps = epochs * digits.train.len().div_ceil(BATCH_SIZE);
        let schedule = CosineAnnealingLrSchedulerConfig::new(learning_rate, steps).init()?;
        // The same seed gives every scheme the same weights.
        let device = Device::default().autodiff();
        device.seed(42);
        let layers = [(SIDE * SIDE, 512), (512, 512), (512, CLASSES)];
        let layers = layers.map(|(from, to)| LinearConfig::new(from, to).init(&device));
        let learner = Learner::new(Classifier { layers }, self.optimizer(lambda)?, schedule);

        let done = last_checkpoint(folder, epochs);
        let [train, test] = [&digits.train, &digits.test].map(|digits| loader(digits, done));
        let mut training = SupervisedTraining::new(folder, train, test)
            .metrics((LossMetric::new(), AccuracyMetric::new()))
            .with_default_checkpointers()
            .with_application_logger(None)
            .num_epochs(epochs);
        if done > 0 {
            training = training.checkpoint(done);
        }
        if !std::io::stdout().is_terminal() {
            training = training.renderer(Box::new(Lines));
        }
        let result = training.launch(learner);
        match (result.error, result.interrupted) {
            (Some(error), _) => Err(error.into()),
            (_, Some(_)) => Err("interrupted; --resume goes on from the last checkpoint".into()),
            _ => Ok(result.model.train()),
        }
    }
}

/// The last epoch whose checkpoint is whole: a run that was killed may have left half of one.
fn last_checkpoint(folder: &Path, epochs: usize) -> usize {
    let whole = |epoch: &usize| {
        let file = |name| folder.join(format!("checkpoint/{name}-{epoch}.bpk"));
        ModuleRecord::load(file("model")).is_ok()
            && OptimizerRecord::load(file("optim")).is_ok()
            && LrSchedulerRecord::load(file("scheduler")).is_ok()
    };
    (1..=epochs).rev().find(whole).unwrap_or(0)
}

//! The heart of the example: the optimizers, and Burn's `Learner`.

use std::{error::Error, io::IsTerminal, path::Path};

use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::module::Module;
use burn::optim::{ModuleOptimizer, momentum::MomentumConfig};
use burn::tensor::Device;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::{Learner, SupervisedTraining};
use burn_decay::{AdamL2Config, AdamWConfig, SgdL2Config, SgdWConfig};

use crate::batches::{BATCH_SIZE, loader};
use crate::checkpoints::{Checkpoints, last_whole};
use crate::digits::Digits;
use crate::lines::Lines;
use crate::model::Classifier;
use crate::options::{Options, Scheme};

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
        let classifier = Classifier::new(&Device::default().autodiff());
        let learner = Learner::new(classifier, self.optimizer(lambda)?, schedule);

        let done = last_whole(folder, epochs)?;
        let [model, optimizer, scheduler] = Checkpoints::all(folder);
        let [train, test] = [&digits.train, &digits.test].map(|digits| loader(digits, done));
        let mut training = SupervisedTraining::new(folder, train, test)
            .metrics((LossMetric::new(), AccuracyMetric::new()))
            .with_custom_checkpointers(model, optimizer, scheduler)
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

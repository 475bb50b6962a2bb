//! One run through Burn's `Learner`, and what its logs say of every epoch.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

use burn::lr_scheduler::LrSchedulerRecord;
use burn::lr_scheduler::constant::ConstantLr;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::prelude::*;
use burn::store::ModuleRecord;
use burn::train::logger::{FileMetricLogger, MetricLogger};
use burn::train::metric::store::{Aggregate, Direction, EventStoreClient, Split};
use burn::train::metric::{AccuracyMetric, LossMetric, NumericEntry};
use burn::train::{
    EarlyStoppingStrategy, ExecutionStrategy, Learner, MetricEarlyStoppingStrategy,
    StoppingCondition, SupervisedTraining,
};
use burn_decay::{
    AdamL2Config, AdamWConfig, CosineWarmRestartsLrSchedulerConfig, SgdL2Config, SgdWConfig,
};

use crate::batches::{test_loader, train_loader};
use crate::digits::Digits;
use crate::lines::Lines;
use crate::metric::WeightNormMetric;
use crate::model::Classifier;
use crate::options::{OptimizerName, Options, ScheduleName, Settings};

pub struct Run {
    pub optimizer: OptimizerName,
    pub history: Vec<Epoch>,
    /// How long the training took, where it ran from its start.
    pub seconds: Option<f64>,
}

pub struct Epoch {
    /// The mean over the batches, each before its step.
    pub train_loss: f64,
    pub test_loss: f64,
    /// Of 1.
    pub test_accuracy: f64,
    pub weight_norm: f64,
}

impl OptimizerName {
    pub fn init(self, settings: &Settings) -> Result<ModuleOptimizer, String> {
        let lambda = self.lambda(settings);
        let momentum = Some(MomentumConfig::new().with_dampening(0.0));
        let optimizer = match self {
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
        };
        optimizer.map_err(|error| error.to_string())
    }
}

impl ScheduleName {
    /// The schedule over `steps` steps.
    fn init(self, learning_rate: f64, steps: usize) -> Result<ModuleLrScheduler, String> {
        match self {
            Self::Constant => Ok(ConstantLr::new(learning_rate).into()),
            Self::Cosine => CosineAnnealingLrSchedulerConfig::new(learning_rate, steps).init(),
            Self::WarmRestarts => {
                let first_cycle = steps.div_ceil(3);
                CosineWarmRestartsLrSchedulerConfig::new(learning_rate, first_cycle)
                    .with_cycle_factor(2)
                    .try_init()
                    .map_err(|error| error.to_string())
            }
        }
    }
}

/// Trains from where the checkpoints in the run's folder end, or from `initial`.
pub fn train(
    name: OptimizerName,
    options: &Options,
    digits: &Digits,
    initial: &Classifier,
    device: &Device,
) -> Result<Run, String> {
    let Options {
        settings, epochs, ..
    } = options;
    let folder = options.out.join(name.as_str());
    let epochs_done = last_checkpoint(&folder.join("checkpoint"))?;
    let mut seconds = None;

    let done = epochs_done.unwrap_or(0);
    let stopped = match settings.early_stopping {
        Some(patience) => has_stopped(&read_history(&folder, done)?, patience),
        None => false,
    };

    if done < *epochs && !stopped {
        let steps = epochs * digits.train.len().div_ceil(settings.batch_size);
        let schedule = settings
            .schedule
            .init(name.learning_rate(settings), steps)?;
        let learner = Learner::new(initial.clone(), name.init(settings)?, schedule);
        let batches = train_loader(digits.train.clone(), settings, done);
        let mut training =
            SupervisedTraining::new(&folder, batches, test_loader(digits.test.clone()))
                .with_training_strategy(ExecutionStrategy::single(device.clone()).into())
                .metric_train_numeric(LossMetric::new())
                .metric_train_numeric(AccuracyMetric::new())
                .metric_valid_numeric(LossMetric::new())
                .metric_valid_numeric(AccuracyMetric::new())
                .metric_valid_numeric(WeightNormMetric::new())
                .with_default_checkpointers()
                .with_application_logger(None)
                .label(name.as_str())
                .num_epochs(*epochs);
        if let Some(epoch) = epochs_done {
            training = training.checkpoint(epoch);
        }
        if let Some(patience) = settings.early_stopping {
            training = training.early_stopping(EarlyStopping::new(patience, done));
        }
        if !std::io::stdout().is_terminal() {
            training = training.renderer(Box::new(Lines::default()));
        }

        let start = Instant::now();
        let result = training.launch(learner);
        if let Some(error) = result.error {
            return Err(format!("{}: {error}", name.as_str()));
        }
        if result.interrupted.is_some() {
            return Err("interrupted; --resume goes on from the last checkpoint".into());
        }
        seconds = epochs_done.is_none().then(|| start.elapsed().as_secs_f64());
    }

    let last = last_checkpoint(&folder.join("checkpoint"))?.unwrap_or(0);
    Ok(Run {
        optimizer: name,
        history: read_history(&folder, last.min(*epochs))?,
        seconds,
    })
}

fn read_history(folder: &Path, epochs: usize) -> Result<Vec<Epoch>, String> {
    (1..=epochs)
        .map(|epoch| read_epoch(folder, epoch))
        .collect()
}

/// Whether the test loss has not been better than before for `patience` epochs.
fn has_stopped(history: &[Epoch], patience: usize) -> bool {
    let losses = || history.iter().map(|epoch| epoch.test_loss);
    let best = losses().fold(f64::MAX, f64::min);
    let best_epoch = losses().position(|loss| loss == best).unwrap_or(0);
    history.len() > best_epoch + patience
}

/// Burn's early stopping, which a resumed run shows the epochs of before.
#[derive(Clone)]
struct EarlyStopping {
    strategy: MetricEarlyStoppingStrategy,
    unseen: usize,
}

impl EarlyStopping {
    fn new(patience: usize, epochs_done: usize) -> Self {
        let strategy = MetricEarlyStoppingStrategy::new(
            &LossMetric::new(),
            Aggregate::Mean,
            Direction::Lowest,
            Split::Valid,
            StoppingCondition::NoImprovementSince { n_epochs: patience },
        );
        Self {
            strategy,
            unseen: epochs_done,
        }
    }
}

impl EarlyStoppingStrategy for EarlyStopping {
    fn should_stop(&mut self, epoch: usize, store: &EventStoreClient) -> bool {
        for before in 1..=core::mem::take(&mut self.unseen) {
            self.strategy.should_stop(before, store);
        }
        self.strategy.should_stop(epoch, store)
    }
}

/// The last epoch whose checkpoint is whole: a run that was killed may have left half of one.
fn last_checkpoint(folder: &Path) -> Result<Option<usize>, String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(None);
    };
    let epoch = |name: &str| {
        name.strip_prefix("model-")?
            .strip_suffix(".bpk")?
            .parse()
            .ok()
    };
    let mut epochs: Vec<usize> = entries
        .flatten()
        .filter_map(|entry| epoch(entry.file_name().to_str()?))
        .collect();
    epochs.sort_unstable();

    let file = |name: &str, epoch: usize| folder.join(format!("{name}-{epoch}.bpk"));
    let whole = |epoch: &usize| {
        ModuleRecord::load(file("model", *epoch)).is_ok()
            && OptimizerRecord::load(file("optim", *epoch)).is_ok()
            && LrSchedulerRecord::load(file("scheduler", *epoch)).is_ok()
    };
    match epochs.iter().rfind(|epoch| whole(epoch)) {
        Some(epoch) => Ok(Some(*epoch)),
        None if epochs.is_empty() => Ok(None),
        None => Err(format!("{}: no checkpoint that is whole", folder.display())),
    }
}

fn read_epoch(folder: &Path, epoch: usize) -> Result<Epoch, String> {
    let mut logs = FileMetricLogger::new(folder);
    let mut last = |name: &str, split: Split| {
        let entries = logs.read_numeric(name, epoch, &split)?;
        let last = entries
            .iter()
            .rev()
            .find(|entry| matches!(entry, NumericEntry::Final(_)));
        let missing = || {
            format!(
                "{}: no {name} of epoch {epoch} in the logs",
                folder.display()
            )
        };
        last.map(NumericEntry::current).ok_or_else(missing)
    };
    Ok(Epoch {
        train_loss: last("Loss", Split::Train)?,
        test_loss: last("Loss", Split::Valid)?,
        test_accuracy: last("Accuracy", Split::Valid)? / 100.0,
        weight_norm: last(WeightNormMetric::NAME, Split::Valid)?,
    })
}

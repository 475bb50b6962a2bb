use burn::config::Config;
use burn::optim::LearningRate;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::optim::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::serde::{Deserialize, Serialize};

use crate::config::{ConfigError, at_least_one, constructors, positive, within};

/// Configuration of [`CosineWarmRestartsLrScheduler`].
///
/// AdamW with warm restarts (AdamWR), where the schedule scales the decay as it scales the step:
///
/// ```
/// use burn_decay::{AdamWConfig, CosineWarmRestartsLrSchedulerConfig, DecayScaling};
///
/// let max_lr = 1e-3;
/// let optimizer = AdamWConfig::new()
///     .with_decay_scaling(DecayScaling::Schedule { max_lr })
///     .init();
/// // 10 epochs of 938 batches, then 20, then 40, …
/// let scheduler = CosineWarmRestartsLrSchedulerConfig::new(max_lr, 10)
///     .with_cycle_factor(2)
///     .with_steps_per_epoch(938)
///     .init();
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", deny_unknown_fields)]
#[must_use]
#[non_exhaustive]
pub struct CosineWarmRestartsLrSchedulerConfig {
    /// η_max, which every cycle starts with. Greater than 0, and finite in f32.
    pub max_lr: LearningRate,
    /// T₀, the length of the first cycle in epochs. At least 1.
    pub first_cycle: usize,
    /// η_min, which every cycle falls to. At least 0, at most `max_lr`.
    #[serde(default)]
    pub min_lr: LearningRate,
    /// T_mult: how many times as long as the one before it a cycle is. At least 1.
    #[serde(default = "one")]
    pub cycle_factor: usize,
    /// The length of an epoch in steps; with 1, `first_cycle` counts steps. At least 1.
    #[serde(default = "one")]
    pub steps_per_epoch: usize,
}

fn one() -> usize {
    1
}

impl Config for CosineWarmRestartsLrSchedulerConfig {}

/// The cosine schedule with warm restarts.
///
/// ```text
/// η_t = η_min + (η_max - η_min)·(1 + cos(π·T_cur/T_i))/2
/// ```
///
/// T_cur counts the steps since the last restart and T_i those between two: `T₀·T_mult^i` epochs in
/// cycle i. A cycle starts with η_max, and its end is the next one's start. See
/// [SGDR: Stochastic Gradient Descent with Warm Restarts](https://arxiv.org/abs/1608.03983),
/// equation 5, and [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101),
/// appendix B.2. The rates are those of PyTorch's `CosineAnnealingWarmRestarts`, stepped with the
/// fraction of the epoch.
///
/// Configured by [`CosineWarmRestartsLrSchedulerConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineWarmRestartsLrScheduler {
    max_lr: f64,
    min_lr: f64,
    /// T₀ in steps.
    first_cycle: usize,
    cycle_factor: usize,
    /// The steps taken.
    step: usize,
}

impl CosineWarmRestartsLrSchedulerConfig {
    /// Cycles of `first_cycle` steps each, from `max_lr` to 0.
    pub fn new(max_lr: LearningRate, first_cycle: usize) -> Self {
        Self {
            max_lr,
            first_cycle,
            min_lr: 0.0,
            cycle_factor: 1,
            steps_per_epoch: 1,
        }
    }

    /// η_min, which every cycle falls to. Default: 0.
    pub fn with_min_lr(mut self, min_lr: LearningRate) -> Self {
        self.min_lr = min_lr;
        self
    }

    /// T_mult: how many times as long as the one before it a cycle is. Default: 1.
    pub fn with_cycle_factor(mut self, cycle_factor: usize) -> Self {
        self.cycle_factor = cycle_factor;
        self
    }

    /// The length of an epoch in steps. Default: 1, with which `first_cycle` counts steps.
    pub fn with_steps_per_epoch(mut self, steps_per_epoch: usize) -> Self {
        self.steps_per_epoch = steps_per_epoch;
        self
    }

    /// The bare scheduler, for one group of a `ModuleLrScheduler`.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of its range.
    pub fn try_build(&self) -> Result<CosineWarmRestartsLrScheduler, ConfigError> {
        positive("max_lr", self.max_lr)?;
        within("min_lr", self.min_lr, self.max_lr)?;
        at_least_one("first_cycle", self.first_cycle)?;
        at_least_one("cycle_factor", self.cycle_factor)?;
        at_least_one("steps_per_epoch", self.steps_per_epoch)?;
        Ok(CosineWarmRestartsLrScheduler {
            max_lr: self.max_lr,
            min_lr: self.min_lr,
            first_cycle: self.first_cycle.saturating_mul(self.steps_per_epoch),
            cycle_factor: self.cycle_factor,
            step: 0,
        })
    }
}

constructors!(
    CosineWarmRestartsLrSchedulerConfig => CosineWarmRestartsLrScheduler,
    ModuleLrScheduler,
    "The scheduler of a whole module.",
    |config: &CosineWarmRestartsLrSchedulerConfig| config.try_build().map(ModuleLrScheduler::new)
);

impl CosineWarmRestartsLrScheduler {
    /// T_cur and T_i of the step that comes next.
    fn place(&self) -> (usize, usize) {
        let (mut since, mut length) = (self.step, self.first_cycle);
        if self.cycle_factor == 1 {
            since %= length;
        }
        while since >= length {
            since -= length;
            length = length.saturating_mul(self.cycle_factor);
        }
        (since, length)
    }
}

impl LrScheduler for CosineWarmRestartsLrScheduler {
    fn step(&mut self) -> LearningRate {
        let (since, length) = self.place();
        self.step = self.step.saturating_add(1);
        let turn = core::f64::consts::PI * since as f64 / length as f64;
        self.min_lr + (self.max_lr - self.min_lr) * (1.0 + turn.cos()) / 2.0
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("step", self.step)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(step) = record.scalar("step") {
            self.step = step;
        }
    }
}

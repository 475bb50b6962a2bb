//! The rule in f64, as the papers write it: slow, plain, and apart from the crate's own code.

use burn::optim::momentum::MomentumConfig;
use burn_decay::{
    AdamL2Config, AdamWConfig, DecayScaling, DecaySchedule, DecayTarget, SgdL2Config, SgdWConfig,
};
use serde::Deserialize;

use crate::forms::Optimizer;

/// Which way the decay takes.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Coupling {
    L2,
    Decoupled,
}

#[derive(Deserialize, Debug, Clone)]
pub struct Setting {
    pub coupling: Coupling,
    pub lr: f64,
    pub weight_decay: f64,
    #[serde(flatten)]
    pub ways: Ways,
    #[serde(flatten)]
    pub rule: Rule,
}

/// The options of the decay.
#[derive(Deserialize, Debug, Clone, Copy, Default)]
#[serde(default)]
pub struct Ways {
    /// The schedule λ goes through: its shape, its last value and its number of steps.
    pub schedule: Option<(Shape, f64, usize)>,
    pub towards_start: bool,
    // Of decoupled decay only.
    pub max_lr: Option<f64>,
    /// Whether `max_lr` corrects the decay, and does not only scale it.
    pub corrected: bool,
    pub cautious: bool,
    pub l1: f64,
    pub stochastic_rounding: bool,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Line,
    Cosine,
}

#[derive(Deserialize, Debug, Clone)]
#[serde(untagged)]
pub enum Rule {
    Adam(Adam),
    Sgd(Sgd),
}

#[derive(Deserialize, Debug, Clone)]
pub struct Adam {
    pub beta_1: f64,
    pub beta_2: f64,
    pub epsilon: f64,
    pub amsgrad: bool,
}

#[derive(Deserialize, Debug, Clone)]
pub struct Sgd {
    pub momentum: Option<Momentum>,
}

#[derive(Deserialize, Debug, Clone, Copy)]
pub struct Momentum {
    pub momentum: f64,
    pub dampening: f64,
    pub nesterov: bool,
}

impl Setting {
    pub fn build(&self) -> Optimizer {
        self.build_with(true)
    }

    pub fn build_with(&self, master_weights: bool) -> Optimizer {
        let Ways {
            schedule,
            towards_start,
            max_lr,
            corrected,
            cautious,
            l1,
            stochastic_rounding,
        } = self.ways;
        let scaling = match max_lr {
            Some(max_lr) if corrected => DecayScaling::Corrected { max_lr },
            Some(max_lr) => DecayScaling::Schedule { max_lr },
            None => DecayScaling::LearningRate,
        };
        let schedule = match schedule {
            None => DecaySchedule::Constant,
            Some((Shape::Line, end, steps)) => DecaySchedule::Linear { end, steps },
            Some((Shape::Cosine, end, steps)) => DecaySchedule::Cosine { end, steps },
        };
        let target = if towards_start {
            DecayTarget::Start
        } else {
            DecayTarget::Zero
        };
        macro_rules! coupled {
            ($config:expr) => {
                $config
                    .with_master_weights(master_weights)
                    .with_l2_penalty(self.weight_decay)
                    .with_decay_schedule(schedule)
                    .with_decay_target(target)
            };
        }
        macro_rules! decoupled {
            ($config:expr) => {
                $config
                    .with_master_weights(master_weights)
                    .with_weight_decay(self.weight_decay)
                    .with_decay_schedule(schedule)
                    .with_decay_target(target)
                    .with_decay_scaling(scaling)
                    .with_cautious_weight_decay(cautious)
                    .with_l1_decay(l1)
                    .with_stochastic_rounding(stochastic_rounding)
            };
        }
        match (&self.rule, self.coupling) {
            (Rule::Adam(adam), Coupling::L2) => {
                let config = AdamL2Config::new()
                    .with_beta_1(adam.beta_1)
                    .with_beta_2(adam.beta_2)
                    .with_epsilon(adam.epsilon)
                    .with_amsgrad(adam.amsgrad);
                Optimizer::AdamL2(coupled!(config).build())
            }
            (Rule::Adam(adam), Coupling::Decoupled) => {
                let config = AdamWConfig::new()
                    .with_beta_1(adam.beta_1)
                    .with_beta_2(adam.beta_2)
                    .with_epsilon(adam.epsilon)
                    .with_amsgrad(adam.amsgrad);
                Optimizer::AdamW(decoupled!(config).build())
            }
            (Rule::Sgd(sgd), Coupling::L2) => {
                let config = SgdL2Config::new().with_momentum(sgd.config());
                Optimizer::SgdL2(coupled!(config).build())
            }
            (Rule::Sgd(sgd), Coupling::Decoupled) => {
                let config = SgdWConfig::new().with_momentum(sgd.config());
                Optimizer::SgdW(decoupled!(config).build())
            }
        }
    }

    /// λ of step `time`, from 1.
    fn lambda(&self, time: i32) -> f64 {
        let first = self.weight_decay;
        let Some((shape, last, steps)) = self.ways.schedule else {
            return first;
        };
        let way = (f64::from(time - 1) / steps as f64).min(1.0);
        match shape {
            Shape::Line => first * (1.0 - way) + last * way,
            Shape::Cosine => {
                last + (first - last) * (1.0 + (core::f64::consts::PI * way).cos()) / 2.0
            }
        }
    }

    /// λ of the coupled penalty in step `time`.
    pub fn penalty(&self, time: i32) -> f64 {
        match self.coupling {
            Coupling::L2 => self.lambda(time),
            Coupling::Decoupled => 0.0,
        }
    }

    /// δ of step `time`.
    pub fn decay(&self, time: i32) -> f64 {
        match self.coupling {
            Coupling::L2 => 0.0,
            Coupling::Decoupled => self.scaled(self.lambda(time)),
        }
    }

    /// By what the decay is multiplied with.
    fn scaled(&self, lambda: f64) -> f64 {
        match self.ways.max_lr {
            Some(max_lr) if self.ways.corrected => self.lr.powi(2) / max_lr * lambda,
            Some(max_lr) => self.lr / max_lr * lambda,
            None => self.lr * lambda,
        }
    }
}

impl Sgd {
    pub fn config(&self) -> Option<MomentumConfig> {
        self.momentum.map(|momentum| {
            MomentumConfig::new()
                .with_momentum(momentum.momentum)
                .with_dampening(momentum.dampening)
                .with_nesterov(momentum.nesterov)
        })
    }
}

pub struct Reference {
    setting: Setting,
    time: i32,
    pub parameter: Vec<f64>,
    start: Vec<f64>,
    /// m, v and v̄ of Adam, or SGD's velocity, for each number.
    averages: Vec<[f64; 3]>,
}

impl Reference {
    pub fn new(setting: &Setting, parameter: Vec<f64>) -> Self {
        Self {
            setting: setting.clone(),
            time: 0,
            averages: vec![[0.0; 3]; parameter.len()],
            start: parameter.clone(),
            parameter,
        }
    }

    pub fn step(&mut self, gradient: &[f64]) {
        self.time += 1;
        let time = self.time;
        let Setting { lr, ref rule, .. } = self.setting;
        let (penalty, decay) = (self.setting.penalty(time), self.setting.decay(time));
        // Of the moments' bias.
        let [correction_1, correction_2] = match rule {
            Rule::Adam(adam) => [adam.beta_1, adam.beta_2].map(|beta| 1.0 - beta.powi(time)),
            Rule::Sgd(_) => [1.0; 2],
        };
        for (i, gradient) in gradient.iter().enumerate() {
            let theta = self.parameter[i];
            let Ways {
                towards_start,
                cautious,
                l1,
                ..
            } = self.setting.ways;
            let target = if towards_start { self.start[i] } else { 0.0 };
            let g = gradient + penalty * (theta - target);

            let update = match rule {
                Rule::Adam(adam) => {
                    let [m, v, max_v] = &mut self.averages[i];
                    *m = adam.beta_1 * *m + (1.0 - adam.beta_1) * g;
                    *v = adam.beta_2 * *v + (1.0 - adam.beta_2) * g * g;
                    *max_v = max_v.max(*v);
                    let m_hat = *m / correction_1;
                    let v = if adam.amsgrad { *max_v } else { *v };
                    let v_hat = v / correction_2;
                    m_hat / (v_hat.sqrt() + adam.epsilon)
                }
                Rule::Sgd(Sgd { momentum: None }) => g,
                Rule::Sgd(Sgd {
                    momentum: Some(momentum),
                }) => {
                    let [v, ..] = &mut self.averages[i];
                    *v = if time == 1 {
                        g
                    } else {
                        momentum.momentum * *v + (1.0 - momentum.dampening) * g
                    };
                    if momentum.nesterov {
                        g + momentum.momentum * *v
                    } else {
                        *v
                    }
                }
            };
            let spared = cautious && update * (theta - target) < 0.0;
            let decay = if spared { 0.0 } else { decay };
            let moved = theta - decay * (theta - target) - lr * update;
            // The soft threshold.
            let distance = moved - target;
            let shrunk = (distance.abs() - self.setting.scaled(l1)).max(0.0);
            self.parameter[i] = target + distance.signum() * shrunk;
        }
    }
}

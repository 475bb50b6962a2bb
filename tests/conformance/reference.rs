//! The rule in f64, as the papers write it: slow, plain, and apart from the crate's own code.

use burn::optim::momentum::MomentumConfig;
use burn_decay::{AdamL2Config, AdamWConfig, DecayScaling, SgdL2Config, SgdWConfig};
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
    pub max_lr: Option<f64>,
    /// Of decoupled decay only.
    #[serde(default)]
    pub cautious: bool,
    #[serde(flatten)]
    pub rule: Rule,
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
        let scaling = match self.max_lr {
            Some(max_lr) => DecayScaling::Schedule { max_lr },
            None => DecayScaling::LearningRate,
        };
        match (&self.rule, self.coupling) {
            (Rule::Adam(adam), Coupling::L2) => {
                let config = AdamL2Config::new()
                    .with_beta_1(adam.beta_1)
                    .with_beta_2(adam.beta_2)
                    .with_epsilon(adam.epsilon)
                    .with_l2_penalty(self.weight_decay)
                    .with_amsgrad(adam.amsgrad);
                Optimizer::AdamL2(config.build())
            }
            (Rule::Adam(adam), Coupling::Decoupled) => {
                let config = AdamWConfig::new()
                    .with_beta_1(adam.beta_1)
                    .with_beta_2(adam.beta_2)
                    .with_epsilon(adam.epsilon)
                    .with_weight_decay(self.weight_decay)
                    .with_decay_scaling(scaling)
                    .with_cautious_weight_decay(self.cautious)
                    .with_amsgrad(adam.amsgrad);
                Optimizer::AdamW(config.build())
            }
            (Rule::Sgd(sgd), Coupling::L2) => {
                let config = SgdL2Config::new()
                    .with_l2_penalty(self.weight_decay)
                    .with_momentum(sgd.config());
                Optimizer::SgdL2(config.build())
            }
            (Rule::Sgd(sgd), Coupling::Decoupled) => {
                let config = SgdWConfig::new()
                    .with_weight_decay(self.weight_decay)
                    .with_decay_scaling(scaling)
                    .with_cautious_weight_decay(self.cautious)
                    .with_momentum(sgd.config());
                Optimizer::SgdW(config.build())
            }
        }
    }

    /// λ of the coupled penalty.
    pub fn penalty(&self) -> f64 {
        match self.coupling {
            Coupling::L2 => self.weight_decay,
            Coupling::Decoupled => 0.0,
        }
    }

    /// δ
    pub fn decay(&self) -> f64 {
        match (self.coupling, self.max_lr) {
            (Coupling::L2, _) => 0.0,
            (Coupling::Decoupled, Some(max_lr)) => self.lr / max_lr * self.weight_decay,
            (Coupling::Decoupled, None) => self.lr * self.weight_decay,
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
    /// m, v and v̄ of Adam, or SGD's velocity, for each number.
    averages: Vec<[f64; 3]>,
}

impl Reference {
    pub fn new(setting: &Setting, parameter: Vec<f64>) -> Self {
        Self {
            setting: setting.clone(),
            time: 0,
            averages: vec![[0.0; 3]; parameter.len()],
            parameter,
        }
    }

    pub fn step(&mut self, gradient: &[f64]) {
        self.time += 1;
        let time = self.time;
        let Setting { lr, ref rule, .. } = self.setting;
        for (i, gradient) in gradient.iter().enumerate() {
            let theta = self.parameter[i];
            let g = gradient + self.setting.penalty() * theta;

            let update = match rule {
                Rule::Adam(adam) => {
                    let [m, v, max_v] = &mut self.averages[i];
                    *m = adam.beta_1 * *m + (1.0 - adam.beta_1) * g;
                    *v = adam.beta_2 * *v + (1.0 - adam.beta_2) * g * g;
                    *max_v = max_v.max(*v);
                    let m_hat = *m / (1.0 - adam.beta_1.powi(time));
                    let v = if adam.amsgrad { *max_v } else { *v };
                    let v_hat = v / (1.0 - adam.beta_2.powi(time));
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
            let spared = self.setting.cautious && update * theta < 0.0;
            let decay = if spared { 0.0 } else { self.setting.decay() };
            self.parameter[i] = theta - decay * theta - lr * update;
        }
    }
}

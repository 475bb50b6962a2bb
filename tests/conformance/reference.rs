//! The rule in f64, as the papers write it: slow, plain, and apart from the crate's own code.

use burn_decay::{AdamL2Config, AdamWConfig, DecayScaling};
use serde::Deserialize;

use crate::forms::Optimizer;

#[derive(Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    #[serde(rename = "adam-l2")]
    AdamL2,
    #[serde(rename = "adamw")]
    AdamW,
}

#[derive(Deserialize, Debug, Clone)]
pub struct Setting {
    pub optimizer: Kind,
    pub lr: f64,
    pub beta_1: f64,
    pub beta_2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
    pub max_lr: Option<f64>,
    pub cautious: bool,
    pub amsgrad: bool,
}

impl Setting {
    pub fn build(&self) -> Optimizer {
        match self.optimizer {
            Kind::AdamL2 => Optimizer::AdamL2(
                AdamL2Config::new()
                    .with_beta_1(self.beta_1)
                    .with_beta_2(self.beta_2)
                    .with_epsilon(self.epsilon)
                    .with_l2_penalty(self.weight_decay)
                    .with_amsgrad(self.amsgrad)
                    .build(),
            ),
            Kind::AdamW => Optimizer::AdamW(
                AdamWConfig::new()
                    .with_beta_1(self.beta_1)
                    .with_beta_2(self.beta_2)
                    .with_epsilon(self.epsilon)
                    .with_weight_decay(self.weight_decay)
                    .with_decay_scaling(match self.max_lr {
                        Some(max_lr) => DecayScaling::Schedule { max_lr },
                        None => DecayScaling::LearningRate,
                    })
                    .with_cautious_weight_decay(self.cautious)
                    .with_amsgrad(self.amsgrad)
                    .build(),
            ),
        }
    }

    /// δ
    pub fn decay(&self) -> f64 {
        match (&self.optimizer, self.max_lr) {
            (Kind::AdamL2, _) => 0.0,
            (Kind::AdamW, Some(max_lr)) => self.lr / max_lr * self.weight_decay,
            (Kind::AdamW, None) => self.lr * self.weight_decay,
        }
    }
}

pub struct Reference {
    setting: Setting,
    time: i32,
    pub parameter: Vec<f64>,
    moment_1: Vec<f64>,
    moment_2: Vec<f64>,
    max_moment_2: Vec<f64>,
}

impl Reference {
    pub fn new(setting: &Setting, parameter: Vec<f64>) -> Self {
        let zeros = vec![0.0; parameter.len()];
        Self {
            setting: setting.clone(),
            time: 0,
            parameter,
            moment_1: zeros.clone(),
            moment_2: zeros.clone(),
            max_moment_2: zeros,
        }
    }

    pub fn step(&mut self, gradient: &[f64]) {
        self.time += 1;
        let Setting {
            lr,
            beta_1,
            beta_2,
            epsilon,
            ..
        } = self.setting;
        let penalty = match self.setting.optimizer {
            Kind::AdamL2 => self.setting.weight_decay,
            Kind::AdamW => 0.0,
        };
        for (i, gradient) in gradient.iter().enumerate() {
            let theta = self.parameter[i];
            let g = gradient + penalty * theta;
            let m = beta_1 * self.moment_1[i] + (1.0 - beta_1) * g;
            let v = beta_2 * self.moment_2[i] + (1.0 - beta_2) * g * g;
            let max_v = self.max_moment_2[i].max(v);

            let m_hat = m / (1.0 - beta_1.powi(self.time));
            let v_hat =
                if self.setting.amsgrad { max_v } else { v } / (1.0 - beta_2.powi(self.time));
            let decays = !self.setting.cautious || (theta >= 0.0) == (m >= 0.0);
            let decay = if decays { self.setting.decay() } else { 0.0 };

            self.parameter[i] = theta - decay * theta - lr * m_hat / (v_hat.sqrt() + epsilon);
            (self.moment_1[i], self.moment_2[i], self.max_moment_2[i]) = (m, v, max_v);
        }
    }
}

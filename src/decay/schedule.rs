use burn::serde::{Deserialize, Serialize};

use crate::config::{ConfigError, at_least_one, not_negative};

/// How λ changes over the steps of a parameter.
///
/// The steps are counted in the optimizer's state, so that a schedule works through any `Learner`
/// and goes on where a [checkpoint](crate::guide::checkpoints) resumes. Each parameter counts the
/// steps in which it has a gradient: one that is unfrozen late begins late. The coefficient of an L1
/// decay is not scheduled.
///
/// ```
/// use burn_decay::{AdamWConfig, DecaySchedule};
///
/// // DINOv2: λ rises from 0.04 to 0.4 over the whole run.
/// let optimizer = AdamWConfig::new()
///     .with_weight_decay(0.04)
///     .with_decay_schedule(DecaySchedule::Cosine { end: 0.4, steps: 625_000 })
///     .init();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(crate = "burn::serde", deny_unknown_fields)]
#[non_exhaustive]
pub enum DecaySchedule {
    /// λ stays what it is.
    #[default]
    Constant,
    /// Along a line: `λ_t = λ + (end - λ) · t/steps` after t steps, then `end`. Megatron's
    /// `linear`.
    Linear {
        /// λ after `steps` steps. Not negative, and finite in f32.
        end: f64,
        /// At least 1.
        steps: usize,
    },
    /// Along half a cosine: `λ_t = end + (λ - end) · (1 + cos(π · t/steps))/2` after t steps, then
    /// `end`. That of [DINO](https://arxiv.org/abs/2104.14294) and DINOv2, and Megatron's `cosine`.
    Cosine {
        /// λ after `steps` steps. Not negative, and finite in f32.
        end: f64,
        /// At least 1.
        steps: usize,
    },
}

impl DecaySchedule {
    /// λ after `step` steps, of one that begins with `weight_decay`. Nothing is checked here; an
    /// optimizer's configuration checks `end` and `steps`.
    #[must_use]
    pub fn weight_decay(&self, weight_decay: f64, step: usize) -> f64 {
        let (end, steps) = match *self {
            Self::Constant => return weight_decay,
            Self::Linear { end, steps } | Self::Cosine { end, steps } => (end, steps),
        };
        if step >= steps {
            return end;
        }
        let way = step as f64 / steps as f64;
        let way = match self {
            Self::Cosine { .. } => (1.0 - (core::f64::consts::PI * way).cos()) / 2.0,
            _ => way,
        };
        weight_decay + (end - weight_decay) * way
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match *self {
            Self::Constant => Ok(()),
            Self::Linear { end, steps } | Self::Cosine { end, steps } => {
                not_negative("decay_schedule.end", end)?;
                at_least_one("decay_schedule.steps", steps)
            }
        }
    }
}

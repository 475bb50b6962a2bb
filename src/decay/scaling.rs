use burn::serde::{Deserialize, Serialize};

use crate::config::{ConfigError, base_rate};

/// What scales the decoupled decay: how the δ in `θ ← θ - (δθ + u)` comes from λ and the learning
/// rate.
///
/// The paper decouples the decay from the learning rate too: its schedule multiplier η_t scales
/// both the step and the decay, and the base learning rate α only the step. PyTorch, Burn and
/// most others multiply λ by the learning rate that the scheduler gives, so that tuning one of
/// the two moves the other.
///
/// Both agree where `λ_schedule = max_lr · λ_learning_rate`:
///
/// ```
/// use burn_decay::DecayScaling;
///
/// let (max_lr, weight_decay) = (1e-3, 1e-2);
/// let habit = DecayScaling::LearningRate;
/// let paper = DecayScaling::Schedule { max_lr };
/// for lr in [1e-3, 3e-4, 0.0] {
///     let delta = habit.coefficient(lr, weight_decay);
///     assert!((delta - paper.coefficient(lr, max_lr * weight_decay)).abs() < 1e-18);
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(crate = "burn::serde", deny_unknown_fields)]
#[non_exhaustive]
pub enum DecayScaling {
    /// `δ = lr · λ`: the convention of PyTorch and Burn.
    #[default]
    LearningRate,
    /// `δ = (lr / max_lr) · λ`: η_t·λ of
    /// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), algorithm 2,
    /// line 12, where η_t = lr / max_lr is what the schedule multiplies the base learning rate
    /// with.
    Schedule {
        /// The base learning rate α: what the scheduler gives where η_t is 1. Greater than 0, and
        /// normal and finite in f32.
        max_lr: f64,
    },
    /// `δ = (lr² / max_lr) · λ`: the corrected decay of AdamC
    /// ([Why Gradients Rapidly Increase Near the End of Training](https://arxiv.org/abs/2506.02285)),
    /// for weights that a norm follows.
    ///
    /// The loss does not change with the length of such a weight, so that decay and updates alone
    /// decide about it: it settles where the ratio of gradient to weight is `√(2δ)/lr`. With
    /// `δ = lr·λ` that ratio grows as the schedule falls, and with it the gradient; here it is
    /// constant. Weights that no norm follows, as that of an output layer, go into another group.
    Corrected {
        /// The largest learning rate of the schedule, at which δ is `lr · λ`. Greater than 0, and
        /// normal and finite in f32.
        max_lr: f64,
    },
}

impl DecayScaling {
    /// The δ of one step: the share of the weight that the decay takes away. Nothing is checked
    /// here; an optimizer's configuration checks λ and `max_lr`.
    #[must_use]
    pub fn coefficient(&self, lr: f64, weight_decay: f64) -> f64 {
        match self {
            Self::LearningRate => lr * weight_decay,
            Self::Schedule { max_lr } => lr / max_lr * weight_decay,
            Self::Corrected { max_lr } => lr / max_lr * lr * weight_decay,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::LearningRate => Ok(()),
            Self::Schedule { max_lr } | Self::Corrected { max_lr } => {
                base_rate("decay_scaling.max_lr", *max_lr)
            }
        }
    }
}

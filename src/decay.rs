//! The ways to decay.

use burn::serde::{Deserialize, Serialize};

use crate::config::{ConfigError, base_rate, not_negative};
use crate::step;

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
}

impl DecayScaling {
    /// The δ of one step: the share of the weight that the decay takes away. Nothing is checked
    /// here; an optimizer's configuration checks λ and `max_lr`.
    #[must_use]
    pub fn coefficient(&self, lr: f64, weight_decay: f64) -> f64 {
        match self {
            Self::LearningRate => lr * weight_decay,
            Self::Schedule { max_lr } => lr / max_lr * weight_decay,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::LearningRate => Ok(()),
            Self::Schedule { max_lr } => base_rate("max_lr", *max_lr),
        }
    }
}

/// λ for a run of `epochs` epochs, from a normalized λ that holds for runs of any length:
/// `λ_norm · √(b/(B·T))` with the batch size b, B examples in the training set and T epochs.
///
/// The longer a run, in steps, the smaller the best λ; the paper finds that it falls with the root
/// of their number, B·T/b. A λ_norm found in short runs then does for the long one. See
/// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), appendix B.1; it is
/// meant for [`DecayScaling::Schedule`].
///
/// With warm restarts `epochs` is T_i, the length of the cycle. While all cycles are of one length
/// that is one λ. Where they grow, λ falls from cycle to cycle: at a restart, take a new optimizer
/// with the new λ, and give it the record of the old one.
///
/// ```
/// use burn_decay::{AdamWConfig, DecayScaling, normalized_weight_decay};
///
/// // 100 epochs over 50,000 images in batches of 128.
/// let weight_decay = normalized_weight_decay(0.05, 128, 50_000, 100);
/// assert!((weight_decay - 2.53e-4).abs() < 1e-6);
///
/// let optimizer = AdamWConfig::new()
///     .with_weight_decay(weight_decay)
///     .with_decay_scaling(DecayScaling::Schedule { max_lr: 1e-3 })
///     .init();
/// ```
///
/// # Panics
///
/// Panics where one of the counts is 0.
#[must_use]
#[track_caller]
pub fn normalized_weight_decay(
    normalized: f64,
    batch_size: usize,
    dataset_size: usize,
    epochs: usize,
) -> f64 {
    let counts = [
        ("batch_size", batch_size),
        ("dataset_size", dataset_size),
        ("epochs", epochs),
    ];
    for (name, count) in counts {
        assert!(count > 0, "{name} must be at least 1, but is 0");
    }
    let seen = dataset_size as f64 * epochs as f64;
    normalized * (batch_size as f64 / seen).sqrt()
}

/// What an optimizer decays, and how.
#[derive(Debug, Clone)]
pub(crate) struct Decay {
    pub coupling: Coupling,
    /// Whether parameters of rank 0 and 1 decay too.
    pub vectors: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Coupling {
    /// Coupled: λθ is added to the gradient, and the moments see it.
    L2 { penalty: f64 },
    /// Decoupled: δθ is taken from the weight, past the moments.
    Decoupled {
        weight_decay: f64,
        scaling: DecayScaling,
        cautious: bool,
    },
}

impl Decay {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match &self.coupling {
            Coupling::L2 { penalty } => not_negative("l2_penalty", *penalty),
            Coupling::Decoupled {
                weight_decay,
                scaling,
                ..
            } => {
                not_negative("weight_decay", *weight_decay)?;
                scaling.check()
            }
        }
    }

    /// The scalars of a step at `lr` for a parameter of rank `rank`.
    ///
    /// # Panics
    ///
    /// Panics where `lr` is negative or not finite.
    pub(crate) fn at(&self, lr: f64, rank: usize) -> step::Decay<f64> {
        assert!(
            lr >= 0.0 && lr.is_finite(),
            "the learning rate must be finite and not negative, but is {lr}"
        );
        let mut decay = step::Decay {
            l2_penalty: 0.0,
            decoupled: 0.0,
            cautious: false,
        };
        if self.vectors || rank > 1 {
            match &self.coupling {
                Coupling::L2 { penalty } => decay.l2_penalty = *penalty,
                Coupling::Decoupled {
                    weight_decay,
                    scaling,
                    cautious,
                } => {
                    decay.decoupled = scaling.coefficient(lr, *weight_decay);
                    decay.cautious = *cautious;
                }
            }
        }
        decay
    }
}

//! The ways to decay.

mod scaling;
mod schedule;
mod target;
mod timescale;

use crate::config::{ConfigError, not_negative};
use crate::step;

pub use scaling::DecayScaling;
pub use schedule::DecaySchedule;
pub use target::DecayTarget;
pub use timescale::{Timescale, TrainingLength, normalized_weight_decay};

/// What an optimizer decays, and how.
#[derive(Debug, Clone)]
pub(crate) struct Decay {
    pub coupling: Coupling,
    pub schedule: DecaySchedule,
    pub target: DecayTarget,
    /// Whether parameters of rank 0 and 1 decay too.
    pub vectors: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Coupling {
    /// Coupled: λθ is added to the gradient, and the moments see it.
    L2 { penalty: f64 },
    /// Decoupled: δθ is taken from the weight, past the moments, and δ₁ from its magnitude.
    Decoupled {
        weight_decay: f64,
        l1_decay: f64,
        scaling: DecayScaling,
        cautious: bool,
        stochastic_rounding: bool,
    },
}

impl Decay {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match &self.coupling {
            Coupling::L2 { penalty } => not_negative("l2_penalty", *penalty)?,
            Coupling::Decoupled {
                weight_decay,
                l1_decay,
                scaling,
                ..
            } => {
                not_negative("weight_decay", *weight_decay)?;
                not_negative("l1_decay", *l1_decay)?;
                scaling.check()?;
            }
        }
        self.schedule.check()
    }

    /// Whether it depends on the number of the step, as what is random does.
    pub(crate) fn has_a_clock(&self) -> bool {
        let stochastic_rounding = match self.coupling {
            Coupling::L2 { .. } => false,
            Coupling::Decoupled {
                stochastic_rounding,
                ..
            } => stochastic_rounding,
        };
        stochastic_rounding || self.schedule != DecaySchedule::Constant
    }

    /// The scalars of step `time`, from 1, at `lr` for a parameter of rank `rank`.
    ///
    /// # Panics
    ///
    /// Panics where `lr` is negative or not finite.
    pub(crate) fn at(&self, lr: f64, time: usize, rank: usize) -> step::Decay<f64> {
        assert!(
            lr >= 0.0 && lr.is_finite(),
            "the learning rate must be finite and not negative, but is {lr}"
        );
        let mut decay = step::Decay::none();
        if self.vectors || rank > 1 {
            let lambda = |first: f64| self.schedule.weight_decay(first, time - 1);
            match &self.coupling {
                Coupling::L2 { penalty } => decay.l2_penalty = lambda(*penalty),
                Coupling::Decoupled {
                    weight_decay,
                    l1_decay,
                    scaling,
                    cautious,
                    stochastic_rounding,
                } => {
                    decay.decoupled = scaling.coefficient(lr, lambda(*weight_decay));
                    decay.l1 = scaling.coefficient(lr, *l1_decay);
                    decay.cautious = *cautious;
                    // Without a decay there is none to be lost.
                    let decays = decay.decoupled > 0.0 || decay.l1 > 0.0;
                    decay.stochastic = *stochastic_rounding && decays;
                }
            }
            decay.towards_start = self.target == DecayTarget::Start;
        }
        decay
    }
}

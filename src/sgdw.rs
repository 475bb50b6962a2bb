use crate::config::optimizer;
use crate::decay::{DecayScaling, DecaySchedule, DecayTarget};
use crate::moment_precision::MomentPrecision;
use crate::options::config;
use crate::sgd::{Sgd, SgdState};

config! {
    /// Configuration of [`SgdW`].
    ///
    /// ```
    /// use burn::optim::momentum::MomentumConfig;
    /// use burn_decay::{DecayScaling, SgdWConfig};
    ///
    /// let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    /// let optimizer = SgdWConfig::new()
    ///     .with_weight_decay(1e-4)
    ///     .with_decay_scaling(DecayScaling::Schedule { max_lr: 0.1 })
    ///     .with_momentum(Some(momentum.with_nesterov(true)))
    ///     .init();
    /// ```
    pub struct SgdWConfig: sgd decoupled nearest moments;
}

/// Stochastic gradient descent with decoupled weight decay.
///
/// ```text
/// v ← μv + (1-dampening)·g      v ← g in the first step
/// θ ← θ - (δθ + lr·v)           or, with Nesterov, θ - (δθ + lr·(g + μv))
///                               δ = lr·λ, or what DecayScaling says
///                               cautious: δ counts only where u·θ ≥ 0
/// ```
///
/// The decay bypasses the velocity. Decay and update are summed before they meet the weight,
/// which is rounded once, so that a decay far below its last bit counts in full, on average, while
/// the update varies. See
/// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), algorithm 1. The
/// learning rate is outside of the velocity, as in PyTorch and Burn; the paper has it inside, which
/// is the same while it is constant.
///
/// Nesterov's look-ahead is meant for a velocity without dampening, and PyTorch refuses the two
/// together. Burn has them, and so has this: `g + μv` then weighs the newest gradient with
/// `1 + μ·(1-dampening)` and the older ones with a dampened sum, so that the step is shorter than
/// Nesterov's by up to the dampening.
///
/// Its state is that of `burn::optim::Sgd`, whose checkpoints it resumes from. Parameters of half
/// precision are updated in f32, in which their velocity is kept, and have
/// [master weights](crate::guide::fidelity#half-precision).
///
/// [Every way to decay](crate::guide::ways) is an option of it: schedules of λ, decay towards the start,
/// L1, and others.
///
/// Configured by [`SgdWConfig`].
#[derive(Debug, Clone)]
pub struct SgdW(Sgd);

impl SgdWConfig {
    /// PyTorch's defaults for `torch.optim.SGD`: no decay, no momentum. Momentum is undampened
    /// there: `MomentumConfig::new().with_dampening(0.0)`.
    pub fn torch() -> Self {
        Self::new().with_weight_decay(0.0)
    }
}

optimizer!(SgdWConfig => SgdW, SgdState);

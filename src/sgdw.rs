use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;
use burn::optim::momentum::MomentumConfig;

use crate::config::{ConfigError, optimizer};
use crate::decay::{Coupling, Decay, DecayScaling};
use crate::sgd::{Sgd, SgdState};

/// Configuration of [`SgdW`].
///
/// ```
/// use burn::optim::momentum::MomentumConfig;
/// use burn_decay::{DecayScaling, SgdWConfig};
///
/// let optimizer = SgdWConfig::new()
///     .with_weight_decay(1e-4)
///     .with_decay_scaling(DecayScaling::Schedule { max_lr: 0.1 })
///     .with_momentum(Some(MomentumConfig::new().with_nesterov(true)))
///     .init();
/// ```
#[derive(Config, Debug)]
pub struct SgdWConfig {
    /// λ, the coefficient of the decay. Finite and not negative.
    #[config(default = 1e-4)]
    pub weight_decay: f64,
    /// What scales the decay: the learning rate, or the schedule alone.
    #[config(default = "DecayScaling::LearningRate")]
    pub decay_scaling: DecayScaling,
    /// Momentum μ and dampening, both in [0, 1), and whether Nesterov's look-ahead is taken.
    pub momentum: Option<MomentumConfig>,
    /// Whether parameters of rank 0 and 1 (biases, the scales of norms) decay too.
    #[config(default = true)]
    pub decay_vectors: bool,
    /// Clipping of each parameter's gradient, before the velocity sees it.
    pub grad_clipping: Option<GradientClippingConfig>,
}

/// Stochastic gradient descent with decoupled weight decay.
///
/// ```text
/// v ← μv + (1-dampening)·g      v ← g in the first step
/// θ ← θ - (δθ + lr·v)           or, with Nesterov, θ - (δθ + lr·(g + μv))
///                               δ = lr·λ, or what DecayScaling says
/// ```
///
/// The decay goes past the velocity. Decay and update are summed before they meet the weight,
/// which is rounded once, so that a decay far below its last bit counts, on average, in full. See
/// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), algorithm 1. The
/// learning rate is outside of the velocity, as in PyTorch and Burn; the paper has it inside, which
/// is the same while it is constant.
///
/// Its state is that of `burn::optim::Sgd`, whose checkpoints it resumes from. Parameters of half
/// precision are updated in f32, in which their velocity is kept.
///
/// Configured by [`SgdWConfig`].
#[derive(Debug, Clone)]
pub struct SgdW(Sgd);

impl SgdWConfig {
    /// The bare optimizer, which [`ModuleOptimizer::with_group`](burn::optim::ModuleOptimizer::with_group) takes for one group of
    /// parameters. Gradient clipping is the group's own there.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of its range.
    pub fn try_build(&self) -> Result<SgdW, ConfigError> {
        let sgd = Sgd {
            momentum: self.momentum.clone(),
            decay: Decay {
                coupling: Coupling::Decoupled {
                    weight_decay: self.weight_decay,
                    scaling: self.decay_scaling,
                    cautious: false,
                },
                vectors: self.decay_vectors,
            },
        };
        Ok(SgdW(sgd.check()?))
    }
}

optimizer!(SgdWConfig => SgdW, SgdState);

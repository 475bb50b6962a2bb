use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;
use burn::optim::momentum::MomentumConfig;

use crate::config::{ConfigError, optimizer};
use crate::decay::{Coupling, Decay};
use crate::sgd::{Sgd, SgdState};

/// Configuration of [`SgdL2`].
///
/// ```
/// use burn::optim::momentum::MomentumConfig;
/// use burn_decay::SgdL2Config;
///
/// let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
/// let optimizer = SgdL2Config::new()
///     .with_l2_penalty(5e-4)
///     .with_momentum(Some(momentum))
///     .init();
/// ```
#[derive(Config, Debug)]
pub struct SgdL2Config {
    /// λ, the coefficient of the penalty `λ/2·‖θ‖²`. Finite and not negative.
    #[config(default = 1e-4)]
    pub l2_penalty: f64,
    /// Momentum μ and dampening, both in [0, 1), and whether Nesterov's look-ahead is taken.
    pub momentum: Option<MomentumConfig>,
    /// Whether parameters of rank 0 and 1 (biases, the scales of norms) are penalized too.
    #[config(default = true)]
    pub decay_vectors: bool,
    /// Clipping of each parameter's gradient, before the penalty is added.
    pub grad_clipping: Option<GradientClippingConfig>,
}

/// Stochastic gradient descent with the L2 penalty coupled into the gradient.
///
/// ```text
/// g ← g + λθ
/// v ← μv + (1-dampening)·g      v ← g in the first step
/// θ ← θ - lr·v                  or, with Nesterov, θ - lr·(g + μv)
/// ```
///
/// One step on a loss is one step of plain SGD on the loss plus `λ/2·‖θ‖²`. Without momentum that
/// is what [`SgdW`](crate::SgdW) does too; with it, the velocity carries the penalty on, and the
/// two differ. See
/// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), proposition 1 and
/// algorithm 1 with the part for L2 regularization. The learning rate is outside of the velocity, as
/// in PyTorch and Burn; the paper has it inside, which is the same while it is constant.
///
/// It takes the place of `burn::optim::Sgd` with `WeightDecayConfig`, and resumes from its
/// checkpoints. Parameters of half precision are updated in f32, in which their velocity is kept.
///
/// Configured by [`SgdL2Config`].
#[derive(Debug, Clone)]
pub struct SgdL2(Sgd);

impl SgdL2Config {
    /// The bare optimizer, which [`ModuleOptimizer::with_group`](burn::optim::ModuleOptimizer::with_group) takes for one group of
    /// parameters. Gradient clipping is the group's own there.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of its range.
    pub fn try_build(&self) -> Result<SgdL2, ConfigError> {
        let sgd = Sgd {
            momentum: self.momentum.clone(),
            decay: Decay {
                coupling: Coupling::L2 {
                    penalty: self.l2_penalty,
                },
                vectors: self.decay_vectors,
            },
        };
        Ok(SgdL2(sgd.check()?))
    }
}

optimizer!(SgdL2Config => SgdL2, SgdState);

use crate::config::optimizer;
use crate::decay::{DecaySchedule, DecayTarget};
use crate::moment_precision::MomentPrecision;
use crate::options::config;
use crate::sgd::{Sgd, SgdState};

config! {
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
    ///
    /// A configuration that Burn's own `SgdConfig` saved loads with the same meaning.
    pub struct SgdL2Config: sgd coupled moments;
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
/// in PyTorch and Burn; the paper has it inside, which is the same while it is constant. What
/// dampening does to Nesterov's look-ahead stands with [`SgdW`](crate::SgdW).
///
/// It takes the place of `burn::optim::Sgd` with `WeightDecayConfig`, and resumes from its
/// checkpoints. Mind the default: λ is 1e-4 here, and Burn's Sgd has no penalty unless it is given
/// one; and `with_gradient_clipping` is called `with_grad_clipping`, as with Adam.
/// Parameters of half precision are updated in f32, in which their velocity is kept, and have
/// [master weights](crate::guide::fidelity#half-precision).
///
/// Configured by [`SgdL2Config`].
#[derive(Debug, Clone)]
pub struct SgdL2(Sgd);

impl SgdL2Config {
    /// PyTorch's defaults for `torch.optim.SGD`: no penalty, no momentum. Momentum is undampened
    /// there: `MomentumConfig::new().with_dampening(0.0)`.
    pub fn torch() -> Self {
        Self::new().with_l2_penalty(0.0)
    }
}

optimizer!(SgdL2Config => SgdL2, SgdState);

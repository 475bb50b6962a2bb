use crate::adam::{Adam, AdamState};
use crate::config::optimizer;
use crate::decay::{DecaySchedule, DecayTarget};
use crate::moment_precision::MomentPrecision;
use crate::options::config;

config! {
    /// Configuration of [`AdamL2`].
    ///
    /// ```
    /// use burn_decay::AdamL2Config;
    ///
    /// let optimizer = AdamL2Config::new().with_l2_penalty(1e-3).init();
    /// ```
    ///
    /// A configuration that Burn's own `AdamConfig` saved loads with the same meaning.
    pub struct AdamL2Config: adam coupled moments;
}

/// Adam with the L2 penalty coupled into the gradient.
///
/// ```text
/// g ← g + λθ
/// m ← β₁m + (1-β₁)g        v ← β₂v + (1-β₂)g²
/// θ ← θ - lr · m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + ε)
/// ```
///
/// With AMSGrad `v̄ ← max(v̄, v)` takes the place of v in the update.
///
/// One step on a loss is one step of Adam without decay on the loss plus `λ/2·‖θ‖²`. The moments
/// see the penalty, so that a weight with large gradients decays less than one with small ones;
/// [`AdamW`](crate::AdamW) is the remedy. See
/// [Adam](https://arxiv.org/abs/1412.6980), algorithm 1, and
/// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), algorithm 2 with
/// the part for L2 regularization.
///
/// It takes the place of `burn::optim::Adam` with `WeightDecayConfig`, and resumes from its
/// checkpoints. Mind the default: λ is 1e-4 here, and Burn's Adam has no penalty unless it is given
/// one. Parameters of half precision are updated in f32, in which their moments are kept unless
/// [`MomentPrecision`] says otherwise, and
/// have [master weights](crate::guide::fidelity#half-precision).
///
/// Configured by [`AdamL2Config`].
#[derive(Debug, Clone)]
pub struct AdamL2(Adam);

impl AdamL2Config {
    /// PyTorch's defaults for `torch.optim.Adam`: ε 1e-8, and no penalty.
    pub fn torch() -> Self {
        Self::new().with_epsilon(1e-8).with_l2_penalty(0.0)
    }
}

optimizer!(AdamL2Config => AdamL2, AdamState);

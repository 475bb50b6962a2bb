use crate::adam::{Adam, AdamState};
use crate::config::optimizer;
use crate::decay::{DecayScaling, DecaySchedule, DecayTarget};
use crate::moment_precision::MomentPrecision;
use crate::options::config;

config! {
    /// Configuration of [`AdamW`].
    ///
    /// ```
    /// use burn_decay::AdamWConfig;
    ///
    /// let optimizer = AdamWConfig::new().with_weight_decay(1e-2).init();
    /// ```
    ///
    /// A configuration that Burn's own `AdamWConfig` saved loads with the same meaning.
    pub struct AdamWConfig: adam decoupled nearest moments;
}

/// Adam with decoupled weight decay.
///
/// ```text
/// m ← β₁m + (1-β₁)g        v ← β₂v + (1-β₂)g²
/// u = lr · m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + ε)
/// θ ← θ - (δθ + u)         δ = lr·λ, or what DecayScaling says
///                          cautious: δ counts only where u·θ ≥ 0
/// ```
///
/// With AMSGrad `v̄ ← max(v̄, v)` takes the place of v in the update.
///
/// The decay bypasses the moments, so that every weight decays at the rate that you set.
/// Decay and update are summed before they meet the weight, which is rounded once: where others
/// multiply it by a rounded `1 - lr·λ`, and lose or distort a decay of less than 1e-7 a step, this
/// one delivers it, on average, while the update varies. See
/// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), algorithm 2.
///
/// It takes the place of `burn::optim::AdamW`, with the same defaults, and resumes from its
/// checkpoints. One thing differs beside the rounding: Burn's cautious decay compares the signs of
/// the weight and the first moment, so that where the moment is 0 positive weights decay and
/// negative ones do not; here both do, as in the paper.
///
/// Parameters of half precision are updated in f32, in which their moments are kept unless
/// [`MomentPrecision`] says otherwise, and have
/// [master weights](crate::guide::fidelity#half-precision).
///
/// [Every way to decay](crate::guide::ways) is an option of it: schedules of λ, decay towards the start,
/// L1, and others.
///
/// Configured by [`AdamWConfig`].
#[derive(Debug, Clone)]
pub struct AdamW(Adam);

impl AdamWConfig {
    /// PyTorch's defaults for `torch.optim.AdamW`: ε 1e-8 and λ 1e-2.
    pub fn torch() -> Self {
        Self::new().with_epsilon(1e-8).with_weight_decay(1e-2)
    }
}

optimizer!(AdamWConfig => AdamW, AdamState);

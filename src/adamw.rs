use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;

use crate::adam::{Adam, AdamState};
use crate::config::{ConfigError, optimizer};
use crate::decay::{Coupling, Decay, DecayScaling};

/// Configuration of [`AdamW`].
///
/// ```
/// use burn_decay::AdamWConfig;
///
/// let optimizer = AdamWConfig::new().with_weight_decay(1e-2).init();
/// ```
#[derive(Config, Debug)]
pub struct AdamWConfig {
    /// β₁, the decay rate of the first moment. In [0, 1).
    #[config(default = 0.9)]
    pub beta_1: f64,
    /// β₂, the decay rate of the second moment. In [0, 1).
    #[config(default = 0.999)]
    pub beta_2: f64,
    /// ε, added to the root of the second moment. Finite and greater than 0.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// λ, the coefficient of the decay. Finite and not negative.
    #[config(default = 1e-4)]
    pub weight_decay: f64,
    /// What scales the decay: the learning rate, or the schedule alone.
    #[config(default = "DecayScaling::LearningRate")]
    pub decay_scaling: DecayScaling,
    /// Whether a weight decays only while its first moment has its own sign, so that the decay
    /// never works against the update ([Cautious Weight Decay](https://arxiv.org/abs/2510.12402)).
    #[config(default = false)]
    pub cautious_weight_decay: bool,
    /// Whether parameters of rank 0 and 1 (biases, the scales of norms) decay too.
    #[config(default = true)]
    pub decay_vectors: bool,
    /// Whether the largest second moment so far takes the place of the second moment
    /// ([On the Convergence of Adam and Beyond](https://openreview.net/forum?id=ryQu7f-RZ)).
    #[config(default = false)]
    pub amsgrad: bool,
    /// Clipping of each parameter's gradient, before the moments see it.
    pub grad_clipping: Option<GradientClippingConfig>,
}

/// Adam with decoupled weight decay.
///
/// ```text
/// m ← β₁m + (1-β₁)g        v ← β₂v + (1-β₂)g²
/// u = lr · m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + ε)
/// θ ← θ - (δθ + u)         δ = lr·λ, or what DecayScaling says
/// ```
///
/// The decay goes past the moments, so that every weight decays at the rate that was asked for.
/// Decay and update are summed before they meet the weight, which is rounded once: where others
/// multiply it by a rounded `1 - lr·λ`, and lose or double a decay of 1e-8 a step, this one
/// delivers it. See
/// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), algorithm 2.
///
/// It takes the place of `burn::optim::AdamW`, with the same defaults, and resumes from its
/// checkpoints. Parameters of half precision are updated in f32, in which their moments are kept.
///
/// Configured by [`AdamWConfig`].
#[derive(Debug, Clone)]
pub struct AdamW(Adam);

impl AdamWConfig {
    /// PyTorch's defaults for `torch.optim.AdamW`: ε 1e-8 and λ 1e-2.
    pub fn torch() -> Self {
        Self::new().with_epsilon(1e-8).with_weight_decay(1e-2)
    }

    /// The bare optimizer, which [`ModuleOptimizer::with_group`](burn::optim::ModuleOptimizer::with_group) takes for one group of
    /// parameters. Gradient clipping is the group's own there.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of its range.
    pub fn try_build(&self) -> Result<AdamW, ConfigError> {
        let adam = Adam {
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
            amsgrad: self.amsgrad,
            decay: Decay {
                coupling: Coupling::Decoupled {
                    weight_decay: self.weight_decay,
                    scaling: self.decay_scaling,
                    cautious: self.cautious_weight_decay,
                },
                vectors: self.decay_vectors,
            },
        };
        Ok(AdamW(adam.check()?))
    }
}

optimizer!(AdamWConfig => AdamW, AdamState);

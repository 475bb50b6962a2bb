use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;

use crate::adam::{Adam, AdamState};
use crate::config::{ConfigError, optimizer};
use crate::decay::{Coupling, Decay};

/// Configuration of [`AdamL2`].
///
/// ```
/// use burn_decay::AdamL2Config;
///
/// let optimizer = AdamL2Config::new().with_l2_penalty(1e-3).init();
/// ```
#[derive(Config, Debug)]
pub struct AdamL2Config {
    /// β₁, the decay rate of the first moment. In [0, 1).
    #[config(default = 0.9)]
    pub beta_1: f64,
    /// β₂, the decay rate of the second moment. In [0, 1).
    #[config(default = 0.999)]
    pub beta_2: f64,
    /// ε, added to the root of the second moment. Finite and greater than 0.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// λ, the coefficient of the penalty `λ/2·‖θ‖²`. Finite and not negative.
    #[config(default = 1e-4)]
    pub l2_penalty: f64,
    /// Whether parameters of rank 0 and 1 (biases, the scales of norms) are penalized too.
    #[config(default = true)]
    pub decay_vectors: bool,
    /// Whether the largest second moment so far takes the place of the second moment
    /// ([On the Convergence of Adam and Beyond](https://openreview.net/forum?id=ryQu7f-RZ)).
    #[config(default = false)]
    pub amsgrad: bool,
    /// Clipping of each parameter's gradient, before the penalty is added.
    pub grad_clipping: Option<GradientClippingConfig>,
}

/// Adam with the L2 penalty coupled into the gradient.
///
/// ```text
/// g ← g + λθ
/// m ← β₁m + (1-β₁)g        v ← β₂v + (1-β₂)g²
/// θ ← θ - lr · m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + ε)
/// ```
///
/// One step on a loss is one step of Adam without decay on the loss plus `λ/2·‖θ‖²`. The moments
/// see the penalty, so that a weight with large gradients decays less than one with small ones;
/// [`AdamW`](crate::AdamW) is the remedy. See
/// [Adam](https://arxiv.org/abs/1412.6980), algorithm 1, and
/// [Decoupled Weight Decay Regularization](https://arxiv.org/abs/1711.05101), algorithm 2 with
/// the part for L2 regularization.
///
/// It takes the place of `burn::optim::Adam` with `WeightDecayConfig`, and resumes from its
/// checkpoints. Parameters of half precision are updated in f32, in which their moments are kept.
///
/// Configured by [`AdamL2Config`].
#[derive(Debug, Clone)]
pub struct AdamL2(Adam);

impl AdamL2Config {
    /// PyTorch's defaults for `torch.optim.Adam`: ε 1e-8, and no penalty.
    pub fn torch() -> Self {
        Self::new().with_epsilon(1e-8).with_l2_penalty(0.0)
    }

    /// The bare optimizer, which [`ModuleOptimizer::with_group`](burn::optim::ModuleOptimizer::with_group) takes for one group of
    /// parameters. Gradient clipping is the group's own there.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of its range.
    pub fn try_build(&self) -> Result<AdamL2, ConfigError> {
        let adam = Adam {
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
            amsgrad: self.amsgrad,
            decay: Decay {
                coupling: Coupling::L2 {
                    penalty: self.l2_penalty,
                },
                vectors: self.decay_vectors,
            },
        };
        Ok(AdamL2(adam.check()?))
    }
}

optimizer!(AdamL2Config => AdamL2, AdamState);

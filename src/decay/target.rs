use burn::serde::{Deserialize, Serialize};

/// What the weights decay towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(crate = "burn::serde", deny_unknown_fields)]
#[non_exhaustive]
pub enum DecayTarget {
    /// 0.
    #[default]
    Zero,
    /// Where training began, θ₀: what decays, or is penalized, is `θ - θ₀`. For fine-tuning, where the
    /// start is a better guess than 0
    /// ([L2-SP](https://arxiv.org/abs/1802.01483), equation 2).
    ///
    /// θ₀ is the parameter as the optimizer first steps it. It is kept in the state, in the
    /// parameter's precision, and recorded (`momentum.start`). With a record that has none (Burn's,
    /// or of a run without this option) it is the parameter at the next step.
    Start,
}

use burn::serde::{Deserialize, Serialize};

/// How an optimizer keeps the moments of a parameter from step to step, or SGD's velocity. A step is
/// computed in the same precision whatever it is: the new weight comes from the moments before they
/// are rounded.
///
/// | | bytes of Adam's state a parameter |
/// | --- | --- |
/// | [`Full`](Self::Full) | 8 |
/// | [`Bf16`](Self::Bf16) | 4 |
/// | [`Bits8`](Self::Bits8) | 2.06 |
///
/// The last two round stochastically: up or down, each with the probability that makes the mean
/// right. To the nearest, the second moment would stop where a step moves it by less than half of
/// its last bit, with β₂ = 0.999 nearly everywhere. What is random is a function of the step's
/// number and of the element's place: the number of threads does not change it, nor does a resumed run.
///
/// See [the guide](crate::guide::small_moments) for the codes, their errors and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(crate = "burn::serde")]
#[non_exhaustive]
pub enum MomentPrecision {
    /// In f32; those of an f64 parameter in f64.
    #[default]
    Full,
    /// In bf16.
    Bf16,
    /// In codes of 8 bits, 32 of which share a scale. Tensors of fewer than 4,096 elements stay in
    /// full precision.
    Bits8,
}

/// Below it, 8 bits a moment save little, and a step has nothing to gain.
const SMALL: usize = 4096;

impl MomentPrecision {
    /// Whether a moment of so many elements stays as it is computed.
    pub(crate) fn keeps_whole(self, elements: usize) -> bool {
        match self {
            Self::Full => true,
            Self::Bf16 => false,
            Self::Bits8 => elements < SMALL,
        }
    }
}

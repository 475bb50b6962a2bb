//! The update rule, in each of its forms, and nothing else.
//!
//! In the names of the paper, with `g` the gradient and `θ` the parameter:
//!
//! ```text
//! g  ← g + λθ                     l2_penalty
//! d  = the rule's direction       adam.rs, sgd.rs
//! θ  ← θ - (δθ + α·d)             decay, step_size
//! ```
//!
//! The decay and the update are summed before they meet the parameter, so that the new one is
//! rounded once: a decay far below the parameter's last bit counts, on average, in full.

mod adam;
mod portable;
mod sgd;

#[cfg(feature = "one-pass")]
mod cpu;
#[cfg(feature = "cubecl")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "one-pass")]
mod strided;
#[cfg(feature = "one-pass")]
mod threads;

use std::sync::Once;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Tensor};

pub(crate) use adam::{Adam, Average};
pub(crate) use sgd::Sgd;

/// The scalars of one step, computed in f64 and rounded once, to the precision of the arithmetic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients<T, R> {
    pub decay: Decay<T>,
    /// α
    pub step_size: T,
    /// What the rule computes its direction with.
    pub rule: R,
}

/// What becomes of λ in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decay<T> {
    /// λ of the coupled penalty; zero where the decay is decoupled.
    pub l2_penalty: T,
    /// δ; zero where the decay is coupled.
    pub decoupled: T,
    /// Whether δ counts only where the update does not move the parameter away from 0.
    pub cautious: bool,
}

/// Below it a first moment counts as 0 for cautious decay: it is the smallest that every form on
/// every device keeps.
const SMALLEST_MOMENT: f32 = f32::MIN_POSITIVE;

impl<R> Coefficients<f64, R> {
    /// # Panics
    ///
    /// Panics where the square of a scalar overflows: a step takes the parameter to about α, and
    /// the next one multiplies that with δ.
    fn check(&self, arithmetic: DType) {
        let largest = match arithmetic {
            DType::F64 => f64::MAX,
            _ => f32::MAX.into(),
        };
        let scalars = [
            ("decay of a step, δ,", self.decay.decoupled),
            ("size of a step, α,", self.step_size),
        ];
        for (name, value) in scalars {
            assert!(
                value <= largest.sqrt(),
                "the learning rate is too large: the {name} is {value:e}, and overflows in {arithmetic:?}"
            );
        }
    }
}

/// How a gradient becomes the direction of a step, by way of `N` moving averages a parameter.
///
/// The mathematics stands in each form's own words, side by side, since a form computes with
/// tensors, with numbers or with what a GPU's compiler takes for numbers.
pub(crate) trait Rule<const N: usize>: Copy + Send + Sync + 'static {
    /// The direction for `g`, in Burn's tensor operations.
    fn of_tensors<const D: usize>(&self, g: Tensor<D>, averages: &mut [Tensor<D>; N]) -> Tensor<D>;

    /// The rule's scalars, rounded.
    #[cfg(feature = "one-pass")]
    type Rounded<T: cpu::Arithmetic>: cpu::Rule<T, N>;

    #[cfg(feature = "one-pass")]
    fn round_to<T: cpu::Arithmetic>(&self) -> Self::Rounded<T>;

    /// The direction as a part of the kernel.
    #[cfg(feature = "cubecl")]
    type Kernel: cube::Kernel;

    /// The rule's scalars, for the kernel to round.
    #[cfg(feature = "cubecl")]
    fn scalars(&self, arithmetic: DType) -> cube::Scalars<Self::Kernel>;
}

/// One step in the form that suits the parameter's device. Averages that are missing are zero.
pub(crate) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    averages: [Option<Tensor<D>>; N],
    coefficients: &Coefficients<f64, R>,
) -> (Tensor<D>, [Tensor<D>; N]) {
    let (shape, expected) = (gradient.shape(), parameter.shape());
    assert!(
        shape == expected,
        "the gradient has the shape {shape}, but the parameter {expected}"
    );
    // A gradient that the parameter's precision does not hold is never narrowed to it.
    let own = parameter.dtype();
    let common = common(own, gradient.dtype());
    let (parameter, gradient) = (cast(parameter, common), cast(gradient, common));
    let averages = averages.map(|average| {
        let average = average.unwrap_or_else(|| parameter.zeros_like());
        cast(average, arithmetic(common))
    });
    coefficients.check(arithmetic(common));

    let form = match (parameter.device().as_dispatch(), common) {
        #[cfg(feature = "flex")]
        (DispatchDevice::Flex(_), DType::F32 | DType::F64 | DType::F16 | DType::BF16) => flex::step,
        #[cfg(feature = "ndarray")]
        (DispatchDevice::NdArray(_), DType::F32 | DType::F64) => ndarray::step,
        #[cfg(feature = "cubecl")]
        (DispatchDevice::Cube(_), DType::F32 | DType::F64 | DType::F16 | DType::BF16) => cube::step,
        (device, _) => {
            warn_of_a_faster_form(device);
            portable::step
        }
    };
    let (updated, averages) = form(parameter, gradient, averages, coefficients);
    let averages = averages.map(|average| cast(average, arithmetic(own)));
    (cast(updated, own), averages)
}

/// Says, once, that a device has a faster form than the portable one, where it is a matter of a
/// feature of this crate or of the tensors.
fn warn_of_a_faster_form(device: &DispatchDevice) {
    static WARNED: Once = Once::new();
    if WARNED.is_completed() {
        return;
    }
    let device = format!("{device:?}");
    let remedy = match device.split(['(', ' ']).next() {
        Some("Flex") => "turn on the feature `flex` of burn-decay",
        Some("NdArray") => "turn on the feature `ndarray` of burn-decay",
        Some("Cube") => {
            "turn on the feature of burn-decay that is named as Burn's: `wgpu`, `cuda`, …"
        }
        Some("Autodiff") => {
            "give the optimizer tensors of the inner device, as `ModuleOptimizer` does"
        }
        _ => return,
    };
    WARNED.call_once(|| {
        log::warn!("burn-decay steps on {device} with Burn's tensor operations; for one pass over memory, {remedy}");
    });
}

/// The precision that a parameter of `dtype` is updated in, and that its averages are kept in.
fn arithmetic(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// The narrowest precision that holds what either holds.
fn common(one: DType, other: DType) -> DType {
    match (one, other) {
        (one, other) if one == other => one,
        (DType::F64, _) | (_, DType::F64) => DType::F64,
        _ => DType::F32,
    }
}

fn cast<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    if tensor.dtype() == dtype {
        tensor
    } else {
        tensor.cast(dtype)
    }
}

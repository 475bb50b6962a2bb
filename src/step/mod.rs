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

#[cfg(any(feature = "one-pass", feature = "cubecl"))]
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
    /// Whether δ counts only where the parameter and its first average have the same sign.
    pub cautious: bool,
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
    check_shape("gradient", &gradient, &parameter);
    let gradient = cast(gradient, parameter.dtype());
    let dtype = arithmetic(parameter.dtype());
    let averages = averages.map(|average| match average {
        Some(average) => {
            check_shape("recorded moment", &average, &parameter);
            cast(average, dtype)
        }
        None => cast(parameter.zeros_like(), dtype),
    });

    let form = match (parameter.device().as_dispatch(), parameter.dtype()) {
        #[cfg(feature = "flex")]
        (DispatchDevice::Flex(_), DType::F32 | DType::F64 | DType::F16 | DType::BF16) => flex::step,
        #[cfg(feature = "ndarray")]
        (DispatchDevice::NdArray(_), DType::F32 | DType::F64) => ndarray::step,
        #[cfg(feature = "cubecl")]
        (DispatchDevice::Cube(_), DType::F32 | DType::F64 | DType::F16 | DType::BF16) => cube::step,
        _ => portable::step,
    };
    form(parameter, gradient, averages, coefficients)
}

/// The precision that a parameter of `dtype` is updated in, and that its averages are kept in.
fn arithmetic(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

fn cast<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    if tensor.dtype() == dtype {
        tensor
    } else {
        tensor.cast(dtype)
    }
}

fn check_shape<const D: usize>(what: &str, tensor: &Tensor<D>, parameter: &Tensor<D>) {
    let (shape, expected) = (tensor.shape(), parameter.shape());
    assert!(
        shape == expected,
        "the {what} has the shape {shape}, but the parameter {expected}"
    );
}

//! The one update rule, in each of its forms, and nothing else.
//!
//! In the names of the paper, with `g` the gradient and `θ` the parameter:
//!
//! ```text
//! g  ← g + λθ                                    l2_penalty
//! m  ← m + (1-β₁)(g - m)                         average_1
//! v  ← v + (1-β₂)(g² - v)                        average_2
//! v̄  ← max(v̄, v)        in place of v below       amsgrad
//! θ  ← θ - (δθ + α̂ · m / (√v + ε̂))               decay, step_size, epsilon
//! ```
//!
//! with `α̂ = lr·√(1-β₂ᵗ)/(1-β₁ᵗ)` and `ε̂ = ε·√(1-β₂ᵗ)`, which is how Kingma and Ba (*Adam*,
//! arXiv 1412.6980, end of section 2) fold the bias corrections into two scalars.
//!
//! Three things make the f32 result what it is:
//!
//! - the decay and the update are summed before they meet the parameter, so that the new one is
//!   rounded once: a decay far below the parameter's last bit counts, on average, in full;
//! - the averages move by a share of the difference, so that rounding `1-β₂` to f32 shifts the
//!   rate by 2⁻²⁴ of itself, where a rounded `β₂` next to 1 would shift it by 3·10⁻⁵; for β below
//!   one half they move from the other end, `g + β(m - g)`, where that is the exact one;
//! - a `v` that overflowed stays infinite, as a decaying average would, so that a gradient too
//!   large to be squared ends the updates of its element, as it does elsewhere, and is no NaN.

mod portable;

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "ndarray")]
mod ndarray;

#[cfg(any(feature = "flex", feature = "ndarray"))]
use burn::backend::DispatchDevice;
use burn::tensor::{DType, Tensor};

/// The scalars of one step, computed in f64 and rounded once, to the precision of the arithmetic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients<T> {
    /// λ of the coupled penalty; zero where the decay is decoupled.
    pub l2_penalty: T,
    pub average_1: Average<T>,
    pub average_2: Average<T>,
    /// α̂
    pub step_size: T,
    /// ε̂
    pub epsilon: T,
    /// δ; zero where the decay is coupled.
    pub decay: T,
    /// Whether δ counts only where the parameter and `m` have the same sign.
    pub cautious: bool,
    /// Whether the largest `v` so far takes the place of `v`.
    pub amsgrad: bool,
}

/// A moving average: what it keeps of itself, and what it takes of the new.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Average<T> {
    pub beta: T,
    pub one_minus_beta: T,
}

impl Average<f64> {
    pub(crate) fn new(beta: f64) -> Self {
        Self {
            beta,
            one_minus_beta: 1.0 - beta,
        }
    }

    fn map<T>(self, round: impl Fn(f64) -> T) -> Average<T> {
        Average {
            beta: round(self.beta),
            one_minus_beta: round(self.one_minus_beta),
        }
    }
}

impl Coefficients<f64> {
    /// Rounds each scalar with `round`. An ε̂ too small for `T` becomes `smallest`: as zero it
    /// would divide zero by zero wherever the gradient has always been zero.
    fn round_to<T: PartialOrd>(self, smallest: T, round: impl Fn(f64) -> T) -> Coefficients<T> {
        let epsilon = round(self.epsilon);
        Coefficients {
            l2_penalty: round(self.l2_penalty),
            average_1: self.average_1.map(&round),
            average_2: self.average_2.map(&round),
            step_size: round(self.step_size),
            epsilon: if epsilon < smallest {
                smallest
            } else {
                epsilon
            },
            decay: round(self.decay),
            cautious: self.cautious,
            amsgrad: self.amsgrad,
        }
    }
}

/// The moving averages of one parameter: as tensors, as a backend's primitives or as slices.
#[derive(Debug, Clone)]
pub(crate) struct Moments<T> {
    /// m
    pub moment_1: T,
    /// v
    pub moment_2: T,
    /// v̄, where AMSGrad keeps it.
    pub max_moment_2: Option<T>,
}

impl<T> Moments<T> {
    pub(crate) fn map<U>(self, mut f: impl FnMut(T) -> U) -> Moments<U> {
        Moments {
            moment_1: f(self.moment_1),
            moment_2: f(self.moment_2),
            max_moment_2: self.max_moment_2.map(f),
        }
    }

    #[cfg(any(feature = "flex", feature = "ndarray"))]
    fn as_mut(&mut self) -> Moments<&mut T> {
        Moments {
            moment_1: &mut self.moment_1,
            moment_2: &mut self.moment_2,
            max_moment_2: self.max_moment_2.as_mut(),
        }
    }
}

/// One step of Adam in the form that suits the parameter's device. The moments of a first step
/// are zero.
pub(crate) fn adam<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: Option<Moments<Tensor<D>>>,
    coefficients: &Coefficients<f64>,
) -> (Tensor<D>, Moments<Tensor<D>>) {
    check_shape("gradient", &gradient, &parameter);
    let gradient = cast(gradient, parameter.dtype());
    let moments = ready(moments, &parameter, coefficients.amsgrad);

    let form = match (parameter.device().as_dispatch(), parameter.dtype()) {
        #[cfg(feature = "flex")]
        (DispatchDevice::Flex(_), DType::F32 | DType::F64 | DType::F16 | DType::BF16) => flex::adam,
        #[cfg(feature = "ndarray")]
        (DispatchDevice::NdArray(_), DType::F32 | DType::F64) => ndarray::adam,
        _ => portable::adam,
    };
    form(parameter, gradient, moments, coefficients)
}

/// The moments in the shape, on the device and in the precision that a step needs.
fn ready<const D: usize>(
    moments: Option<Moments<Tensor<D>>>,
    parameter: &Tensor<D>,
    amsgrad: bool,
) -> Moments<Tensor<D>> {
    let dtype = arithmetic(parameter.dtype());
    let zeros = || cast(parameter.zeros_like(), dtype);

    let mut moments = match moments {
        Some(moments) => moments.map(|moment| {
            check_shape("recorded moment", &moment, parameter);
            cast(moment, dtype)
        }),
        None => Moments {
            moment_1: zeros(),
            moment_2: zeros(),
            max_moment_2: None,
        },
    };
    if amsgrad && moments.max_moment_2.is_none() {
        moments.max_moment_2 = Some(zeros());
    }
    moments
}

/// The precision that a parameter of `dtype` is updated in, and that its moments are kept in.
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

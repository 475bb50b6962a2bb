//! The step in one pass over slices, with SIMD and threads; it knows nothing of Burn's backends.
//!
//! The loop is scalar code that [`macerator`] compiles for each instruction set, picking the best
//! one at run time; the compiler turns it into vector instructions. Every element is computed on
//! its own, so neither the vectors' width nor the split over threads shows in the result.

use burn::tensor::DType;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use macerator::{AutoArch, Simd, VFma, WithSimd};
use num_traits::{Float, NumCast};

use super::threads::{share, threads};
use super::{Coefficients, Decay, SMALLEST_MOMENT};

/// The length from which threads pay: less is done before another thread wakes.
const THREADS_PAY_FROM: usize = 1 << 16;

/// The least and the most that a thread takes at a time. The less there is left the less it takes,
/// so that all finish at about the same time.
const CHUNKS: [usize; 2] = [1 << 12, 1 << 16];

/// What a step is computed in.
pub(crate) trait Arithmetic: Element<Arithmetic = Self> + Float + VFma {
    const DTYPE: DType;
}

impl Arithmetic for f32 {
    const DTYPE: DType = DType::F32;
}

impl Arithmetic for f64 {
    const DTYPE: DType = DType::F64;
}

/// A scalar in the arithmetic's precision.
#[inline(always)]
pub(crate) fn round<T: Arithmetic>(scalar: f64) -> T {
    NumCast::from(scalar).expect("f32 and f64 take any f64")
}

/// A rule's direction, number by number.
pub(crate) trait Rule<T, const N: usize>: Copy + Send + Sync {
    /// `FUSED` says whether the machine multiplies and adds in one instruction.
    fn of_numbers<const FUSED: bool>(&self, g: T, moments: &mut [T; N]) -> T;
}

/// `a·b + c`, rounded once where the machine has an instruction for it; the standard library would
/// take a slow function call elsewhere.
#[inline(always)]
pub(crate) fn multiply_add<T: Arithmetic, const FUSED: bool>(a: T, b: T, c: T) -> T {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// One step. On return `gradient` holds the new parameter.
///
/// # Panics
///
/// Panics where a slice is shorter than `parameter`.
pub(super) fn step<E: Element, R: super::Rule<N>, const N: usize>(
    parameter: &[E],
    gradient: &mut [E],
    moments: [&mut [E::Arithmetic]; N],
    coefficients: &Coefficients<f64, R>,
) {
    let Coefficients {
        decay,
        step_size,
        rule,
    } = coefficients;
    let coefficients = Coefficients {
        decay: Decay {
            l2_penalty: round(decay.l2_penalty),
            decoupled: round(decay.decoupled),
            cautious: decay.cautious,
        },
        step_size: round(*step_size),
        rule: rule.round_to::<E::Arithmetic>(),
    };
    let slices = Slices {
        parameter,
        gradient,
        moments,
    };
    in_tasks(slices, &coefficients);
}

/// What a step reads and writes.
pub(crate) struct Slices<'a, E: Element, const N: usize> {
    parameter: &'a [E],
    gradient: &'a mut [E],
    moments: [&'a mut [E::Arithmetic]; N],
}

impl<E: Element, const N: usize> Slices<'_, E, N> {
    /// Takes the first elements away, `length` of them or what is left.
    fn take(&mut self, length: usize) -> Self {
        let length = length.min(self.parameter.len());
        Slices {
            parameter: self.parameter.split_off(..length).expect(IN_RANGE),
            gradient: self.gradient.split_off_mut(..length).expect(IN_RANGE),
            moments: self
                .moments
                .each_mut()
                .map(|moment| moment.split_off_mut(..length).expect(IN_RANGE)),
        }
    }
}

const IN_RANGE: &str = "the slices are of one length";

fn in_tasks<E: Element, R: Rule<E::Arithmetic, N>, const N: usize>(
    mut slices: Slices<E, N>,
    coefficients: &Coefficients<E::Arithmetic, R>,
) {
    let update = |slices| {
        AutoArch::new().dispatch(Task {
            slices,
            coefficients,
        })
    };
    let length = slices.parameter.len();
    if length < THREADS_PAY_FROM {
        return update(slices);
    }
    let [least, most] = CHUNKS;
    let threads = threads(length / least);
    let chunks = std::iter::from_fn(|| {
        let left = slices.parameter.len();
        let chunk = slices.take((left / (2 * threads)).clamp(least, most));
        (left > 0).then_some(chunk)
    });
    share(chunks, threads, update);
}

struct Task<'a, E: Element, R, const N: usize> {
    slices: Slices<'a, E, N>,
    coefficients: &'a Coefficients<E::Arithmetic, R>,
}

impl<E: Element, R: Rule<E::Arithmetic, N>, const N: usize> WithSimd for Task<'_, E, R, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self {
            slices,
            coefficients,
        } = self;
        if E::Arithmetic::is_accelerated::<S>() {
            E::in_arithmetic(slices, |slices| {
                update::<_, R, N, true>(slices, coefficients)
            });
        } else {
            E::in_arithmetic(slices, |slices| {
                update::<_, R, N, false>(slices, coefficients)
            });
        }
    }
}

/// The step, element by element.
#[inline(always)]
fn update<T: Arithmetic, R: Rule<T, N>, const N: usize, const FUSED: bool>(
    slices: Slices<T, N>,
    coefficients: &Coefficients<T, R>,
) {
    // By value: behind the reference, the decay would be gathered element by element.
    let Coefficients {
        decay,
        step_size,
        rule,
    } = *coefficients;
    let theta = slices.parameter;
    let length = theta.len();
    let gradient = &mut slices.gradient[..length];
    let moments = slices.moments.map(|moment| &mut moment[..length]);

    for i in 0..length {
        let g = multiply_add::<T, FUSED>(decay.l2_penalty, theta[i], gradient[i]);
        let mut moments_i = std::array::from_fn(|k| moments[k][i]);
        let direction = rule.of_numbers::<FUSED>(g, &mut moments_i);

        // Adam's first moment; SGD's direction is itself what counts.
        let of_sign = if N > 1 { moments_i[0] } else { direction };
        let spared = decay.cautious && is_against(theta[i], direction, of_sign);
        let decoupled = if spared { T::zero() } else { decay.decoupled };
        gradient[i] =
            theta[i] - multiply_add::<T, FUSED>(step_size, direction, decoupled * theta[i]);
        for k in 0..N {
            moments[k][i] = moments_i[k];
        }
    }
}

/// Whether the update moves the parameter away from 0.
#[inline(always)]
fn is_against<T: Arithmetic>(theta: T, direction: T, of_sign: T) -> bool {
    let zero = T::zero();
    let apart = (theta > zero && direction < zero) || (theta < zero && direction > zero);
    apart && of_sign.abs() >= round(SMALLEST_MOMENT.into())
}

/// An element that a parameter can have.
pub(crate) trait Element: Copy + Default + Send + Sync {
    /// What its step is computed in, and what its moments are kept in.
    type Arithmetic: Arithmetic;

    /// Hands the slices to `update` in the arithmetic's precision.
    fn in_arithmetic<const N: usize>(
        slices: Slices<Self, N>,
        update: impl Fn(Slices<Self::Arithmetic, N>),
    );
}

macro_rules! native {
    ($($element:ty),*) => {$(
        impl Element for $element {
            type Arithmetic = $element;

            #[inline(always)]
            fn in_arithmetic<const N: usize>(
                slices: Slices<Self, N>,
                update: impl Fn(Slices<Self, N>),
            ) {
                update(slices)
            }
        }
    )*};
}
native!(f32, f64);

macro_rules! half_precision {
    ($($element:ty),*) => {$(
        impl Element for $element {
            type Arithmetic = f32;

            /// Block by block: what is widened stays in the innermost cache.
            #[inline(always)]
            fn in_arithmetic<const N: usize>(
                mut slices: Slices<Self, N>,
                update: impl Fn(Slices<f32, N>),
            ) {
                const BLOCK: usize = 512;
                let mut parameter = [0.0; BLOCK];
                let mut gradient = [0.0; BLOCK];
                while !slices.parameter.is_empty() {
                    let block = slices.take(BLOCK);
                    let length = block.parameter.len();
                    let (parameter, gradient) = (&mut parameter[..length], &mut gradient[..length]);
                    block.parameter.convert_to_f32_slice(parameter);
                    block.gradient.convert_to_f32_slice(gradient);
                    update(Slices { parameter, gradient, moments: block.moments });
                    block.gradient.convert_from_f32_slice(gradient);
                }
            }
        }
    )*};
}
half_precision!(f16, bf16);

//! The step in one pass over slices, with SIMD and threads; it knows nothing of Burn's backends.
//!
//! The loop is scalar code that [`macerator`] compiles for each instruction set, picking the best
//! one at run time; the compiler turns it into vector instructions. Every element is computed on
//! its own, so neither the vectors' width nor the split over threads shows in the result.

use burn::tensor::DType;
use macerator::{AutoArch, Simd, VFma, WithSimd};
use num_traits::{Float, NumCast, Zero};

use super::threads::{share, threads};
use super::weights::{Weights, first_mut};
use super::{Coefficients, Decay, SMALLEST_MOMENT};

/// The length from which threads pay: less is done before another thread wakes.
const THREADS_PAY_FROM: usize = 1 << 16;

/// The least and the most that a thread takes at a time. The less there is left the less it takes,
/// so that all finish at about the same time.
const CHUNKS: [usize; 2] = [1 << 12, 1 << 16];

/// What a step is computed in.
pub(crate) trait Arithmetic: Float + VFma + Default + Send + Sync {
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

/// One step. On return the new parameter is where the gradient was.
///
/// # Panics
///
/// Panics where the slices are not of one length.
pub(super) fn step<W: Weights, R: super::Rule<N>, const N: usize>(
    weights: W,
    moments: [&mut [W::Arithmetic]; N],
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
        rule: rule.round_to::<W::Arithmetic>(),
    };
    in_tasks(Slices { weights, moments }, &coefficients);
}

/// What a step reads and writes.
pub(crate) struct Slices<'a, W: Weights, const N: usize> {
    pub weights: W,
    pub moments: [&'a mut [W::Arithmetic]; N],
}

impl<W: Weights, const N: usize> Slices<'_, W, N> {
    /// Takes the first elements away, `length` of them or what is left.
    pub(super) fn take(&mut self, length: usize) -> Self {
        let length = length.min(self.weights.length());
        Slices {
            weights: self.weights.take(length),
            moments: self
                .moments
                .each_mut()
                .map(|moment| first_mut(moment, length)),
        }
    }
}

fn in_tasks<W: Weights, R: Rule<W::Arithmetic, N>, const N: usize>(
    mut slices: Slices<W, N>,
    coefficients: &Coefficients<W::Arithmetic, R>,
) {
    let update = |slices| {
        AutoArch::new().dispatch(Update {
            slices,
            coefficients,
        })
    };
    let length = slices.weights.length();
    if length < THREADS_PAY_FROM {
        return update(slices);
    }
    let [least, most] = CHUNKS;
    let threads = threads(length / least);
    let chunks = std::iter::from_fn(|| {
        let left = slices.weights.length();
        let chunk = slices.take((left / (2 * threads)).clamp(least, most));
        (left > 0).then_some(chunk)
    });
    share(chunks, threads, update);
}

struct Update<'a, W: Weights, R, const N: usize> {
    slices: Slices<'a, W, N>,
    coefficients: &'a Coefficients<W::Arithmetic, R>,
}

impl<W: Weights, R: Rule<W::Arithmetic, N>, const N: usize> WithSimd for Update<'_, W, R, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        if W::Arithmetic::is_accelerated::<S>() {
            update::<_, R, N, true>(self.slices, self.coefficients)
        } else {
            update::<_, R, N, false>(self.slices, self.coefficients)
        }
    }
}

/// The step, element by element.
#[inline(always)]
fn update<W: Weights, R: Rule<W::Arithmetic, N>, const N: usize, const FUSED: bool>(
    mut slices: Slices<W, N>,
    coefficients: &Coefficients<W::Arithmetic, R>,
) {
    // By value: behind the reference, the decay would be gathered element by element.
    let Coefficients {
        decay,
        step_size,
        rule,
    } = *coefficients;
    let length = slices.weights.length();
    // All of this length, which spares a look at each element's index.
    let Slices {
        mut weights,
        mut moments,
    } = slices.take(length);

    for i in 0..length {
        let (theta, g) = (weights.parameter(i), weights.gradient(i));
        let g = multiply_add::<_, FUSED>(decay.l2_penalty, theta, g);
        let mut moments_i = moments.each_ref().map(|moment| moment[i]);
        let direction = rule.of_numbers::<FUSED>(g, &mut moments_i);

        // Adam's first moment; SGD's direction is itself what counts.
        let of_sign = if N > 1 { moments_i[0] } else { direction };
        let spared = decay.cautious && is_against(theta, direction, of_sign);
        let decoupled = if spared {
            Zero::zero()
        } else {
            decay.decoupled
        };
        let change = multiply_add::<_, FUSED>(step_size, direction, decoupled * theta);
        weights.put(i, theta - change);
        for (moment, moment_i) in moments.iter_mut().zip(moments_i) {
            moment[i] = moment_i;
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

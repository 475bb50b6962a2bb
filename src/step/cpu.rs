//! The step in one pass over slices, with SIMD and threads; it knows nothing of Burn's backends.
//!
//! The loop is scalar code that [`macerator`] compiles for each instruction set, picking the best
//! one at run time; the compiler turns it into vector instructions. Every element is computed on
//! its own, so neither the vectors' width nor the split over threads shows in the result.

use burn::tensor::{DType, bf16};
use macerator::{AutoArch, Simd, VFma, WithSimd};
use num_traits::{Float, NumCast, Zero};

use super::codes::{BLOCK, Blocks, Computed, Parts, Rounding, narrowed, widened};
use super::threads::{share, threads};
use super::weights::{Weights, first_mut};
use super::{Coefficients, Decay, SMALLEST_MOMENT};

/// The length from which threads pay: less is done before another thread wakes.
const THREADS_PAY_FROM: usize = 1 << 16;

/// The least and the most that a thread takes at a time. The less there is left the less it takes,
/// so that all finish at about the same time.
const CHUNKS: [usize; 2] = [1 << 12, 1 << 16];

/// What a step is computed in.
pub(crate) trait Arithmetic: Float + VFma + Default + Computed + Send + Sync {
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

/// The moments of a part of a parameter, as they lie in memory.
pub(super) trait Moments<T: Arithmetic, const N: usize>: Sized + Send {
    /// Takes the first elements away: a multiple of [`BLOCK`], or all that is left.
    fn take(&mut self, length: usize) -> Self;

    /// The step, element by element.
    fn step<W: Weights<Arithmetic = T>, R: Rule<T, N>, const FUSED: bool>(
        self,
        weights: W,
        coefficients: &Coefficients<T, R>,
    );
}

/// One step. On return the new parameter is where the gradient was.
///
/// # Panics
///
/// Panics where the slices are not of one length.
pub(super) fn step<W: Weights, R: super::Rule<N>, const N: usize>(
    weights: W,
    moments: impl Moments<W::Arithmetic, N>,
    coefficients: &Coefficients<f64, R>,
) {
    let Coefficients {
        time,
        decay,
        step_size,
        rule,
    } = coefficients;
    let coefficients = Coefficients {
        time: *time,
        decay: Decay {
            l2_penalty: round(decay.l2_penalty),
            decoupled: round(decay.decoupled),
            cautious: decay.cautious,
        },
        step_size: round(*step_size),
        rule: rule.round_to::<W::Arithmetic>(),
    };
    in_tasks(weights, moments, &coefficients);
}

fn in_tasks<W: Weights, M: Moments<W::Arithmetic, N>, R: Rule<W::Arithmetic, N>, const N: usize>(
    mut weights: W,
    mut moments: M,
    coefficients: &Coefficients<W::Arithmetic, R>,
) {
    let update = |(weights, moments)| {
        AutoArch::new().dispatch(Update::<_, _, _, N> {
            weights,
            moments,
            coefficients,
        })
    };
    let length = weights.length();
    if length < THREADS_PAY_FROM {
        return update((weights, moments));
    }
    let [least, most] = CHUNKS;
    let threads = threads(length / least);
    let chunks = std::iter::from_fn(|| {
        let left = weights.length();
        let chunk = (left / (2 * threads)).clamp(least, most);
        let chunk = chunk.next_multiple_of(BLOCK).min(left);
        (left > 0).then(|| (weights.take(chunk), moments.take(chunk)))
    });
    share(chunks, threads, update);
}

struct Update<'a, W: Weights, M, R, const N: usize> {
    weights: W,
    moments: M,
    coefficients: &'a Coefficients<W::Arithmetic, R>,
}

impl<W, M, R, const N: usize> WithSimd for Update<'_, W, M, R, N>
where
    W: Weights,
    M: Moments<W::Arithmetic, N>,
    R: Rule<W::Arithmetic, N>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self {
            weights,
            moments,
            coefficients,
        } = self;
        if W::Arithmetic::is_accelerated::<S>() {
            moments.step::<W, R, true>(weights, coefficients);
        } else {
            moments.step::<W, R, false>(weights, coefficients);
        }
    }
}

/// Moments that are read and put back one by one.
trait OneByOne<T, const N: usize> {
    fn get(&self, i: usize) -> [T; N];

    fn put(&mut self, i: usize, moments: [T; N]);
}

/// The step, element by element.
#[inline(always)]
fn each<W, M, R, const N: usize, const FUSED: bool>(
    mut weights: W,
    mut moments: M,
    coefficients: &Coefficients<W::Arithmetic, R>,
) where
    W: Weights,
    M: OneByOne<W::Arithmetic, N>,
    R: Rule<W::Arithmetic, N>,
{
    // By value: behind the reference, the decay would be gathered element by element.
    let Coefficients {
        decay,
        step_size,
        rule,
        ..
    } = *coefficients;
    for i in 0..weights.length() {
        let (theta, g) = (weights.parameter(i), weights.gradient(i));
        let g = multiply_add::<_, FUSED>(decay.l2_penalty, theta, g);
        let mut moments_i = moments.get(i);
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
        moments.put(i, moments_i);
    }
}

/// Each in the precision that it is computed in.
impl<T: Arithmetic, const N: usize> Moments<T, N> for [&mut [T]; N] {
    #[inline(always)]
    fn take(&mut self, length: usize) -> Self {
        self.each_mut().map(|moment| first_mut(moment, length))
    }

    #[inline(always)]
    fn step<W: Weights<Arithmetic = T>, R: Rule<T, N>, const FUSED: bool>(
        mut self,
        mut weights: W,
        coefficients: &Coefficients<T, R>,
    ) {
        // All of this length, which spares a look at each element's index.
        let length = weights.length();
        let moments = Moments::<T, N>::take(&mut self, length);
        each::<W, _, R, N, FUSED>(weights.take(length), moments, coefficients);
    }
}

impl<T: Arithmetic, const N: usize> OneByOne<T, N> for [&mut [T]; N] {
    #[inline(always)]
    fn get(&self, i: usize) -> [T; N] {
        self.each_ref().map(|moment| moment[i])
    }

    #[inline(always)]
    fn put(&mut self, i: usize, moments: [T; N]) {
        for (moment, next) in self.iter_mut().zip(moments) {
            moment[i] = next;
        }
    }
}

/// In fewer bytes.
pub(super) struct Packed<'a, const N: usize> {
    pub parts: Parts<'a, N>,
    /// The index of the first element.
    pub first: usize,
}

impl<T: Arithmetic, const N: usize> Moments<T, N> for Packed<'_, N> {
    #[inline(always)]
    fn take(&mut self, length: usize) -> Self {
        let first = self.first;
        self.first += length;
        let parts = self.parts.take(length);
        Packed { parts, first }
    }

    #[inline(always)]
    fn step<W: Weights<Arithmetic = T>, R: Rule<T, N>, const FUSED: bool>(
        self,
        weights: W,
        coefficients: &Coefficients<T, R>,
    ) {
        let rounding = Rounding::new(coefficients.time, self.first);
        match self.parts {
            Parts::Bf16(halves) => {
                let halves = Halves { halves, rounding };
                each::<W, _, R, N, FUSED>(weights, halves, coefficients);
            }
            Parts::Bits8(blocks) => {
                through_a_window::<W, R, N, FUSED>(weights, blocks, rounding, coefficients);
            }
        }
    }
}

struct Halves<'a, const N: usize> {
    halves: [&'a mut [bf16]; N],
    rounding: Rounding,
}

impl<T: Arithmetic, const N: usize> OneByOne<T, N> for Halves<'_, N> {
    #[inline(always)]
    fn get(&self, i: usize) -> [T; N] {
        self.halves
            .each_ref()
            .map(|halves| widened(halves[i]).into())
    }

    #[inline(always)]
    fn put(&mut self, i: usize, moments: [T; N]) {
        for (halves, next) in self.halves.iter_mut().zip(moments) {
            halves[i] = narrowed(next.to_f32(), self.rounding.at(i));
        }
    }
}

/// Blocks of codes are decoded into a window, which stays in the innermost cache, and encoded there.
#[inline(always)]
fn through_a_window<W, R, const N: usize, const FUSED: bool>(
    mut weights: W,
    mut blocks: [Blocks<'_>; N],
    mut rounding: Rounding,
    coefficients: &Coefficients<W::Arithmetic, R>,
) where
    W: Weights,
    R: Rule<W::Arithmetic, N>,
{
    /// A number of blocks.
    const WINDOW: usize = 512;
    let mut windows = [[W::Arithmetic::zero(); WINDOW]; N];
    while weights.length() > 0 {
        let length = WINDOW.min(weights.length());
        let mut numbers = windows.each_mut().map(|window| &mut window[..length]);
        let here = blocks.each_mut().map(|blocks| blocks.take(length));
        for (blocks, numbers) in here.iter().zip(&mut numbers) {
            blocks.decode(numbers);
        }
        let lent = numbers.each_mut().map(|numbers| &mut **numbers);
        each::<W, _, R, N, FUSED>(weights.take(length), lent, coefficients);
        for (blocks, numbers) in here.into_iter().zip(numbers) {
            blocks.encode(numbers, rounding);
        }
        rounding = rounding.skip(length);
    }
}

/// Whether the update moves the parameter away from 0.
#[inline(always)]
fn is_against<T: Arithmetic>(theta: T, direction: T, of_sign: T) -> bool {
    let zero = T::zero();
    let apart = (theta > zero && direction < zero) || (theta < zero && direction > zero);
    apart && of_sign.abs() >= round(SMALLEST_MOMENT.into())
}

//! The step in one pass over slices, with SIMD and threads; it knows nothing of Burn's backends.
//!
//! The loop is scalar code that [`macerator`] compiles for each instruction set, picking the best
//! one at run time; the compiler turns it into vector instructions. Every element is computed on
//! its own, so neither the vectors' width nor the split over threads shows in the result.

use burn::tensor::{DType, bf16};
use macerator::{AutoArch, Simd, VFma, WithSimd};
use num_traits::{Float, NumCast, Zero};

use super::codes::{BLOCK, Blocks, CodeSlices, Computed, narrowed, widened};
use super::rounding::{Neighbour, Rounding, fraction};
use super::threads::{THREADS_PAY_FROM, share, threads};
use super::weights::{Number, Weights, first, first_mut};
use super::{Coefficients, Decay, SMALLEST_MOMENT};

/// The least and the most that a thread takes at a time. The less there is left the less it takes,
/// so that all finish at about the same time.
const CHUNKS: [usize; 2] = [1 << 12, 1 << 16];

/// What a step is computed in.
pub(crate) trait Arithmetic:
    Float + Neighbour + VFma + Default + Computed + Send + Sync
{
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

/// The ways in which the elements of a part of a parameter decay.
pub(super) trait Ways<E: Number>: Sized + Send {
    /// Whether it is δθ alone, which costs nothing for the others.
    const PLAIN: bool;

    /// Takes the first elements away.
    fn take(&mut self, length: usize) -> Self;

    /// θ₀
    fn target(&self, i: usize) -> E::Arithmetic;

    /// What decides about the rounding, where it is random.
    fn random(&self, i: usize) -> Option<u32>;
}

struct PlainDecay;

impl<E: Number> Ways<E> for PlainDecay {
    const PLAIN: bool = true;

    #[inline(always)]
    fn take(&mut self, _length: usize) -> Self {
        PlainDecay
    }

    #[inline(always)]
    fn target(&self, _i: usize) -> E::Arithmetic {
        E::Arithmetic::zero()
    }

    #[inline(always)]
    fn random(&self, _i: usize) -> Option<u32> {
        None
    }
}

/// All that the coefficients say, towards the start where there is one.
struct AnyDecay<'a, E> {
    start: Option<&'a [E]>,
    rounding: Option<Rounding>,
}

impl<E: Number> Ways<E> for AnyDecay<'_, E> {
    const PLAIN: bool = false;

    #[inline(always)]
    fn take(&mut self, length: usize) -> Self {
        let start = self.start.as_mut().map(|start| first(start, length));
        let rounding = self.rounding;
        self.rounding = rounding.map(|rounding| rounding.skip(length));
        AnyDecay { start, rounding }
    }

    #[inline(always)]
    fn target(&self, i: usize) -> E::Arithmetic {
        self.start
            .map_or(E::Arithmetic::zero(), |start| start[i].widen())
    }

    #[inline(always)]
    fn random(&self, i: usize) -> Option<u32> {
        self.rounding.map(|rounding| rounding.at(i))
    }
}

/// The moments of a part of a parameter, as they lie in memory.
pub(super) trait Moments<T: Arithmetic, const N: usize>: Sized + Send {
    /// Takes the first elements away: a multiple of [`BLOCK`], or all that is left.
    fn take(&mut self, length: usize) -> Self;

    /// The step, element by element.
    fn step<W, D, R, const FUSED: bool>(
        self,
        weights: W,
        ways: D,
        coefficients: &Coefficients<T, R>,
    ) where
        W: Weights<Arithmetic = T>,
        D: Ways<W::Number>,
        R: Rule<T, N>;
}

/// One step. On return the new parameter is where the gradient was.
///
/// # Panics
///
/// Panics where the slices are not of one length.
pub(super) fn step<W: Weights, R: super::Rule<N>, const N: usize>(
    weights: W,
    start: Option<&[W::Number]>,
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
            l1: round(decay.l1),
            cautious: decay.cautious,
            towards_start: decay.towards_start,
            stochastic: decay.stochastic,
        },
        step_size: round(*step_size),
        rule: rule.round_to::<W::Arithmetic>(),
    };
    if decay.l1 > 0.0 || decay.cautious || decay.stochastic || start.is_some() {
        let rounding = decay.stochastic.then(|| Rounding::new(*time, 0));
        in_tasks(
            weights,
            AnyDecay { start, rounding },
            moments,
            &coefficients,
        );
    } else {
        in_tasks(weights, PlainDecay, moments, &coefficients);
    }
}

fn in_tasks<W, D, M, R, const N: usize>(
    mut weights: W,
    mut ways: D,
    mut moments: M,
    coefficients: &Coefficients<W::Arithmetic, R>,
) where
    W: Weights,
    D: Ways<W::Number>,
    M: Moments<W::Arithmetic, N>,
    R: Rule<W::Arithmetic, N>,
{
    let update = |(weights, ways, moments)| {
        AutoArch::new().dispatch(Update::<_, _, _, _, N> {
            weights,
            ways,
            moments,
            coefficients,
        })
    };
    let length = weights.length();
    if length < THREADS_PAY_FROM {
        return update((weights, ways, moments));
    }
    let [least, most] = CHUNKS;
    let threads = threads(length / least);
    let chunks = std::iter::from_fn(|| {
        let left = weights.length();
        let chunk = (left / (2 * threads)).clamp(least, most);
        let chunk = chunk.next_multiple_of(BLOCK).min(left);
        (left > 0).then(|| (weights.take(chunk), ways.take(chunk), moments.take(chunk)))
    });
    share(chunks, threads, update);
}

struct Update<'a, W: Weights, D, M, R, const N: usize> {
    weights: W,
    ways: D,
    moments: M,
    coefficients: &'a Coefficients<W::Arithmetic, R>,
}

impl<W, D, M, R, const N: usize> WithSimd for Update<'_, W, D, M, R, N>
where
    W: Weights,
    D: Ways<W::Number>,
    M: Moments<W::Arithmetic, N>,
    R: Rule<W::Arithmetic, N>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self {
            weights,
            ways,
            moments,
            coefficients,
        } = self;
        if W::Arithmetic::is_accelerated::<S>() {
            moments.step::<W, D, R, true>(weights, ways, coefficients);
        } else {
            moments.step::<W, D, R, false>(weights, ways, coefficients);
        }
    }
}

/// `for $which in 0..$count` without its iterator, which would be called for every element where little is
/// optimized, as in the tests.
macro_rules! for_each {
    ($which:ident in $count:ident => $do:expr) => {
        let mut $which = 0;
        while $which < $count {
            $do;
            $which += 1;
        }
    };
}

/// Moments that are read and put back one by one.
trait OneByOne<T, const N: usize> {
    fn get(&self, i: usize) -> [T; N];

    fn put(&mut self, i: usize, moments: [T; N]);
}

/// The step, element by element.
#[inline(always)]
fn each<W, D, M, R, const N: usize, const FUSED: bool>(
    mut weights: W,
    ways: D,
    mut moments: M,
    coefficients: &Coefficients<W::Arithmetic, R>,
) where
    W: Weights,
    D: Ways<W::Number>,
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
    // Without an iterator, as in `for_each!`.
    let (mut i, length) = (0, weights.length());
    while i < length {
        let (theta, g) = (weights.parameter(i), weights.gradient(i));
        let target = ways.target(i);
        let distance = theta - target;
        let g = multiply_add::<_, FUSED>(decay.l2_penalty, distance, g);
        let mut moments_i = moments.get(i);
        let direction = rule.of_numbers::<FUSED>(g, &mut moments_i);

        // Adam's first moment; SGD's direction is itself what counts.
        let of_sign = if N > 1 { moments_i[0] } else { direction };
        let update = step_size.signum() * direction;
        let spared = !D::PLAIN && decay.cautious && is_away(distance, update, of_sign);
        let decoupled = if spared {
            Zero::zero()
        } else {
            decay.decoupled
        };
        let decayed = decoupled * distance;
        let change = multiply_add::<_, FUSED>(step_size, direction, decayed);
        let updated = if D::PLAIN {
            theta - change
        } else {
            let left = distance - change;
            let decayed = decayed + decay.l1.copysign(left);
            let change = |decayed| multiply_add::<_, FUSED>(step_size, direction, decayed);
            let updated = match ways.random(i) {
                Some(random) => {
                    either::<W::Rounded>(theta, |noise| change(decayed - noise), random)
                }
                None => theta - change(decayed),
            };
            // What is left, or what rounding makes of it, may be on the other side of the target.
            let crossed = (updated > target) != (left > Zero::zero());
            let is_at_target = left.abs() < decay.l1 || (decay.l1 > Zero::zero() && crossed);
            if is_at_target { target } else { updated }
        };
        weights.put(i, updated);
        moments.put(i, moments_i);
        i += 1;
    }
}

/// Each in the precision that it is computed in.
impl<T: Arithmetic, const N: usize> Moments<T, N> for [&mut [T]; N] {
    #[inline(always)]
    fn take(&mut self, length: usize) -> Self {
        self.each_mut().map(|moment| first_mut(moment, length))
    }

    #[inline(always)]
    fn step<W, D, R, const FUSED: bool>(
        mut self,
        mut weights: W,
        mut ways: D,
        coefficients: &Coefficients<T, R>,
    ) where
        W: Weights<Arithmetic = T>,
        D: Ways<W::Number>,
        R: Rule<T, N>,
    {
        // All of this length, which spares a look at each element's index.
        let length = weights.length();
        let (weights, ways) = (weights.take(length), ways.take(length));
        let moments = Moments::<T, N>::take(&mut self, length);
        each::<W, D, _, R, N, FUSED>(weights, ways, moments, coefficients);
    }
}

impl<T: Arithmetic, const N: usize> OneByOne<T, N> for [&mut [T]; N] {
    #[inline(always)]
    fn get(&self, i: usize) -> [T; N] {
        let mut moments = [T::zero(); N];
        for_each!(which in N => moments[which] = self[which][i]);
        moments
    }

    #[inline(always)]
    fn put(&mut self, i: usize, moments: [T; N]) {
        for_each!(which in N => self[which][i] = moments[which]);
    }
}

/// In fewer bytes.
pub(crate) struct QuantizedSlices<'a, const N: usize> {
    pub codes: CodeSlices<'a, N>,
    /// The index of the first element.
    pub first: usize,
}

impl<T: Arithmetic, const N: usize> Moments<T, N> for QuantizedSlices<'_, N> {
    #[inline(always)]
    fn take(&mut self, length: usize) -> Self {
        let first = self.first;
        self.first += length;
        let codes = self.codes.take(length);
        QuantizedSlices { codes, first }
    }

    #[inline(always)]
    fn step<W, D, R, const FUSED: bool>(
        self,
        weights: W,
        ways: D,
        coefficients: &Coefficients<T, R>,
    ) where
        W: Weights<Arithmetic = T>,
        D: Ways<W::Number>,
        R: Rule<T, N>,
    {
        let rounding = Rounding::new(coefficients.time, self.first);
        match self.codes {
            CodeSlices::Bf16(halves) => {
                let halves = Halves { halves, rounding };
                each::<W, D, _, R, N, FUSED>(weights, ways, halves, coefficients);
            }
            CodeSlices::Bits8(blocks) => {
                through_a_window::<W, D, R, N, FUSED>(
                    weights,
                    ways,
                    blocks,
                    rounding,
                    coefficients,
                );
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
        let mut moments = [T::zero(); N];
        for_each!(which in N => moments[which] = widened(self.halves[which][i]).into());
        moments
    }

    #[inline(always)]
    fn put(&mut self, i: usize, moments: [T; N]) {
        let random = self.rounding.at(i);
        for_each!(which in N => self.halves[which][i] = narrowed(moments[which].to_f32(), random));
    }
}

/// A number of blocks: few windows, since of each the last numbers are stepped one by one.
const WINDOW: usize = 1024;

// Not in the loop: there its closure would be compiled for all weights, rules and ways.
#[inline(always)]
fn first_numbers<T, const N: usize>(
    windows: &mut [[T; WINDOW]; N],
    length: usize,
) -> [&mut [T]; N] {
    windows.each_mut().map(|window| &mut window[..length])
}

/// Blocks of codes are decoded into a window, which stays in the innermost cache, and encoded there.
#[inline(always)]
fn through_a_window<W, D, R, const N: usize, const FUSED: bool>(
    mut weights: W,
    mut ways: D,
    mut blocks: [Blocks<'_>; N],
    mut rounding: Rounding,
    coefficients: &Coefficients<W::Arithmetic, R>,
) where
    W: Weights,
    D: Ways<W::Number>,
    R: Rule<W::Arithmetic, N>,
{
    let mut windows = [[W::Arithmetic::zero(); WINDOW]; N];
    while weights.length() > 0 {
        let length = WINDOW.min(weights.length());
        let here = Blocks::take_each(&mut blocks, length);
        let mut numbers = first_numbers(&mut windows, length);
        for (blocks, numbers) in here.iter().zip(&mut numbers) {
            blocks.decode(numbers);
        }
        let (weights, ways) = (weights.take(length), ways.take(length));
        each::<W, D, _, R, N, FUSED>(weights, ways, numbers, coefficients);
        let numbers = first_numbers(&mut windows, length);
        for (blocks, numbers) in here.into_iter().zip(numbers) {
            blocks.encode(numbers, rounding);
        }
        rounding = rounding.skip(length);
    }
}

/// One of the two numbers around the exact θ less its change, by how near each is. `change` has it in the
/// precision of the arithmetic, less a noise that is taken before anything is rounded.
#[inline(always)]
fn either<E: Number>(
    theta: E::Arithmetic,
    change: impl Fn(E::Arithmetic) -> E::Arithmetic,
    random: u32,
) -> E::Arithmetic {
    let zero = E::Arithmetic::zero();
    // First to the precision of the arithmetic, with the lower bits of what is random: from minus a half
    // to a half of the distance to the next number. Outwards it is not that inwards at a power of two.
    // A change that is larger than what it leaves is what is rounded.
    let noise: E::Arithmetic = (fraction(random.rotate_left(16)) - 0.5).into();
    let of_change = change(zero);
    let nearest = theta - of_change;
    let next = nearest.neighbour(noise > zero || nearest == zero);
    let distance = next - nearest;
    let distance = distance
        .abs()
        .max(of_change.neighbour(true).abs() - of_change.abs())
        .copysign(distance);
    // At the largest number and beyond there is none.
    let moved = if distance.is_finite() {
        theta - change(noise.abs() * distance)
    } else {
        nearest
    };

    // Then to what is kept, which is the same, or has fewer bits.
    let rounded = E::narrow(moved);
    let nearest = rounded.widen();
    let rest = moved - nearest;
    let outwards = nearest == zero || (rest > zero) == (nearest > zero);
    let next = rounded.neighbour(outwards).widen();
    let distance = next - nearest;
    let share: E::Arithmetic = fraction(random).into();
    if rest.abs() > share * distance.abs() && distance.is_finite() {
        next
    } else {
        nearest
    }
}

/// Whether the update moves the parameter away from its target.
#[inline(always)]
fn is_away<T: Arithmetic>(distance: T, update: T, of_sign: T) -> bool {
    let zero = T::zero();
    let apart = (distance > zero && update < zero) || (distance < zero && update > zero);
    apart && of_sign.abs() >= round(SMALLEST_MOMENT.into())
}

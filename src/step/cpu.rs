//! The rule in one pass over slices, with SIMD and threads; it knows nothing of Burn's backends.
//!
//! The loop is scalar code that [`macerator`] compiles for each instruction set, picking the best
//! one at run time; the compiler turns it into vector instructions. Every element is computed on
//! its own, so neither the vectors' width nor the split over threads shows in the result.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use macerator::{AutoArch, Simd, VFma, WithSimd};
use num_traits::{Float, NumCast};

use super::{Average, Coefficients, Moments};

/// The length from which threads pay: less is done before another thread wakes.
const THREADS_PAY_FROM: usize = 1 << 16;

/// What a thread takes at a time: what it reads and writes fits the second-level cache.
const CHUNK: usize = 1 << 14;

/// How often to look whether the others are done, some tens of microseconds, before sleeping.
const SPINS: usize = 4000;

/// One step of Adam. On return `gradient` holds the new parameter.
///
/// # Panics
///
/// Panics where a slice is shorter than `parameter`.
pub(super) fn adam<E: Element>(
    parameter: &[E],
    gradient: &mut [E],
    moments: Moments<&mut [E::Arithmetic]>,
    coefficients: &Coefficients<f64>,
) {
    let smallest = E::Arithmetic::min_positive_value();
    let round = |scalar| NumCast::from(scalar).expect("f32 and f64 take any f64");
    let scalars = Scalars {
        coefficients: coefficients.round_to(smallest, round),
        floor: Floor::new(coefficients),
    };
    in_tasks(
        Slices {
            parameter,
            gradient,
            moments,
        },
        &scalars,
    );
}

/// What a step computes with.
#[derive(Clone, Copy)]
struct Scalars<T> {
    coefficients: Coefficients<T>,
    floor: Floor<T>,
}

/// Below these magnitudes a gradient's square and a moment count as zero. They would be subnormal
/// numbers, which some processors take many times longer over, and a moment whose gradient has
/// ended would stay one for ever. Where what is dropped could be seen beside ε̂, both are zero.
#[derive(Clone, Copy)]
struct Floor<T> {
    /// The gradient that (1-β₂)g² is normal from; a power of two, so that its square is exact.
    gradient: T,
    moment: T,
}

impl<T: Float> Floor<T> {
    fn new(coefficients: &Coefficients<f64>) -> Self {
        let exact = |value: T| value.to_f64().expect("f32 and f64 are f64");
        let normal = T::min_positive_value();
        let gradient = (exact(normal) / coefficients.average_2.one_minus_beta).sqrt();
        let gradient = gradient.log2().ceil().exp2();
        // √v stays below this gradient; half a bit of ε̂ is lost in rounding in any case.
        if gradient < coefficients.epsilon * exact(T::epsilon()) / 2.0 {
            let gradient = T::from(gradient).expect("f32 and f64 take any f64");
            let moment = normal;
            Self { gradient, moment }
        } else {
            let [gradient, moment] = [T::zero(); 2];
            Self { gradient, moment }
        }
    }
}

/// What a step reads and writes.
pub(super) struct Slices<'a, E: Element> {
    parameter: &'a [E],
    gradient: &'a mut [E],
    moments: Moments<&'a mut [E::Arithmetic]>,
}

impl<E: Element> Slices<'_, E> {
    /// Takes the first elements away, `length` of them or what is left.
    fn take(&mut self, length: usize) -> Self {
        let length = length.min(self.parameter.len());
        Slices {
            parameter: self.parameter.split_off(..length).expect(IN_RANGE),
            gradient: self.gradient.split_off_mut(..length).expect(IN_RANGE),
            moments: self
                .moments
                .as_mut()
                .map(|m| m.split_off_mut(..length).expect(IN_RANGE)),
        }
    }
}

const IN_RANGE: &str = "the slices are of one length";

/// Lets the threads take chunk after chunk. The calling thread takes its share from the start:
/// it would wait for as long as the others take to wake.
fn in_tasks<E: Element>(slices: Slices<E>, scalars: &Scalars<E::Arithmetic>) {
    let update = |slices| AutoArch::new().dispatch(Task { slices, scalars });
    let length = slices.parameter.len();
    if length < THREADS_PAY_FROM {
        return update(slices);
    }
    let rest = Mutex::new(slices);
    let work = || {
        loop {
            let chunk = rest
                .lock()
                .expect("a chunk is taken without panicking")
                .take(CHUNK);
            if chunk.parameter.is_empty() {
                break;
            }
            update(chunk);
        }
    };
    let helpers = rayon::current_num_threads().min(length / CHUNK) - 1;
    let finished = AtomicUsize::new(0);
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| {
                work();
                finished.fetch_add(1, Ordering::Relaxed);
            });
        }
        work();
        // Their last chunks take microseconds; asleep, this thread would take tens to wake.
        for _ in 0..SPINS {
            if finished.load(Ordering::Relaxed) == helpers {
                break;
            }
            std::hint::spin_loop();
        }
    });
}

struct Task<'a, E: Element> {
    slices: Slices<'a, E>,
    scalars: &'a Scalars<E::Arithmetic>,
}

impl<E: Element> WithSimd for Task<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self { slices, scalars } = self;
        if E::Arithmetic::is_accelerated::<S>() {
            E::in_arithmetic(slices, |slices| update::<_, true>(slices, scalars));
        } else {
            E::in_arithmetic(slices, |slices| update::<_, false>(slices, scalars));
        }
    }
}

/// The rule, element by element.
///
/// `FUSED` says whether the machine multiplies and adds in one instruction; the standard library
/// would take a slow function call elsewhere.
#[inline(always)]
fn update<T, const FUSED: bool>(slices: Slices<T>, scalars: &Scalars<T>)
where
    T: Element<Arithmetic = T> + Float,
{
    // By value: behind the reference, the decay would be gathered element by element.
    let Scalars {
        coefficients: c,
        floor,
    } = *scalars;
    let half = T::from(0.5).expect("f32 and f64 have 0.5");

    let multiply_add = |a: T, b: T, c: T| if FUSED { a.mul_add(b, c) } else { a * b + c };
    let average = |over: Average<T>, old: T, new: T| {
        if over.beta < half {
            multiply_add(over.beta, old - new, new)
        } else {
            multiply_add(over.one_minus_beta, new - old, old)
        }
    };
    // Comparisons and not `max`, which would take three instructions to look for a NaN.
    let at_least = |least: T, value: T| if least > value { least } else { value };
    let or_zero = |value: T, size: T| {
        if size < floor.moment {
            T::zero()
        } else {
            value
        }
    };
    let averages = |theta: T, g: T, m: T, v: T| {
        let g = multiply_add(c.l2_penalty, theta, g);
        let m = average(c.average_1, m, g);
        let root = at_least(floor.gradient, g.abs());
        let square = multiply_add(root, root, -(floor.gradient * floor.gradient));
        let finite = average(c.average_2, v, square);
        let v = if v == T::infinity() { v } else { finite };
        (or_zero(m, m.abs()), or_zero(v, v))
    };
    let next = |theta: T, m: T, v: T| {
        let against = c.cautious && (theta >= T::zero()) != (m >= T::zero());
        let decay = if against { T::zero() } else { c.decay };
        theta - multiply_add(c.step_size, m / (v.sqrt() + c.epsilon), decay * theta)
    };

    let theta = slices.parameter;
    let length = theta.len();
    let g = &mut slices.gradient[..length];
    let m = &mut slices.moments.moment_1[..length];
    let v = &mut slices.moments.moment_2[..length];
    match slices.moments.max_moment_2 {
        Some(max_v) if c.amsgrad => {
            let max_v = &mut max_v[..length];
            for i in 0..length {
                (m[i], v[i]) = averages(theta[i], g[i], m[i], v[i]);
                max_v[i] = at_least(v[i], max_v[i]);
                g[i] = next(theta[i], m[i], max_v[i]);
            }
        }
        _ => {
            for i in 0..length {
                (m[i], v[i]) = averages(theta[i], g[i], m[i], v[i]);
                g[i] = next(theta[i], m[i], v[i]);
            }
        }
    }
}

/// An element that a parameter can have.
pub(super) trait Element: Copy + Send + Sync {
    /// What its step is computed in, and what its moments are kept in.
    type Arithmetic: Element<Arithmetic = Self::Arithmetic> + Float + VFma;

    /// Hands the slices to `update` in the arithmetic's precision.
    fn in_arithmetic(slices: Slices<Self>, update: impl Fn(Slices<Self::Arithmetic>));
}

macro_rules! native {
    ($($element:ty),*) => {$(
        impl Element for $element {
            type Arithmetic = $element;

            #[inline(always)]
            fn in_arithmetic(slices: Slices<Self>, update: impl Fn(Slices<Self>)) {
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
            fn in_arithmetic(mut slices: Slices<Self>, update: impl Fn(Slices<f32>)) {
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

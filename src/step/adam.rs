//! Adam's direction.
//!
//! ```text
//! m  ← m + (1-β₁)(g - m)                         average_1
//! v  ← v + (1-β₂)(g² - v)                        average_2
//! v̄  ← max(v̄, v)        in place of v below       AMSGrad, where a third moment is kept
//! d  = m / (√v + ε̂)                              epsilon
//! ```
//!
//! With `α = lr·√(1-β₂ᵗ)/(1-β₁ᵗ)` and `ε̂ = ε·√(1-β₂ᵗ)`, which is how Kingma and Ba (*Adam*,
//! arXiv 1412.6980, end of section 2) fold the bias corrections into two scalars.
//!
//! Two things make the result what it is:
//!
//! - the moments move by a share of the difference, so that rounding `1-β₂` to f32 shifts the
//!   rate by 2⁻²⁴ of itself, where a rounded `β₂` next to 1 would shift it by 3·10⁻⁵; for β below
//!   one half they move from the other end, `g + β(m - g)`, where that is the exact one. (The
//!   difference of m's two ends may overflow: it is taken of halves, which is exact, or, where the
//!   machine has fused multiply-adds, of shares, which is faster and rounds once more. It is v's
//!   rounding that counts);
//! - a `v` that overflowed stays infinite, as a moving average would, so that a gradient too
//!   large to be squared ends the updates of its element, as it does elsewhere, and is no NaN.

use burn::tensor::{DType, Tensor};

#[cfg(feature = "_one-pass")]
use super::cpu;
use super::{Compiled, Rule};

/// The moments are m, v and, for AMSGrad, v̄.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam<T> {
    pub average_1: Average<T>,
    pub average_2: Average<T>,
    /// ε̂
    pub epsilon: T,
}

/// A moving average, which goes a share of the way from one end to the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Average<T> {
    /// At most one half.
    share: T,
    /// Whether it goes from the new value to the old one.
    from_the_new: bool,
}

impl<T> Average<T> {
    /// The two ends of the way.
    #[inline(always)]
    fn ends<V>(&self, old: V, new: V) -> (V, V) {
        if self.from_the_new {
            (new, old)
        } else {
            (old, new)
        }
    }
}

impl Average<f64> {
    pub(crate) fn new(beta: f64) -> Self {
        let from_the_new = beta < 0.5;
        Self {
            share: if from_the_new { beta } else { 1.0 - beta },
            from_the_new,
        }
    }
}

impl Adam<f64> {
    /// ε̂ as a normal number of `arithmetic`: as zero it would divide zero by zero wherever the
    /// gradient has always been zero.
    fn epsilon_in(&self, arithmetic: DType) -> f64 {
        let smallest = match arithmetic {
            DType::F64 => f64::MIN_POSITIVE,
            _ => f32::MIN_POSITIVE.into(),
        };
        self.epsilon.max(smallest)
    }
}

impl<const N: usize> Rule<N> for Adam<f64>
where
    Self: Compiled<N>,
{
    fn of_tensors<const D: usize>(&self, g: Tensor<D>, moments: &mut [Tensor<D>; N]) -> Tensor<D> {
        let [m, v, max_v @ ..] = &mut moments[..] else {
            unreachable!("Adam keeps two moments or three")
        };
        let epsilon = self.epsilon_in(g.dtype());
        let square = g.clone().square();
        let overflowed = v.clone().max_pair(square.clone()).is_inf();
        let (from, to) = self.average_2.ends(v.clone(), square);
        let moved = from.clone() + (to - from) * self.average_2.share;
        *v = moved.mask_fill(overflowed, f32::INFINITY);
        let (from, to) = self.average_1.ends(m.clone(), g);
        let half_the_way = to * 0.5 - from.clone() * 0.5;
        *m = from + half_the_way * (2.0 * self.average_1.share);
        let v = match max_v {
            [max_v] => {
                *max_v = max_v.clone().max_pair(v.clone());
                max_v
            }
            _ => v,
        };
        m.clone() / (v.clone().sqrt() + epsilon)
    }

    #[cfg(feature = "_one-pass")]
    type Rounded<T: cpu::Arithmetic> = numbers::Rounded<T>;

    #[cfg(feature = "_one-pass")]
    fn round_to<T: cpu::Arithmetic>(&self) -> Self::Rounded<T> {
        numbers::Rounded::new(self)
    }

    #[cfg(feature = "_cubecl")]
    type Kernel = kernel::AdamKernel;

    #[cfg(feature = "_cubecl")]
    fn scalars(&self, arithmetic: DType) -> kernel::AdamScalarsLaunch {
        self.launch_scalars(arithmetic)
    }

    #[cfg(feature = "remote")]
    const NAME: &'static str = "adam";

    #[cfg(feature = "remote")]
    fn to_message(&self) -> Vec<f64> {
        let averages = [self.average_1, self.average_2];
        let averages = averages.map(
            |Average {
                 share,
                 from_the_new,
             }| [share, from_the_new.into()],
        );
        let numbers = averages.into_iter().flatten();
        numbers.chain([self.epsilon]).collect()
    }

    #[cfg(feature = "remote")]
    fn of_message(numbers: &[f64]) -> Option<Self> {
        let [share_1, from_the_new_1, share_2, from_the_new_2, epsilon] = *numbers else {
            return None;
        };
        let average = |share, from_the_new: f64| Average {
            share,
            from_the_new: from_the_new == 1.0,
        };
        Some(Self {
            average_1: average(share_1, from_the_new_1),
            average_2: average(share_2, from_the_new_2),
            epsilon,
        })
    }
}

#[cfg(feature = "_one-pass")]
mod numbers {
    use super::{Adam, Average};
    use crate::step::cpu::{self, Arithmetic, multiply_add, round};

    #[derive(Clone, Copy)]
    pub(crate) struct Rounded<T> {
        adam: Adam<T>,
        floor: Floor<T>,
    }

    impl<T: Arithmetic> Rounded<T> {
        pub(super) fn new(adam: &Adam<f64>) -> Self {
            let average = |average: Average<f64>| Average {
                share: round(average.share),
                from_the_new: average.from_the_new,
            };
            Self {
                adam: Adam {
                    average_1: average(adam.average_1),
                    average_2: average(adam.average_2),
                    epsilon: round(adam.epsilon_in(T::DTYPE)),
                },
                floor: Floor::new(adam),
            }
        }
    }

    impl<T: Arithmetic, const N: usize> cpu::Rule<T, N> for Rounded<T> {
        #[inline(always)]
        fn of_numbers<const FUSED: bool>(&self, g: T, moments: &mut [T; N]) -> T {
            let Self { adam, floor } = *self;
            let [m, v, max_v @ ..] = &mut moments[..] else {
                unreachable!("Adam keeps two moments or three")
            };
            let root = at_least(floor.gradient, g.abs());
            let square = multiply_add::<T, FUSED>(root, root, -(floor.gradient * floor.gradient));
            let overflowed = at_least(*v, square) == T::infinity();
            let (from, to) = adam.average_2.ends(*v, square);
            let moved = multiply_add::<T, FUSED>(adam.average_2.share, to - from, from);
            let moved = if overflowed { T::infinity() } else { moved };
            *v = floor.or_zero(moved, moved);
            let (from, to) = adam.average_1.ends(*m, g);
            let share = adam.average_1.share;
            let moved = if FUSED {
                share.mul_add(to, (-share).mul_add(from, from))
            } else {
                let half = round::<T>(0.5);
                from + (share + share) * (half * to - half * from)
            };
            *m = floor.or_zero(moved, moved.abs());
            let v = match max_v {
                [max_v] => {
                    *max_v = at_least(*v, *max_v);
                    *max_v
                }
                _ => *v,
            };
            *m / (v.sqrt() + adam.epsilon)
        }
    }

    /// A comparison and not `max`, which would take three instructions to look for a NaN.
    #[inline(always)]
    fn at_least<T: Arithmetic>(least: T, value: T) -> T {
        if least > value { least } else { value }
    }

    /// Below these magnitudes a gradient's square and a moment count as zero. They would be
    /// subnormal numbers, which some processors take many times longer over, and a moment whose
    /// gradient has ended would stay one for ever. Where what is dropped could be seen beside ε̂,
    /// both are zero.
    #[derive(Clone, Copy)]
    struct Floor<T> {
        /// The gradient that (1-β₂)g² is normal from; a power of two, so that its square is exact.
        gradient: T,
        moment: T,
    }

    impl<T: Arithmetic> Floor<T> {
        fn new(adam: &Adam<f64>) -> Self {
            let exact = |value: T| value.to_f64().expect("f32 and f64 are f64");
            let normal = T::min_positive_value();
            // What a square is multiplied with on its way into v.
            let over = adam.average_2;
            let of_the_new = if over.from_the_new {
                1.0 - over.share
            } else {
                over.share
            };
            let gradient = (exact(normal) / of_the_new).sqrt();
            let gradient = gradient.log2().ceil().exp2();
            // √v stays below this gradient; half a bit of ε̂ is lost in rounding in any case.
            if gradient < adam.epsilon * exact(T::epsilon()) / 2.0 {
                Self {
                    gradient: round(gradient),
                    moment: normal,
                }
            } else {
                let [gradient, moment] = [T::zero(); 2];
                Self { gradient, moment }
            }
        }

        #[inline(always)]
        fn or_zero(self, value: T, size: T) -> T {
            if size < self.moment { T::zero() } else { value }
        }
    }
}

#[cfg(feature = "_cubecl")]
mod kernel {
    use burn::tensor::DType;
    use burn_cubecl::cubecl;
    use burn_cubecl::cubecl::prelude::*;

    use crate::step::cube;

    use super::{Adam, Average};

    pub(crate) struct AdamKernel;

    #[derive(CubeType, CubeLaunch)]
    pub(crate) struct AdamScalars {
        average_1: AverageScalars,
        average_2: AverageScalars,
        epsilon: InputScalar,
    }

    #[derive(CubeType, CubeLaunch)]
    struct AverageScalars {
        share: InputScalar,
        #[cube(comptime)]
        from_the_new: bool,
    }

    #[cube]
    impl cube::Kernel for AdamKernel {
        type Scalars = AdamScalars;

        fn direction<A: Float, S: Size>(
            g: Vector<A, S>,
            moments: &mut Sequence<Vector<A, S>>,
            scalars: &AdamScalars,
        ) -> Vector<A, S> {
            let (from, to) = ends::<A, S>(&scalars.average_1, *moments.index(0), g);
            let share = Vector::new(scalars.average_1.share.get::<A>());
            let half = Vector::new(A::new(0.5));
            let m = from + (share + share) * (half * to - half * from);
            let square = g * g;
            let larger = max(*moments.index(1), square);
            let (from, to) = ends::<A, S>(&scalars.average_2, *moments.index(1), square);
            let share = Vector::new(scalars.average_2.share.get::<A>());
            let moved = share * (to - from) + from;
            // WGSL has no infinity to write down.
            let v = select_many(larger.is_inf(), larger, moved);
            moments.insert(0usize, m);
            moments.insert(1usize, v);
            let mut v_in_use = v;
            if comptime!(moments.len() == 3) {
                v_in_use = max(*moments.index(2), v);
                moments.insert(2usize, v_in_use);
            }
            m / (v_in_use.sqrt() + Vector::new(scalars.epsilon.get::<A>()))
        }
    }

    #[cube]
    fn ends<A: Float, S: Size>(
        over: &AverageScalars,
        old: Vector<A, S>,
        new: Vector<A, S>,
    ) -> (Vector<A, S>, Vector<A, S>) {
        if comptime!(over.from_the_new) {
            (new, old)
        } else {
            (old, new)
        }
    }

    impl Adam<f64> {
        pub(super) fn launch_scalars(&self, arithmetic: DType) -> AdamScalarsLaunch {
            let scalar = |value: f64| cube::scalar(value, arithmetic);
            let average = |average: Average<f64>| {
                AverageScalarsLaunch::new(scalar(average.share), average.from_the_new)
            };
            AdamScalarsLaunch::new(
                average(self.average_1),
                average(self.average_2),
                scalar(self.epsilon_in(arithmetic)),
            )
        }
    }
}

//! The direction of stochastic gradient descent.
//!
//! ```text
//! v  ← κv + τg                     momentum, where there is a velocity
//! d  = v, or g + μv                Nesterov
//! ```
//!
//! κ is the momentum μ and τ is 1 less the dampening; the first step has κ = 0 and τ = 1, so that
//! the velocity starts at the gradient. α is the learning rate.

#[cfg(feature = "_cubecl")]
use burn::tensor::DType;
use burn::tensor::Tensor;

#[cfg(feature = "_one-pass")]
use super::cpu;
use super::{Compiled, Rule};

/// The velocity is v; without momentum there is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sgd<T> {
    /// κ
    pub keep: T,
    /// τ
    pub take: T,
    /// μ, where Nesterov looks ahead by it.
    pub look_ahead: Option<T>,
}

impl Sgd<f64> {
    /// Without a velocity, or in the step that starts it.
    pub(crate) const PLAIN: Self = Self {
        keep: 0.0,
        take: 1.0,
        look_ahead: None,
    };
}

impl<const N: usize> Rule<N> for Sgd<f64>
where
    Self: Compiled<N>,
{
    fn of_tensors<const D: usize>(&self, g: Tensor<D>, moments: &mut [Tensor<D>; N]) -> Tensor<D> {
        let Some(v) = moments.first_mut() else {
            return g;
        };
        *v = v.clone() * self.keep + g.clone() * self.take;
        match self.look_ahead {
            Some(momentum) => g + v.clone() * momentum,
            None => v.clone(),
        }
    }

    #[cfg(feature = "_one-pass")]
    type Rounded<T: cpu::Arithmetic> = Sgd<T>;

    #[cfg(feature = "_one-pass")]
    fn round_to<T: cpu::Arithmetic>(&self) -> Sgd<T> {
        Sgd {
            keep: cpu::round(self.keep),
            take: cpu::round(self.take),
            look_ahead: self.look_ahead.map(cpu::round),
        }
    }

    #[cfg(feature = "_cubecl")]
    type Kernel = kernel::SgdKernel;

    #[cfg(feature = "_cubecl")]
    fn scalars(&self, arithmetic: DType) -> kernel::SgdScalarsLaunch {
        self.launch_scalars(arithmetic)
    }

    #[cfg(feature = "remote")]
    const NAME: &'static str = "sgd";

    #[cfg(feature = "remote")]
    fn to_message(&self) -> Vec<f64> {
        [self.keep, self.take]
            .into_iter()
            .chain(self.look_ahead)
            .collect()
    }

    #[cfg(feature = "remote")]
    fn of_message(numbers: &[f64]) -> Option<Self> {
        let (keep, take, look_ahead) = match *numbers {
            [keep, take] => (keep, take, None),
            [keep, take, momentum] => (keep, take, Some(momentum)),
            _ => return None,
        };
        Some(Self {
            keep,
            take,
            look_ahead,
        })
    }
}

#[cfg(feature = "_one-pass")]
mod numbers {
    use super::Sgd;
    use crate::step::cpu::{self, Arithmetic, multiply_add};

    impl<T: Arithmetic, const N: usize> cpu::Rule<T, N> for Sgd<T> {
        #[inline(always)]
        fn of_numbers<const FUSED: bool>(&self, g: T, moments: &mut [T; N]) -> T {
            let Some(v) = moments.first_mut() else {
                return g;
            };
            *v = multiply_add::<T, FUSED>(self.keep, *v, self.take * g);
            match self.look_ahead {
                Some(momentum) => multiply_add::<T, FUSED>(momentum, *v, g),
                None => *v,
            }
        }
    }
}

#[cfg(feature = "_cubecl")]
mod kernel {
    use burn::tensor::DType;
    use burn_cubecl::cubecl;
    use burn_cubecl::cubecl::prelude::*;

    use super::Sgd;
    use crate::step::cube;

    pub(crate) struct SgdKernel;

    #[derive(CubeType, CubeLaunch)]
    pub(crate) struct SgdScalars {
        keep: InputScalar,
        take: InputScalar,
        look_ahead: ComptimeOption<InputScalar>,
    }

    #[cube]
    impl cube::Kernel for SgdKernel {
        type Scalars = SgdScalars;

        fn direction<A: Float, S: Size>(
            g: Vector<A, S>,
            moments: &mut Sequence<Vector<A, S>>,
            scalars: &SgdScalars,
        ) -> Vector<A, S> {
            let mut direction = g;
            if comptime!(moments.len() == 1) {
                let keep = Vector::new(scalars.keep.get::<A>());
                let take = Vector::new(scalars.take.get::<A>());
                let v = keep * *moments.index(0) + take * g;
                moments.insert(0usize, v);
                direction = v;
                #[comptime]
                if let ComptimeOption::Some(momentum) = &scalars.look_ahead {
                    direction = g + Vector::new(momentum.get::<A>()) * v;
                }
            }
            direction
        }
    }

    impl Sgd<f64> {
        pub(super) fn launch_scalars(&self, arithmetic: DType) -> SgdScalarsLaunch {
            let scalar = |value: f64| cube::scalar(value, arithmetic);
            SgdScalarsLaunch::new(
                scalar(self.keep),
                scalar(self.take),
                self.look_ahead.map(scalar).into(),
            )
        }
    }
}

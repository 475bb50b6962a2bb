//! How a backend on the CPU lends its memory to the one-pass form: as tensors without their rank, since the
//! pass would be compiled once more for each rank.

use burn::tensor::Tensor;

use super::cpu::{self, QuantizedSlices};
use super::moments::{code_slices, put, take};
use super::weights::Weights;
use super::{Coefficients, MomentSlot, Rule};

/// A tensor of a backend.
pub(super) trait Lent: Sized {
    /// Its elements lie in order.
    fn lend<const D: usize>(tensor: Tensor<D>) -> Self;

    fn give_back<const D: usize>(self) -> Tensor<D>;
}

/// What one step reads and writes beside the moments.
pub(crate) struct Memory<'a, P, T> {
    pub parameter: P,
    /// Becomes the new parameter.
    pub gradient: &'a mut T,
    pub start: Option<&'a T>,
}

pub(crate) enum LentMoments<'a, T, const N: usize> {
    Whole(&'a mut [T; N]),
    Codes(QuantizedSlices<'a, N>),
}

impl<'a, T, const N: usize> LentMoments<'a, T, N> {
    /// One step. `slice` borrows the numbers of a moment that is whole.
    #[inline(always)]
    pub(super) fn step<W: Weights, R: Rule<N>>(
        self,
        weights: W,
        start: Option<&[W::Number]>,
        slice: impl Fn(&'a mut T) -> &'a mut [W::Arithmetic],
        coefficients: &Coefficients<f64, R>,
    ) {
        match self {
            Self::Whole(moments) => {
                cpu::step(weights, start, moments.each_mut().map(slice), coefficients);
            }
            // Not compiled for a rule without moments, which has no codes.
            Self::Codes(slices) if const { N > 0 } => {
                cpu::step(weights, start, slices, coefficients);
            }
            Self::Codes(_) => unreachable!("there are no moments"),
        }
    }
}

type OnePass<P, T, R, const N: usize> = fn(Memory<P, T>, LentMoments<T, N>, &Coefficients<f64, R>);

/// Leaves the new parameter in the gradient's memory: nobody needs the gradient any more.
#[inline(always)] // A tensor is long to move.
pub(super) fn in_place<P, T: Lent, R, const N: usize, const D: usize>(
    parameter: P,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    mut moments: [MomentSlot<D>; N],
    coefficients: &Coefficients<f64, R>,
    one_pass: OnePass<P, T, R, N>,
) -> Tensor<D> {
    let mut updated = T::lend(gradient);
    let start = start.map(|start| T::lend(start.clone()));
    let memory = Memory {
        parameter,
        gradient: &mut updated,
        start: start.as_ref(),
    };
    if let Some(slices) = code_slices(&mut moments) {
        one_pass(memory, LentMoments::Codes(slices), coefficients);
    } else {
        let mut next = moments.each_mut().map(|moment| T::lend(take(moment)));
        one_pass(memory, LentMoments::Whole(&mut next), coefficients);
        put(moments, next, T::give_back);
    }
    updated.give_back()
}

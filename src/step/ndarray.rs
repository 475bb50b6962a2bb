//! How the ndarray backend lends its memory to the one-pass form.

// Burn deprecates the backend in favour of flex, and keeps it.
#![allow(deprecated)]

use burn::backend::NdArray;
use burn::backend::ndarray::{NdArrayTensor, SharedArray};
use burn::tensor::Tensor;

use super::lent::{self, Lent, in_place};
use super::weights::Plain;
use super::{Coefficients, MomentSlot, Rule, cpu, strided};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    moments: [MomentSlot<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let parameter = Array::lend(parameter);
    in_place(
        &parameter,
        gradient,
        start,
        moments,
        coefficients,
        R::on_ndarray,
    )
}

pub(crate) enum Array {
    F32(SharedArray<f32>),
    F64(SharedArray<f64>),
}

impl Lent for Array {
    fn lend<const D: usize>(tensor: Tensor<D>) -> Self {
        let tensor = tensor
            .try_into_primitive::<NdArray>()
            .expect("the tensors of a step are on the parameter's device");
        match tensor {
            NdArrayTensor::F32(storage) => Self::F32(contiguous(storage.into_shared())),
            NdArrayTensor::F64(storage) => Self::F64(contiguous(storage.into_shared())),
            other => unreachable!("{other:?} takes the portable form"),
        }
    }

    fn give_back<const D: usize>(self) -> Tensor<D> {
        Tensor::from_primitive::<NdArray>(match self {
            Self::F32(array) => array.into(),
            Self::F64(array) => array.into(),
        })
    }
}

pub(crate) type Memory<'a, 'p> = lent::Memory<'a, &'p Array, Array>;
pub(crate) type Moments<'a, const N: usize> = lent::LentMoments<'a, Array, N>;

pub(super) fn one_pass<R: Rule<N>, const N: usize>(
    memory: Memory,
    moments: Moments<N>,
    coefficients: &Coefficients<f64, R>,
) {
    let Memory {
        parameter,
        gradient,
        start,
    } = memory;
    macro_rules! step {
        ($precision:ident, $element:ty) => {{
            fn slice(array: &Array) -> &[$element] {
                let Array::$precision(array) = array else {
                    unreachable!("the tensors of a step are of one precision")
                };
                array.as_slice().expect(CONTIGUOUS)
            }
            // Memory that someone else still holds is copied here, and only then written to.
            fn slice_mut(array: &mut Array) -> &mut [$element] {
                let Array::$precision(array) = array else {
                    unreachable!("the tensors of a step are of one precision")
                };
                array.as_slice_mut().expect(CONTIGUOUS)
            }
            let weights = Plain {
                parameter: slice(parameter),
                gradient: slice_mut(gradient),
            };
            moments.step(weights, start.map(slice), slice_mut, coefficients);
        }};
    }
    match parameter {
        Array::F32(_) => step!(F32, f32),
        Array::F64(_) => step!(F64, f64),
    }
}

const CONTIGUOUS: &str = "the array was made contiguous";

fn contiguous<E: cpu::Arithmetic>(array: SharedArray<E>) -> SharedArray<E>
where
    NdArrayTensor: From<SharedArray<E>>,
{
    if array.is_standard_layout() {
        return array;
    }
    let Some(memory) = array.as_slice_memory_order() else {
        return array.as_standard_layout().into_owned().into_shared();
    };
    let (shape, strides) = (array.shape(), array.strides());
    // The memory begins where the dimensions that run backwards end.
    let backwards = strides.iter().zip(shape).filter(|(stride, _)| **stride < 0);
    let first = backwards
        .map(|(stride, length)| stride.unsigned_abs() * (length - 1))
        .sum();
    let copy = strided::contiguous(memory, shape, strides, first);
    SharedArray::from_shape_vec(array.raw_dim(), copy).expect("it has the array's elements")
}

//! How the ndarray backend lends its memory to the one-pass form.

// Burn deprecates the backend in favour of flex, and keeps it.
#![allow(deprecated)]

use burn::backend::NdArray;
use burn::backend::ndarray::{NdArrayTensor, SharedArray};
use burn::tensor::Tensor;

use super::weights::{Plain, Weights};
use super::{Coefficients, Kept, Rule, cpu, put, strided, take};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    mut kept: [Kept<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let lend = |tensor: Tensor<D>| {
        let tensor = tensor.try_into_primitive::<NdArray>();
        tensor.expect("the tensors of a step are on the parameter's device")
    };
    macro_rules! in_place {
        ($precision:ident, $parameter:expr) => {{
            let array = |tensor| match tensor {
                NdArrayTensor::$precision(storage) => contiguous(storage.into_shared()),
                other => unreachable!("{other:?} among tensors of one precision"),
            };
            let gradient = array(lend(gradient));
            let moments = kept.each_mut().map(|moment| array(lend(take(moment))));
            in_place(contiguous($parameter), gradient, moments, coefficients)
        }};
    }
    let (updated, moments) = match lend(parameter) {
        NdArrayTensor::F32(parameter) => in_place!(F32, parameter.into_shared()),
        NdArrayTensor::F64(parameter) => in_place!(F64, parameter.into_shared()),
        other => unreachable!("{other:?} takes the portable form"),
    };
    let lift = Tensor::from_primitive::<NdArray>;
    put(kept, moments, lift);
    lift(updated)
}

fn in_place<E: cpu::Arithmetic, R: Rule<N>, const N: usize>(
    parameter: SharedArray<E>,
    mut gradient: SharedArray<E>,
    mut moments: [SharedArray<E>; N],
    coefficients: &Coefficients<f64, R>,
) -> (NdArrayTensor, [NdArrayTensor; N])
where
    for<'a> Plain<'a, E>: Weights<Arithmetic = E>,
    NdArrayTensor: From<SharedArray<E>>,
{
    // Memory that someone else still holds is copied here, and only then written to.
    let slice = |array| SharedArray::as_slice_mut(array).expect(CONTIGUOUS);
    cpu::step(
        Plain {
            parameter: parameter.as_slice().expect(CONTIGUOUS),
            gradient: slice(&mut gradient),
        },
        moments.each_mut().map(slice),
        coefficients,
    );
    (gradient.into(), moments.map(Into::into))
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

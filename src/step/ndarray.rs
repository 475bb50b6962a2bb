//! How the ndarray backend lends its memory to the one-pass form.

// Burn deprecates the backend in favour of flex, and keeps it.
#![allow(deprecated)]

use burn::backend::NdArray;
use burn::backend::ndarray::{NdArrayTensor, SharedArray};
use burn::tensor::Tensor;

use super::moments::{code_slices, put, take};
use super::weights::{Number, Plain};
use super::{Coefficients, MomentSlot, Rule, cpu, strided};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    moments: [MomentSlot<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    macro_rules! in_place {
        ($precision:ident, $parameter:expr) => {{
            let array = |tensor| match lend(tensor) {
                NdArrayTensor::$precision(storage) => contiguous(storage.into_shared()),
                other => unreachable!("{other:?} among tensors of one precision"),
            };
            let parameter = contiguous($parameter.into_shared());
            in_place(
                parameter,
                array(gradient),
                start,
                moments,
                array,
                coefficients,
            )
        }};
    }
    match lend(parameter) {
        NdArrayTensor::F32(parameter) => in_place!(F32, parameter),
        NdArrayTensor::F64(parameter) => in_place!(F64, parameter),
        other => unreachable!("{other:?} takes the portable form"),
    }
}

fn in_place<E, R: Rule<N>, const N: usize, const D: usize>(
    parameter: SharedArray<E>,
    mut gradient: SharedArray<E>,
    start: Option<&Tensor<D>>,
    mut moments: [MomentSlot<D>; N],
    array: impl Fn(Tensor<D>) -> SharedArray<E>,
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D>
where
    E: cpu::Arithmetic + Number<Arithmetic = E>,
    NdArrayTensor: From<SharedArray<E>>,
{
    // Memory that someone else still holds is copied here, and only then written to.
    let slice = |array| SharedArray::as_slice_mut(array).expect(CONTIGUOUS);
    let weights = Plain {
        parameter: parameter.as_slice().expect(CONTIGUOUS),
        gradient: slice(&mut gradient),
    };
    let start = start.map(|start| array(start.clone()));
    let start = start
        .as_ref()
        .map(|start| start.as_slice().expect(CONTIGUOUS));
    let lift = |array: SharedArray<E>| Tensor::from_primitive::<NdArray>(array.into());
    if let Some(slices) = code_slices(&mut moments) {
        cpu::step(weights, start, slices, coefficients);
    } else {
        let mut next = moments.each_mut().map(|moment| array(take(moment)));
        cpu::step(weights, start, next.each_mut().map(slice), coefficients);
        put(moments, next, lift);
    }
    lift(gradient)
}

fn lend<const D: usize>(tensor: Tensor<D>) -> NdArrayTensor {
    tensor
        .try_into_primitive::<NdArray>()
        .expect("the tensors of a step are on the parameter's device")
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

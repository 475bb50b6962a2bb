//! How the ndarray backend lends its memory to the one-pass form.

// Burn deprecates the backend in favour of flex, and keeps it.
#![allow(deprecated)]

use burn::backend::NdArray;
use burn::backend::ndarray::{NdArrayTensor, SharedArray};
use burn::tensor::Tensor;

use super::{Coefficients, Moments, cpu};

pub(super) fn adam<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: Moments<Tensor<D>>,
    coefficients: &Coefficients<f64>,
) -> (Tensor<D>, Moments<Tensor<D>>) {
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
            let moments = moments.map(|moment| array(lend(moment)));
            in_place(contiguous($parameter), gradient, moments, coefficients)
        }};
    }
    let (updated, moments) = match lend(parameter) {
        NdArrayTensor::F32(parameter) => in_place!(F32, parameter.into_shared()),
        NdArrayTensor::F64(parameter) => in_place!(F64, parameter.into_shared()),
        other => unreachable!("{other:?} takes the portable form"),
    };
    let lift = Tensor::from_primitive::<NdArray>;
    (lift(updated), moments.map(lift))
}

fn in_place<E>(
    parameter: SharedArray<E>,
    mut gradient: SharedArray<E>,
    mut moments: Moments<SharedArray<E>>,
    coefficients: &Coefficients<f64>,
) -> (NdArrayTensor, Moments<NdArrayTensor>)
where
    E: cpu::Element<Arithmetic = E>,
    NdArrayTensor: From<SharedArray<E>>,
{
    // Memory that someone else still holds is copied here, and only then written to.
    let slice = |array| SharedArray::as_slice_mut(array).expect(CONTIGUOUS);
    cpu::adam(
        parameter.as_slice().expect(CONTIGUOUS),
        slice(&mut gradient),
        moments.as_mut().map(slice),
        coefficients,
    );
    (gradient.into(), moments.map(Into::into))
}

const CONTIGUOUS: &str = "the array was made contiguous";

fn contiguous<E: Clone>(array: SharedArray<E>) -> SharedArray<E> {
    if array.is_standard_layout() {
        array
    } else {
        array.as_standard_layout().into_owned().into_shared()
    }
}

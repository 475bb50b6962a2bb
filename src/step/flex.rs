//! How the flex backend lends its memory to the one-pass form.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor, TensorData, bf16, f16};

use super::{Coefficients, Kept, Rule, cpu, put, strided, take};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    mut moments: [Kept<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let parameter = contiguous(parameter);
    // The new parameter takes the place of the gradient, which nobody needs any more.
    let mut updated = contiguous(gradient);
    let mut next = moments.each_mut().map(|moment| contiguous(take(moment)));

    macro_rules! in_place {
        ($element:ty, $moment:ty) => {
            cpu::step(
                parameter.storage::<$element>(),
                // Memory that someone else still holds is copied here, and only then written to.
                updated.storage_mut::<$element>(),
                next.each_mut()
                    .map(|moment| moment.storage_mut::<$moment>()),
                coefficients,
            )
        };
    }
    match parameter.dtype() {
        DType::F32 => in_place!(f32, f32),
        DType::F64 => in_place!(f64, f64),
        DType::F16 => in_place!(f16, f32),
        DType::BF16 => in_place!(bf16, f32),
        other => unreachable!("{other:?} takes the portable form"),
    }

    let lift = Tensor::from_primitive::<Flex>;
    put(moments, next.map(lift));
    lift(updated)
}

/// The tensor's primitive, whose storage holds its elements in order and nothing else.
fn contiguous<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    let tensor = tensor
        .try_into_primitive::<Flex>()
        .expect("the tensors of a step are on the parameter's device");
    let elements = tensor.layout().num_elements();
    let whole = tensor.bytes().len() == elements * tensor.dtype().size();
    if tensor.is_contiguous() && whole {
        tensor
    } else {
        copied(&tensor)
    }
}

fn copied(tensor: &FlexTensor) -> FlexTensor {
    let view = tensor.layout();
    macro_rules! copied {
        ($element:ty) => {
            strided::contiguous(
                tensor.storage::<$element>(),
                view.shape(),
                view.strides(),
                view.start_offset(),
            )
        };
    }
    let shape = view.shape().clone();
    FlexTensor::from_data(match tensor.dtype() {
        DType::F32 => TensorData::new(copied!(f32), shape),
        DType::F64 => TensorData::new(copied!(f64), shape),
        DType::F16 => TensorData::new(copied!(f16), shape),
        DType::BF16 => TensorData::new(copied!(bf16), shape),
        other => unreachable!("{other:?} takes the portable form"),
    })
}

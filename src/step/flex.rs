//! How the flex backend lends its memory to the one-pass form.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor, TensorData, bf16, f16};

use super::moments::{code_slices, put, take};
use super::weights::{Bf16WithLower, F16WithMaster, Plain};
use super::{Coefficients, Master, MomentSlot, Rule, cpu, strided};

/// A step on these weights, made of the gradient's memory. It leaves the new parameter there: nobody
/// needs the gradient any more.
macro_rules! step_on {
    (|$gradient:ident| $weights:expr, $start:expr, $moments:expr, $coefficients:expr) => {{
        let mut updated = contiguous($gradient);
        let mut moments = $moments;
        let start = $start.map(|start| contiguous(start.clone()));
        let start = start.as_ref().map(FlexTensor::storage);
        // Memory that someone else still holds is copied here, and only then written to.
        let $gradient = updated.storage_mut();
        if let Some(slices) = code_slices(&mut moments) {
            cpu::step($weights, start, slices, $coefficients);
        } else {
            let mut next = moments.each_mut().map(|moment| contiguous(take(moment)));
            let slices = next.each_mut().map(FlexTensor::storage_mut);
            cpu::step($weights, start, slices, $coefficients);
            put(moments, next, Tensor::from_primitive::<Flex>);
        }
        Tensor::from_primitive::<Flex>(updated)
    }};
}

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    moments: [MomentSlot<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let parameter = contiguous(parameter);
    macro_rules! plain {
        ($element:ty) => {{
            let parameter = parameter.storage::<$element>();
            step_on!(
                |gradient| Plain {
                    parameter,
                    gradient
                },
                start,
                moments,
                coefficients
            )
        }};
    }
    match parameter.dtype() {
        DType::F32 => plain!(f32),
        DType::F64 => plain!(f64),
        DType::F16 => plain!(f16),
        DType::BF16 => plain!(bf16),
        other => unreachable!("{other:?} takes the portable form"),
    }
}

/// The step of a parameter in half precision that has master weights.
pub(super) fn step_with_master<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    moments: [MomentSlot<D>; N],
    master: Option<Master<D>>,
    coefficients: &Coefficients<f64, R>,
) -> (Tensor<D>, Master<D>) {
    let same = |rounded: &Tensor<D>| share_memory(rounded, &parameter);
    if parameter.dtype() == DType::BF16 {
        let mut lower = Master::lower_of(master, &parameter, same);
        let parameter = contiguous(parameter);
        let updated = step_on!(
            |gradient| Bf16WithLower {
                parameter: parameter.storage(),
                lower: &mut lower,
                gradient
            },
            start,
            moments,
            coefficients
        );
        let master = Master::lower(lower, &updated);
        (updated, master)
    } else {
        let mut whole = contiguous(Master::whole_of(master, &parameter, same));
        let updated = step_on!(
            |gradient| F16WithMaster {
                master: whole.storage_mut(),
                gradient
            },
            start,
            moments,
            coefficients
        );
        let master = Master::whole(Tensor::from_primitive::<Flex>(whole), &updated);
        (updated, master)
    }
}

fn share_memory<const D: usize>(one: &Tensor<D>, other: &Tensor<D>) -> bool {
    let [one, other] = [one, other].map(|tensor| tensor.clone().try_into_primitive::<Flex>());
    let (Ok(one), Ok(other)) = (one, other) else {
        return false;
    };
    one.bytes().as_ptr() == other.bytes().as_ptr() && one.layout() == other.layout()
}

/// The tensor's primitive, whose storage holds its elements in order and nothing else.
#[inline(always)] // A tensor is long to move.
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

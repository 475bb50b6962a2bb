//! How the flex backend lends its memory to the one-pass form.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor, TensorData, bf16, f16};

use super::cpu::{self, QuantizedSlices};
use super::moments::{code_slices, put, take};
use super::weights::{Bf16WithLower, F16WithMaster, Plain};
use super::{Coefficients, Master, MomentSlot, Rule, strided};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    moments: [MomentSlot<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let parameter = contiguous(parameter);
    let parameter = Parameter::Plain(&parameter);
    in_place(parameter, gradient, start, moments, coefficients)
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
        let parameter = Parameter::Bf16WithLower(&parameter, &mut lower);
        let updated = in_place(parameter, gradient, start, moments, coefficients);
        let master = Master::lower(lower, &updated);
        (updated, master)
    } else {
        let mut whole = contiguous(Master::whole_of(master, &parameter, same));
        let parameter = Parameter::F16WithMaster(&mut whole);
        let updated = in_place(parameter, gradient, start, moments, coefficients);
        let master = Master::whole(Tensor::from_primitive::<Flex>(whole), &updated);
        (updated, master)
    }
}

enum Parameter<'a> {
    Plain(&'a FlexTensor),
    Bf16WithLower(&'a FlexTensor, &'a mut [i16]),
    F16WithMaster(&'a mut FlexTensor),
}

enum Moments<'a, const N: usize> {
    Whole(&'a mut [FlexTensor; N]),
    Codes(QuantizedSlices<'a, N>),
}

/// Leaves the new parameter in the gradient's memory: nobody needs the gradient any more.
#[inline(always)] // A tensor is long to move.
fn in_place<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Parameter,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    mut moments: [MomentSlot<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let mut updated = contiguous(gradient);
    let start = start.map(|start| contiguous(start.clone()));
    let start = start.as_ref();
    if let Some(slices) = code_slices(&mut moments) {
        let moments = Moments::Codes(slices);
        one_pass(parameter, &mut updated, start, moments, coefficients);
    } else {
        let mut next = moments.each_mut().map(|moment| contiguous(take(moment)));
        let whole = Moments::Whole(&mut next);
        one_pass(parameter, &mut updated, start, whole, coefficients);
        put(moments, next, Tensor::from_primitive::<Flex>);
    }
    Tensor::from_primitive::<Flex>(updated)
}

/// Without the rank, for each of which it would be compiled once more.
fn one_pass<R: Rule<N>, const N: usize>(
    parameter: Parameter,
    gradient: &mut FlexTensor,
    start: Option<&FlexTensor>,
    moments: Moments<N>,
    coefficients: &Coefficients<f64, R>,
) {
    // Memory that someone else still holds is copied by `storage_mut`, and only then written to.
    macro_rules! step {
        ($weights:expr) => {{
            let (weights, start) = ($weights, start.map(FlexTensor::storage));
            match moments {
                Moments::Whole(next) => {
                    let slices = next.each_mut().map(FlexTensor::storage_mut);
                    cpu::step(weights, start, slices, coefficients);
                }
                Moments::Codes(slices) => cpu::step(weights, start, slices, coefficients),
            }
        }};
    }
    macro_rules! plain {
        ($element:ty, $parameter:expr) => {
            step!(Plain {
                parameter: $parameter.storage::<$element>(),
                gradient: gradient.storage_mut(),
            })
        };
    }
    match parameter {
        Parameter::Plain(parameter) => match parameter.dtype() {
            DType::F32 => plain!(f32, parameter),
            DType::F64 => plain!(f64, parameter),
            DType::F16 => plain!(f16, parameter),
            DType::BF16 => plain!(bf16, parameter),
            other => unreachable!("{other:?} takes the portable form"),
        },
        Parameter::Bf16WithLower(parameter, lower) => step!(Bf16WithLower {
            parameter: parameter.storage(),
            lower,
            gradient: gradient.storage_mut(),
        }),
        Parameter::F16WithMaster(master) => step!(F16WithMaster {
            master: master.storage_mut(),
            gradient: gradient.storage_mut(),
        }),
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

//! How the flex backend lends its memory to the one-pass form.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor, TensorData, bf16, f16};

use super::lent::{self, Lent, in_place};
use super::weights::{Bf16WithLower, F16WithMaster, Plain};
use super::{Coefficients, Master, MomentSlot, Rule, strided};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    moments: [MomentSlot<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let parameter = FlexTensor::lend(parameter);
    let parameter = Parameter::Plain(&parameter);
    in_place(
        parameter,
        gradient,
        start,
        moments,
        coefficients,
        R::on_flex,
    )
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
        let parameter = FlexTensor::lend(parameter);
        let parameter = Parameter::Bf16WithLower(&parameter, &mut lower);
        let updated = in_place(
            parameter,
            gradient,
            start,
            moments,
            coefficients,
            R::on_flex,
        );
        let master = Master::lower(lower, &updated);
        (updated, master)
    } else {
        let mut whole = FlexTensor::lend(Master::whole_of(master, &parameter, same));
        let parameter = Parameter::F16WithMaster(&mut whole);
        let updated = in_place(
            parameter,
            gradient,
            start,
            moments,
            coefficients,
            R::on_flex,
        );
        let master = Master::whole(whole.give_back(), &updated);
        (updated, master)
    }
}

pub(crate) type Memory<'a, 'p> = lent::Memory<'a, Parameter<'p>, FlexTensor>;
pub(crate) type Moments<'a, const N: usize> = lent::LentMoments<'a, FlexTensor, N>;

pub(crate) enum Parameter<'a> {
    Plain(&'a FlexTensor),
    Bf16WithLower(&'a FlexTensor, &'a mut [i16]),
    F16WithMaster(&'a mut FlexTensor),
}

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
    // Memory that someone else still holds is copied by `storage_mut`, and only then written to.
    macro_rules! step {
        ($weights:expr) => {{
            let start = start.map(FlexTensor::storage);
            moments.step($weights, start, FlexTensor::storage_mut, coefficients);
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

impl Lent for FlexTensor {
    #[inline(always)] // A tensor is long to move.
    fn lend<const D: usize>(tensor: Tensor<D>) -> Self {
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

    #[inline(always)]
    fn give_back<const D: usize>(self) -> Tensor<D> {
        Tensor::from_primitive::<Flex>(self)
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

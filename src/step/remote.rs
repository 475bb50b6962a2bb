//! The step on a device of a server that knows it: one message, and the server's own form.

use std::sync::{PoisonError, RwLock};

use burn::backend::ir::{BackendIr, CustomOpIr, HandleContainer, ScalarIr, TensorIr};
use burn::backend::{
    Backend, DTypeUsage, DispatchDevice, DispatchKindConversion, DispatchTensor, Remote,
    RemoteDevice,
};
use burn::remote::CustomOpClient;
use burn::server::RemoteServer;
use burn::tensor::{DType, Device, Shape, Tensor};

use super::moments::{put, take};
use super::{Adam, Coefficients, Decay, Moment, MomentSlot, Rule, Sgd, without_master};
use crate::MomentPrecision;

/// What has been learned about a device, since every question is a message that is waited for.
struct Known {
    device: RemoteDevice,
    takes_steps: bool,
    stores: Vec<DType>,
}

static KNOWN: RwLock<Vec<Known>> = RwLock::new(Vec::new());

pub(crate) fn takes_steps(device: &RemoteDevice) -> bool {
    ask(device, |known| known.takes_steps)
}

pub(crate) fn now_takes_steps(device: &RemoteDevice) {
    learn(device, |known| known.takes_steps = true);
}

/// Whether the device stores numbers of `dtype`.
pub(super) fn stores(device: &RemoteDevice, dtype: DType) -> bool {
    if ask(device, |known| known.stores.contains(&dtype)) {
        return true;
    }
    let stores = Remote::dtype_usage(device, dtype).contains(DTypeUsage::Storage);
    if stores {
        learn(device, |known| known.stores.push(dtype));
    }
    stores
}

fn ask(device: &RemoteDevice, of: impl Fn(&Known) -> bool) -> bool {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known
        .iter()
        .any(|known| known.device == *device && of(known))
}

fn learn(device: &RemoteDevice, set: impl Fn(&mut Known)) {
    let mut all = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    match all.iter_mut().find(|known| known.device == *device) {
        Some(known) => set(known),
        None => {
            let mut known = Known {
                device: device.clone(),
                takes_steps: false,
                stores: Vec::new(),
            };
            set(&mut known);
            all.push(known);
        }
    }
}

/// The server, with an operation for each rule's step.
pub(crate) fn register<B: BackendIr>(server: RemoteServer) -> RemoteServer
where
    DispatchTensor: DispatchKindConversion<B>,
{
    fn with_rule<B: BackendIr, R: Rule<N>, const N: usize>(server: RemoteServer) -> RemoteServer
    where
        DispatchTensor: DispatchKindConversion<B>,
    {
        server.with_custom_op::<B, _>(&operation::<R, N>(), |handles, operation, _| {
            take_step::<B, R, N>(handles, operation);
        })
    }
    let server = with_rule::<B, Adam<f64>, 2>(with_rule::<B, Adam<f64>, 3>(server));
    with_rule::<B, Sgd<f64>, 0>(with_rule::<B, Sgd<f64>, 1>(server))
}

/// What a server knows the step by: of this version, since another may send something else.
fn operation<R: Rule<N>, const N: usize>() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("burn_decay::step/{version}/{}/{N}", R::NAME)
}

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    mut kept: [MomentSlot<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let DispatchDevice::Remote(device) = parameter.device().as_dispatch().clone() else {
        unreachable!("a remote device's form");
    };
    let client = CustomOpClient::new(&device);
    let sent = |tensor: Tensor<D>| {
        let tensor = tensor.try_into_primitive::<Remote>();
        tensor
            .expect("the tensors of a step are on the parameter's device")
            .into_ir()
    };
    let moments = kept.each_mut().map(|moment| sent(take(moment)));
    let parameter = sent(parameter);
    let like = |tensor: &TensorIr| {
        let shape = tensor.shape.clone();
        TensorIr::uninit(client.create_empty_handle(), shape, tensor.dtype)
    };
    let outputs = [&parameter].into_iter().chain(&moments).map(like).collect();
    let start = start.map(|start| sent(start.clone()));
    let inputs = [parameter, sent(gradient)].into_iter().chain(start);
    let mut updated = client.register(CustomOpIr {
        id: operation::<R, N>(),
        inputs: inputs.chain(moments).collect(),
        outputs,
        scalars: to_scalars::<R, N>(coefficients),
    });
    let next = updated.split_off(1);
    let next =
        <[_; N]>::try_from(next).unwrap_or_else(|_| unreachable!("as many as were asked for"));
    put(kept, next, Tensor::from_primitive::<Remote>);
    Tensor::from_primitive::<Remote>(updated.remove(0))
}

/// What a server does with the message.
fn take_step<B: BackendIr, R: Rule<N>, const N: usize>(
    handles: &mut HandleContainer<B::Handle>,
    operation: &CustomOpIr,
) where
    DispatchTensor: DispatchKindConversion<B>,
{
    let coefficients = of_scalars::<R, N>(&operation.scalars)
        .unwrap_or_else(|| panic!("a step of another version: {:?}", operation.scalars));
    // What comes from another program is checked: a kernel reads where it is told to.
    let count = 2 + usize::from(coefficients.decay.towards_start) + N;
    let is_whole = operation.inputs.len() == count && operation.outputs.len() == 1 + N;
    let mut tensors = operation.inputs.iter().chain(&operation.outputs);
    let is_a_step = is_whole && tensors.all(|tensor| tensor.shape == operation.inputs[0].shape);
    assert!(is_a_step, "not a step: {operation:?}");
    // The rule knows no shapes.
    let mut inputs = operation.inputs.iter().map(|tensor| {
        let row = Shape::new([tensor.shape.num_elements()]);
        let tensor = handles.get_float_tensor::<B>(tensor);
        Tensor::<1>::from_primitive::<B>(B::float_reshape(tensor, row))
    });
    let mut input = || inputs.next().expect("they have been counted");
    let (parameter, gradient) = (input(), input());
    let start = coefficients.decay.towards_start.then(&mut input);
    let mut moments: [_; N] = std::array::from_fn(|_| Some(Moment::Whole(input())));
    let updated = without_master(
        parameter,
        gradient,
        start.as_ref(),
        moments.each_mut(),
        MomentPrecision::Full,
        &coefficients,
    );
    let next = moments.each_mut().map(take);
    for (place, tensor) in operation
        .outputs
        .iter()
        .zip([updated].into_iter().chain(next))
    {
        let tensor = tensor
            .try_into_primitive::<B>()
            .expect("a step stays on its device");
        let tensor = B::float_reshape(tensor, place.shape.clone());
        handles.register_float_tensor::<B>(&place.id, tensor);
    }
}

fn to_scalars<R: Rule<N>, const N: usize>(coefficients: &Coefficients<f64, R>) -> Vec<ScalarIr> {
    let Coefficients {
        time,
        decay,
        step_size,
        rule,
    } = *coefficients;
    let flags = [decay.cautious, decay.towards_start, decay.stochastic];
    let numbers = [decay.l2_penalty, decay.decoupled, decay.l1, step_size];
    let numbers = numbers.into_iter().chain(rule.to_message());
    let time = [ScalarIr::UInt(time as u64)].into_iter();
    let flags = flags.map(ScalarIr::Bool);
    time.chain(flags)
        .chain(numbers.map(ScalarIr::Float))
        .collect()
}

fn of_scalars<R: Rule<N>, const N: usize>(scalars: &[ScalarIr]) -> Option<Coefficients<f64, R>> {
    use ScalarIr::{Bool, UInt};
    let [
        UInt(time),
        Bool(cautious),
        Bool(towards_start),
        Bool(stochastic),
        numbers @ ..,
    ] = scalars
    else {
        return None;
    };
    let number = |scalar: &ScalarIr| match scalar {
        ScalarIr::Float(number) => Some(*number),
        _ => None,
    };
    let numbers: Vec<f64> = numbers.iter().map(number).collect::<Option<_>>()?;
    let [l2_penalty, decoupled, l1, step_size, rule @ ..] = &*numbers else {
        return None;
    };
    Some(Coefficients {
        time: *time as usize,
        decay: Decay {
            l2_penalty: *l2_penalty,
            decoupled: *decoupled,
            l1: *l1,
            cautious: *cautious,
            towards_start: *towards_start,
            stochastic: *stochastic,
        },
        step_size: *step_size,
        rule: R::of_message(rule)?,
    })
}

/// Takes a step whose result is known.
pub(crate) fn probe(device: &Device) -> Result<(), String> {
    let one = Tensor::<1>::ones([1], device);
    let coefficients = Coefficients {
        time: 1,
        decay: Decay::none(),
        step_size: 1.0,
        rule: Sgd::PLAIN,
    };
    let updated = step(one.clone(), one, None, [], &coefficients);
    match updated.try_into_data() {
        Ok(data) if data.iter::<f32>().eq([0.0]) => Ok(()),
        Ok(data) => Err(format!("a step of 1 from 1 is {data}")),
        Err(error) => Err(error.to_string()),
    }
}

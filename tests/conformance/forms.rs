//! The forms of the step under test.

use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_decay::{AdamL2, AdamState, AdamW, SimpleOptimizer};

/// A form, chosen as a user chooses it: by the device.
#[derive(Clone, Debug)]
pub struct Form {
    pub name: &'static str,
    pub device: Device,
    pub dtypes: &'static [DType],
}

#[cfg(feature = "ndarray")]
const NATIVE: &[DType] = &[DType::F32, DType::F64];
#[cfg(feature = "flex")]
const NATIVE_AND_HALF: &[DType] = &[DType::F32, DType::F64, DType::F16, DType::BF16];

/// A form for the backend's own memory beside the portable one, which everything else takes: the
/// tensors of an autodiff device, for one.
#[allow(
    deprecated,
    reason = "Burn deprecates the ndarray backend, and keeps it"
)]
pub fn pairs() -> Vec<[Form; 2]> {
    let pair = |[name, portable]: [&'static str; 2], device: Device, dtypes| {
        [
            Form {
                name,
                device: device.clone(),
                dtypes,
            },
            Form {
                name: portable,
                device: device.autodiff(),
                dtypes,
            },
        ]
    };
    vec![
        #[cfg(feature = "flex")]
        pair(
            ["flex", "portable on flex"],
            Device::flex(),
            NATIVE_AND_HALF,
        ),
        #[cfg(feature = "ndarray")]
        pair(
            ["ndarray", "portable on ndarray"],
            Device::ndarray(),
            NATIVE,
        ),
    ]
}

pub fn forms() -> Vec<Form> {
    pairs().into_iter().flatten().collect()
}

/// The devices that a `ModuleOptimizer` takes: it steps on their inner devices, which have a form.
pub fn devices() -> impl Iterator<Item = Device> {
    let devices = forms().into_iter().map(|form| form.device);
    devices.filter(Device::is_autodiff)
}

#[derive(Clone)]
pub enum Optimizer {
    AdamL2(AdamL2),
    AdamW(AdamW),
}

/// A parameter of rank `D` and what the optimizer remembers of it.
pub struct Run<const D: usize> {
    pub optimizer: Optimizer,
    pub lr: f64,
    pub parameter: Tensor<D>,
    pub state: Option<AdamState<D>>,
}

impl<const D: usize> Run<D> {
    pub fn new(optimizer: Optimizer, lr: f64, parameter: Tensor<D>) -> Self {
        Self {
            optimizer,
            lr,
            parameter,
            state: None,
        }
    }

    pub fn step(&mut self, gradient: Tensor<D>) {
        // The parameter is given away, as a hand-written loop would.
        let empty = Tensor::empty([0; D], &self.parameter.device());
        let parameter = core::mem::replace(&mut self.parameter, empty);
        let state = self.state.take();
        (self.parameter, self.state) = match &self.optimizer {
            Optimizer::AdamL2(adam) => adam.step(self.lr, parameter, gradient, state),
            Optimizer::AdamW(adam) => adam.step(self.lr, parameter, gradient, state),
        };
    }
}

pub fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

pub fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor
        .to_data()
        .convert::<f64>()
        .try_into_vec()
        .expect("the data was converted to f64")
}

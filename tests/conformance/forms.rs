//! The forms of the step under test.

use burn::optim::ModuleOptimizer;
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_decay::{AdamL2, AdamState, AdamW, SgdL2, SgdState, SgdW, SimpleOptimizer};

/// A form, chosen as a user chooses it: by the device.
#[derive(Clone, Debug)]
pub struct Form {
    pub name: &'static str,
    pub device: Device,
    /// Those of its own that the device knows.
    pub dtypes: Vec<DType>,
}

/// A form for the backend's own memory beside the portable one, which everything else takes: the
/// tensors of an autodiff device, for one.
#[allow(
    deprecated,
    reason = "Burn deprecates the ndarray backend, and keeps it"
)]
pub fn pairs() -> Vec<[Form; 2]> {
    let form = |name: &'static str, device: Device| {
        let all = [DType::F32, DType::F64, DType::F16, DType::BF16].into_iter();
        Form {
            name,
            dtypes: all.filter(|dtype| device.supports_dtype(*dtype)).collect(),
            device,
        }
    };
    let pair = |[own, portable]: [&'static str; 2], device: Device| {
        let autodiff = device.clone().autodiff();
        [form(own, device), form(portable, autodiff)]
    };
    let pairs = vec![
        #[cfg(feature = "flex")]
        pair(["flex", "portable on flex"], Device::flex()),
        #[cfg(feature = "ndarray")]
        pair(["ndarray", "portable on ndarray"], Device::ndarray()),
        #[cfg(feature = "wgpu")]
        pair(["wgpu", "portable on wgpu"], wgpu()),
        // Beside the portable form here, which takes a message an operation there, as half precision does.
        #[cfg(all(feature = "flex", feature = "remote"))]
        [
            Form {
                dtypes: vec![DType::F32, DType::F64],
                ..form("remote", remote())
            },
            form("portable on flex", Device::flex().autodiff()),
        ],
    ];
    assert!(!pairs.is_empty(), "no backend is compiled in to test on");
    pairs
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Device {
    static DEVICE: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    let find = || match Device::wgpu_options().init_with_setup() {
        Ok((device, setup)) => {
            let adapter = setup.adapter.get_info();
            println!("wgpu runs on {} ({})", adapter.name, adapter.backend);
            device
        }
        // Another test has it already, as Burn's default device.
        Err(error) if error.to_string().contains("already initialized") => {
            Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)
        }
        Err(error) => panic!(
            "there is no adapter to test wgpu on ({error}); \
             `apt-get install mesa-vulkan-drivers libvulkan1` brings one in software"
        ),
    };
    DEVICE.get_or_init(find).clone()
}

/// A server in this process, and all that a message to it goes through.
#[cfg(all(feature = "flex", feature = "remote"))]
fn remote() -> Device {
    static DEVICE: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    let connect = || {
        let host = crate::servers::start(burn_decay::remote::server([Device::flex()]));
        let options = Device::remote_options(&host);
        burn_decay::remote::connect(options).expect("the server was started")
    };
    DEVICE.get_or_init(connect).clone()
}

/// The forms that run on a CPU in one pass.
pub fn one_pass_forms() -> impl Iterator<Item = Form> {
    let forms = pairs().into_iter().map(|[form, _]| form);
    forms.filter(|form| ["flex", "ndarray"].contains(&form.name))
}

/// Those of [`pairs`] that take thousands of steps in no time: neither a server's, of which each reading is a
/// message, nor the portable one on a GPU, which is Burn's operations there more than ours.
pub fn forms() -> Vec<Form> {
    let forms = pairs().into_iter().flatten();
    let mut forms: Vec<Form> = forms
        .filter(|form| !["remote", "portable on wgpu"].contains(&form.name))
        .collect();
    forms.sort_by_key(|form| form.name);
    forms.dedup_by_key(|form| form.name);
    forms
}

/// The devices that a `ModuleOptimizer` takes: it steps on their inner devices, which have a form.
pub fn devices() -> impl Iterator<Item = Device> {
    pairs().into_iter().map(|[own, _]| own.device.autodiff())
}

/// Those of them that compute in f64.
pub fn devices_with_f64() -> impl Iterator<Item = Device> {
    devices().filter(|device| device.supports_dtype(DType::F64))
}

#[derive(Clone)]
pub enum Optimizer {
    AdamL2(AdamL2),
    AdamW(AdamW),
    SgdL2(SgdL2),
    SgdW(SgdW),
}

impl From<Optimizer> for ModuleOptimizer {
    fn from(optimizer: Optimizer) -> Self {
        match optimizer {
            Optimizer::AdamL2(adam) => adam.into(),
            Optimizer::AdamW(adam) => adam.into(),
            Optimizer::SgdL2(sgd) => sgd.into(),
            Optimizer::SgdW(sgd) => sgd.into(),
        }
    }
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "a test holds one or two of them")]
pub enum State<const D: usize> {
    Adam(AdamState<D>),
    Sgd(SgdState<D>),
}

impl<const D: usize> State<D> {
    pub fn adam(self) -> AdamState<D> {
        match self {
            Self::Adam(state) => state,
            Self::Sgd(_) => panic!("SGD's state in Adam's place"),
        }
    }

    pub fn sgd(self) -> SgdState<D> {
        match self {
            Self::Adam(_) => panic!("Adam's state in SGD's place"),
            Self::Sgd(state) => state,
        }
    }
}

/// A parameter of rank `D` and what the optimizer remembers of it.
pub struct Run<const D: usize> {
    pub optimizer: Optimizer,
    pub lr: f64,
    pub parameter: Tensor<D>,
    pub state: Option<State<D>>,
    steps: usize,
}

impl<const D: usize> Run<D> {
    pub fn new(optimizer: Optimizer, lr: f64, parameter: Tensor<D>) -> Self {
        Self {
            optimizer,
            lr,
            parameter,
            state: None,
            steps: 0,
        }
    }

    pub fn step(&mut self, gradient: Tensor<D>) {
        // The parameter is given away, as a hand-written loop would.
        let empty = Tensor::empty([0; D], &self.parameter.device());
        let parameter = core::mem::replace(&mut self.parameter, empty);
        let state = self.state.take();
        macro_rules! step {
            ($optimizer:expr, $kind:ident, $take:ident) => {{
                let state = state.map(State::$take);
                let (parameter, state) = $optimizer.step(self.lr, parameter, gradient, state);
                (parameter, state.map(State::$kind))
            }};
        }
        (self.parameter, self.state) = match &self.optimizer {
            Optimizer::AdamL2(adam) => step!(adam, Adam, adam),
            Optimizer::AdamW(adam) => step!(adam, Adam, adam),
            Optimizer::SgdL2(sgd) => step!(sgd, Sgd, sgd),
            Optimizer::SgdW(sgd) => step!(sgd, Sgd, sgd),
        };

        self.steps += 1;
        if self.steps.is_multiple_of(64) && self.parameter.device().is_autodiff() {
            forget_the_graph(&self.parameter.device());
        }
    }
}

/// Until someone asks for gradients, Burn keeps a node for each operation of an autodiff device, and finds
/// its way among them ever more slowly.
fn forget_the_graph(device: &Device) {
    let _ = Tensor::<1>::ones([1], device).require_grad().backward();
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

//! The update rule, in each of its forms, and nothing else.
//!
//! In the names of the paper, with `g` the gradient, `θ` the parameter and `θ₀` what it decays
//! towards, 0 or its start:
//!
//! ```text
//! g  ← g + λ(θ - θ₀)              l2_penalty
//! d  = the rule's direction       adam.rs, sgd.rs
//! c  = δ(θ - θ₀) + α·d            decoupled, step_size
//! θ  ← θ - c                      where there is no L1 decay
//! θ  ← θ - (c ± δ₁), or θ₀        l1: with the sign of θ - θ₀ - c, or where that is less than δ₁
//! ```
//!
//! With stochastic rounding the new θ is one of the two numbers around the exact result, by how near each
//! is. To that end a noise, up to a half of the distance to the next number on either side, joins the sum
//! before it is rounded.
//!
//! The decay and the update are summed before they meet the parameter, so that the new one is
//! rounded once: a decay far below the parameter's last bit counts in full, on average, while the
//! update varies.

mod adam;
mod codes;
mod master;
mod moments;
mod portable;
mod rounding;
mod sgd;
mod weight_state;

#[cfg(feature = "_one-pass")]
mod cpu;
#[cfg(feature = "_cubecl")]
mod cube;
#[cfg(feature = "_cubecl")]
mod cube_codes;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "_one-pass")]
mod lent;
#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "remote")]
#[cfg_attr(
    not(any(feature = "_one-pass", feature = "_cubecl")),
    allow(dead_code, reason = "there is nothing to serve")
)]
pub(crate) mod remote;
#[cfg(feature = "_one-pass")]
mod strided;
#[cfg(feature = "_one-pass")]
mod threads;
#[cfg(feature = "_one-pass")]
mod weights;

use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::{Backend, DTypeUsage, Dispatch, DispatchDevice};
use burn::tensor::{DType, Device, Tensor};

use crate::MomentPrecision;

pub(crate) use adam::{Adam, Average};
pub(crate) use codes::{Codes, Kind};
pub(crate) use master::Master;
pub(crate) use moments::{Moment, MomentSlot, code_leaves};
pub(crate) use sgd::Sgd;
pub(crate) use weight_state::WeightState;

/// The scalars of one step, computed in f64 and rounded once, to the precision of the arithmetic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients<T, R> {
    /// The number of the step, from 1, on which what is random depends.
    pub time: usize,
    pub decay: Decay<T>,
    /// α
    pub step_size: T,
    /// What the rule computes its direction with.
    pub rule: R,
}

/// What becomes of λ in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decay<T> {
    /// λ of the coupled penalty; zero where the decay is decoupled.
    pub l2_penalty: T,
    /// δ; zero where the decay is coupled.
    pub decoupled: T,
    /// δ₁, which is taken from every magnitude; zero where there is no L1 decay.
    pub l1: T,
    /// Whether δ counts only where the update does not move the parameter away from its target.
    pub cautious: bool,
    /// Whether the target is where the parameter started, and not 0.
    pub towards_start: bool,
    /// Whether the new parameter is rounded at random, and not to the nearest.
    pub stochastic: bool,
}

impl<T: Default> Decay<T> {
    pub(crate) fn none() -> Self {
        Self {
            l2_penalty: T::default(),
            decoupled: T::default(),
            l1: T::default(),
            cautious: false,
            towards_start: false,
            stochastic: false,
        }
    }
}

/// Below it a first moment counts as 0 for cautious decay: it is the smallest that every form on
/// every device keeps.
const SMALLEST_MOMENT: f32 = f32::MIN_POSITIVE;

impl<R> Coefficients<f64, R> {
    /// # Panics
    ///
    /// Panics where the square of a scalar overflows: a step takes the parameter to about α, and
    /// the next one multiplies that with δ.
    fn check(&self, arithmetic: DType) {
        let largest = match arithmetic {
            DType::F64 => f64::MAX,
            _ => f32::MAX.into(),
        };
        let scalars = [
            ("decay of a step, δ,", self.decay.decoupled),
            ("L1 decay of a step, δ₁,", self.decay.l1),
            ("size of a step, α,", self.step_size),
        ];
        for (name, value) in scalars {
            assert!(
                value.abs() <= largest.sqrt(),
                "the {name} is {value:e}, whose square overflows in {arithmetic:?}: the learning rate or the decay is too large"
            );
        }
    }
}

/// How a gradient becomes the direction of a step, by way of `N` moving moments a parameter.
///
/// The mathematics stands in each form's own words, side by side, since a form computes with
/// tensors, with numbers or with what a GPU's compiler takes for numbers.
pub(crate) trait Rule<const N: usize>: Compiled<N> + Copy + Send + Sync + 'static {
    /// The direction for `g`, in Burn's tensor operations.
    fn of_tensors<const D: usize>(&self, g: Tensor<D>, moments: &mut [Tensor<D>; N]) -> Tensor<D>;

    /// The rule's scalars, rounded.
    #[cfg(feature = "_one-pass")]
    type Rounded<T: cpu::Arithmetic>: cpu::Rule<T, N>;

    #[cfg(feature = "_one-pass")]
    fn round_to<T: cpu::Arithmetic>(&self) -> Self::Rounded<T>;

    /// The direction as a part of the kernel.
    #[cfg(feature = "_cubecl")]
    type Kernel: cube::Kernel;

    /// The rule's scalars, for the kernel to round.
    #[cfg(feature = "_cubecl")]
    fn scalars(&self, arithmetic: DType) -> cube::Scalars<Self::Kernel>;

    /// What a server knows the rule by.
    #[cfg(feature = "remote")]
    const NAME: &'static str;

    /// The rule's scalars, for a message.
    #[cfg(feature = "remote")]
    fn to_message(&self) -> Vec<f64>;

    /// None where they are not this rule's.
    #[cfg(feature = "remote")]
    #[allow(dead_code, reason = "without a backend there is nothing to serve")]
    fn of_message(numbers: &[f64]) -> Option<Self>;
}

/// The part of a step that does not depend on the tensors' rank. It has no generics for a rule and its number of
/// moments, so that this crate compiles it, and not each program that takes a step.
pub(crate) trait Compiled<const N: usize>: Sized {
    #[cfg(feature = "flex")]
    fn on_flex(
        memory: flex::Memory,
        moments: flex::Moments<N>,
        coefficients: &Coefficients<f64, Self>,
    );

    #[cfg(feature = "ndarray")]
    fn on_ndarray(
        memory: ndarray::Memory,
        moments: ndarray::Moments<N>,
        coefficients: &Coefficients<f64, Self>,
    );

    #[cfg(feature = "_cubecl")]
    fn on_cube(
        weights: cube::Weights,
        moments: cube::Moments<N>,
        coefficients: &Coefficients<f64, Self>,
    ) -> cube::Stepped<N>;
}

macro_rules! compiled {
    ($($rule:ty, $n:literal;)*) => {$(
        impl Compiled<$n> for $rule {
            #[cfg(feature = "flex")]
            fn on_flex(
                memory: flex::Memory,
                moments: flex::Moments<$n>,
                coefficients: &Coefficients<f64, Self>,
            ) {
                flex::one_pass(memory, moments, coefficients);
            }

            #[cfg(feature = "ndarray")]
            fn on_ndarray(
                memory: ndarray::Memory,
                moments: ndarray::Moments<$n>,
                coefficients: &Coefficients<f64, Self>,
            ) {
                ndarray::one_pass(memory, moments, coefficients);
            }

            #[cfg(feature = "_cubecl")]
            fn on_cube(
                weights: cube::Weights,
                moments: cube::Moments<$n>,
                coefficients: &Coefficients<f64, Self>,
            ) -> cube::Stepped<$n> {
                cube::one_kernel(weights, moments, coefficients)
            }
        }
    )*};
}
compiled! {
    Adam<f64>, 2;
    Adam<f64>, 3;
    Sgd<f64>, 0;
    Sgd<f64>, 1;
}

/// How the numbers of a parameter are kept from step to step, beside the parameter itself.
pub(crate) struct Storage<'a, const D: usize> {
    pub moments: MomentPrecision,
    pub master_weights: bool,
    pub weights: &'a mut WeightState<D>,
}

/// One step: the new parameter. Moments that are missing are zero. A parameter in half precision has
/// master weights, unless they are turned off. One that decays towards its start starts at the first
/// step that finds none.
///
/// # Panics
///
/// Panics where the gradient is not of the parameter's shape, or a scalar is too large.
pub(crate) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: [MomentSlot<D>; N],
    storage: Storage<D>,
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let Storage {
        moments: precision,
        master_weights,
        weights,
    } = storage;
    let WeightState { master, start } = weights;
    let (shape, expected) = (gradient.shape(), parameter.shape());
    assert!(
        shape == expected,
        "the gradient has the shape {shape}, but the parameter {expected}"
    );
    let (dtype, device) = (parameter.dtype(), parameter.device());
    check_precision("parameter", dtype, &device);
    check_precision("gradient", gradient.dtype(), &device);
    let start = if coefficients.decay.towards_start {
        let start = start.get_or_insert_with(|| parameter.clone().into());
        cast(start, dtype);
        Some(&**start)
    } else {
        *start = None;
        None
    };
    if !master_weights || !is_half(dtype) || expected.num_elements() == 0 {
        *master = None;
        return without_master(parameter, gradient, start, moments, precision, coefficients);
    }
    let form: Option<fn(_, _, _, _, _, &_) -> _> = match device.as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => Some(flex::step_with_master),
        #[cfg(feature = "_cubecl")]
        DispatchDevice::Cube(_) => Some(cube::step_with_master),
        _ => None,
    };
    if let Some(form) = form
        && gradient.dtype() == dtype
    {
        let moments = prepared(moments, &parameter, precision, coefficients.time);
        coefficients.check(DType::F32);
        let kept = master.take().map(|master| *master);
        let (updated, next) = form(parameter, gradient, start, moments, kept, coefficients);
        *master = Some(Box::new(next));
        return updated;
    }
    let whole = Master::of(master.take().map(|master| *master), &parameter);
    let updated = without_master(whole, gradient, start, moments, precision, coefficients);
    let rounded = master::round(&updated, dtype);
    *master = Some(Master::whole(updated, &rounded).into());
    rounded
}

/// In the form that suits the parameter's device.
#[inline(always)] // A tensor is long to move.
fn without_master<R: Rule<N>, const N: usize, const D: usize>(
    mut parameter: Tensor<D>,
    mut gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    moments: [MomentSlot<D>; N],
    precision: MomentPrecision,
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    // A gradient that the parameter's precision does not hold is never narrowed to it.
    let own = parameter.dtype();
    let common = common(own, gradient.dtype());
    cast(&mut parameter, common);
    cast(&mut gradient, common);
    let cast_start;
    let start = match start {
        Some(start) if start.dtype() != common => {
            cast_start = start.clone().cast(common);
            Some(&cast_start)
        }
        start => start,
    };
    let moments = prepared(moments, &parameter, precision, coefficients.time);
    coefficients.check(arithmetic(common));
    let Coefficients { decay, time, .. } = *coefficients;
    let coefficients = Coefficients {
        decay: Decay {
            // What an f64 loses is too little to be worth any noise, and what others have is not known.
            stochastic: decay.stochastic && is_narrow(common),
            ..decay
        },
        ..*coefficients
    };

    #[cfg(any(feature = "_cubecl", feature = "remote"))]
    let is_quantized = moments::are_quantized(&moments);
    let form = match (parameter.device().as_dispatch(), common) {
        #[cfg(feature = "flex")]
        (DispatchDevice::Flex(_), DType::F32 | DType::F64 | DType::F16 | DType::BF16) => flex::step,
        #[cfg(feature = "ndarray")]
        (DispatchDevice::NdArray(_), DType::F32 | DType::F64) => ndarray::step,
        // The kernel that reads codes computes in f32.
        #[cfg(feature = "_cubecl")]
        (DispatchDevice::Cube(_), DType::F64) if is_quantized => portable::step,
        #[cfg(feature = "_cubecl")]
        (DispatchDevice::Cube(_), DType::F32 | DType::F64 | DType::F16 | DType::BF16) => cube::step,
        #[cfg(feature = "remote")]
        (DispatchDevice::Remote(device), DType::F32 | DType::F64 | DType::F16 | DType::BF16)
            if remote::takes_steps(device) =>
        {
            // A message has no codes.
            if is_quantized {
                portable::step
            } else {
                remote::step
            }
        }
        (device, DType::F32 | DType::F64 | DType::F16 | DType::BF16) => {
            warn_of_a_faster_form(device);
            portable::step
        }
        _ => portable::step,
    };
    let mut updated = form(parameter, gradient, start, moments, &coefficients);
    if decay.stochastic && own != common && is_narrow(own) {
        return portable::rounded(updated, Vec::new(), own, time);
    }
    cast(&mut updated, own);
    updated
}

/// None missing, and all as they should be kept.
#[inline(always)]
fn prepared<'a, const N: usize, const D: usize>(
    mut moments: [MomentSlot<'a, D>; N],
    parameter: &Tensor<D>,
    precision: MomentPrecision,
    time: usize,
) -> [MomentSlot<'a, D>; N] {
    for (which, kept) in moments.iter_mut().enumerate() {
        moments::prepare(kept, Kind::of_index(which), time, parameter, precision);
    }
    moments
}

/// Whether its last bit is large enough for stochastic rounding.
fn is_narrow(dtype: DType) -> bool {
    dtype == DType::F32 || is_half(dtype)
}

pub(crate) fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// # Panics
///
/// Panics where the device cannot store numbers of `dtype`. A kernel on them fails far from here,
/// and may take the device with it. That every device has f32 need not be asked.
fn check_precision(of: &str, dtype: DType, device: &Device) {
    let device = device.as_dispatch();
    let stores = || match device {
        #[cfg(feature = "remote")]
        DispatchDevice::Remote(device) => remote::stores(device, dtype),
        device => Dispatch::dtype_usage(device, dtype).contains(DTypeUsage::Storage),
    };
    assert!(
        dtype == DType::F32 || stores(),
        "the {of} is in {dtype:?}, which {device:?} does not have; keep it in F32 there"
    );
}

/// Says, once, that a device which takes the portable form has a faster one.
fn warn_of_a_faster_form(device: &DispatchDevice) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if WARNED.load(Ordering::Relaxed) {
        return;
    }
    let device = format!("{device:?}");
    // It has been said before the logger has its turn, which may itself take a step.
    if let Some(remedy) = remedy(&device)
        && !WARNED.swap(true, Ordering::Relaxed)
    {
        log::warn!(
            "burn-decay takes the portable form of the step on {device}; for a faster one, {remedy}"
        );
    }
}

/// What gives a device, by the name that Burn shows, its faster form. Which variants the device's
/// type has depends on Burn's features, and cannot be asked here.
fn remedy(device: &str) -> Option<&'static str> {
    match device.split(['(', ' ']).next()? {
        "Flex" => Some("turn on the feature `flex` of burn-decay"),
        "NdArray" => Some("turn on the feature `ndarray` of burn-decay"),
        "Cube" => {
            Some("turn on the feature of burn-decay that is named as Burn's: `wgpu`, `cuda`, …")
        }
        "Autodiff" => {
            Some("give the optimizer tensors of the inner device, as `ModuleOptimizer` does")
        }
        "Remote" => Some(
            "turn on the feature `remote` of burn-decay, and connect it with `remote::connect` to a `remote::server`",
        ),
        _ => None,
    }
}

/// The precision that a parameter of `dtype` is updated in, and that its moments are kept in.
fn arithmetic(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// The narrowest precision that holds what either holds.
pub(crate) fn common(one: DType, other: DType) -> DType {
    match (one, other) {
        (one, other) if one == other => one,
        (DType::F64, _) | (_, DType::F64) => DType::F64,
        _ => DType::F32,
    }
}

/// In place: a tensor is long to move.
pub(crate) fn cast<const D: usize>(tensor: &mut Tensor<D>, dtype: DType) {
    if tensor.dtype() != dtype {
        *tensor = tensor.clone().cast(dtype);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_with_a_faster_form_have_a_remedy_and_others_have_none() {
        for (device, expected) in [
            ("Flex(FlexDevice)", "`flex`"),
            ("NdArray(Cpu)", "`ndarray`"),
            ("Cube(Wgpu(DefaultDevice))", "`wgpu`"),
            ("Autodiff { device: Flex(FlexDevice) }", "inner device"),
            ("Remote(RemoteDevice)", "`remote`"),
        ] {
            let remedy = remedy(device).expect("it has a faster form");
            assert!(remedy.contains(expected), "{device}: {remedy}");
        }
        for device in ["LibTorch(Cpu)", ""] {
            assert_eq!(remedy(device), None, "{device}");
        }
    }

    /// Burn may give its devices other names.
    #[test]
    #[allow(
        deprecated,
        reason = "Burn deprecates the ndarray backend, and keeps it"
    )]
    fn burns_own_devices_have_a_remedy() {
        let devices = [
            #[cfg(feature = "flex")]
            Device::flex(),
            #[cfg(feature = "flex")]
            Device::flex().autodiff(),
            #[cfg(feature = "ndarray")]
            Device::ndarray(),
            #[cfg(feature = "wgpu")]
            Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        ];
        for device in devices.iter().map(Device::as_dispatch) {
            assert!(remedy(&format!("{device:?}")).is_some(), "{device:?}");
        }
    }
}

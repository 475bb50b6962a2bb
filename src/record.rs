//! How an optimizer's state of one parameter is read from a record, and what is refused.
//!
//! Burn's `load_record` lets an invalid state either panic or start from zero silently.

use core::fmt::Display;

use burn::optim::{StateSource, join_path};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

use crate::step::Master;

/// Burn nests what an optimizer remembers in a field of this name.
pub(crate) const MOMENTUM: &str = "momentum";

/// What Burn's own optimizers do not keep.
pub(crate) const MASTER_WEIGHTS: &str = "master_weights";

/// What Burn's `ParamId` holds.
pub(crate) type ParameterId = u64;

/// More steps than anybody takes, and few enough to be counted exactly in f64.
const LARGEST_TIME: u64 = 1 << 53;

/// What the record holds of one parameter.
pub(crate) struct Record<'a> {
    /// Burn's prefix is the parameter's id.
    parameter: &'a str,
    prefix: String,
    source: &'a mut StateSource,
    device: &'a Device,
}

/// What the values of a moment may be.
#[derive(Clone, Copy)]
pub(crate) enum Values {
    Finite,
    /// Or infinite: an overflow.
    NotNegative,
}

impl<'a> Record<'a> {
    pub(crate) fn new(parameter: &'a str, source: &'a mut StateSource, device: &'a Device) -> Self {
        Self {
            parameter,
            prefix: join_path(parameter, MOMENTUM),
            source,
            device,
        }
    }

    pub(crate) fn parameter_id(&self) -> Option<ParameterId> {
        self.parameter.parse().ok()
    }

    pub(crate) fn holds_anything(&self) -> bool {
        self.source.has_under(&self.prefix)
    }

    /// Whether there is a scalar, and where it is a whole number of 0 or more, that one.
    pub(crate) fn scalar(&mut self, leaf: &str) -> Option<Option<u64>> {
        let scalar = self.source.take_scalar(&self.prefix, leaf)?;
        Some(scalar.try_into().ok())
    }

    pub(crate) fn tensor<const D: usize>(&mut self, leaf: &str) -> Option<TensorData> {
        let data = self.source.take_tensor(&self.prefix, leaf)?;
        let rank = data.shape().num_dims();
        if rank != D {
            self.refuse(
                leaf,
                format!("is of rank {rank}, but the parameter of rank {D}"),
            );
        }
        Some(data)
    }

    /// The number of steps that were taken.
    pub(crate) fn time(&self, recorded: Option<Option<u64>>) -> usize {
        let time = self.required("time", recorded);
        time.filter(|time| (1..=LARGEST_TIME).contains(time))
            .and_then(|time| time.try_into().ok())
            .unwrap_or_else(|| self.refuse("time", "must be a whole number from 1 to 2⁵³"))
    }

    pub(crate) fn required<T>(&self, leaf: &str, recorded: Option<T>) -> T {
        recorded.unwrap_or_else(|| self.refuse(leaf, "is missing"))
    }

    /// In the precision that it was recorded in. Burn's derive reads every tensor into the device's
    /// default precision: the moments of an f64 parameter would come back rounded to f32.
    pub(crate) fn moment<const D: usize>(
        &mut self,
        leaf: &str,
        data: TensorData,
        shape: &Shape,
        allowed: Values,
    ) -> Tensor<D> {
        let dtype = data.dtype();
        if !dtype.is_float() {
            self.refuse(leaf, format!("is in {dtype:?}, not in floating point"));
        }
        let found = data.shape();
        if found != shape {
            self.refuse(
                leaf,
                format!("has the shape {found}, but the first {shape}"),
            );
        }
        let device = device_with(dtype, self.device);
        let dtype = if device.supports_dtype(dtype) {
            dtype
        } else {
            DType::F32
        };
        let moment = Tensor::from_data(data, (&device, dtype));
        let right = |value: &f64| match allowed {
            Values::Finite => value.is_finite(),
            Values::NotNegative => *value >= 0.0,
        };
        // Of the tensor, and not of the record, whose memory may be at any address.
        if let Some(value) = moment.to_data().iter::<f64>().find(|value| !right(value)) {
            self.refuse(leaf, format!("holds {value}"));
        }
        moment
    }

    pub(crate) fn master<const D: usize>(&self, data: TensorData, shape: &Shape) -> Master<D> {
        let found = data.shape();
        if found != shape {
            let what = format!("has the shape {found}, but the moments {shape}");
            self.refuse(MASTER_WEIGHTS, what);
        }
        let device = device_with(DType::F32, self.device);
        let dtype = data.dtype();
        Master::recorded(data, &device).unwrap_or_else(|| {
            self.refuse(
                MASTER_WEIGHTS,
                format!("is in {dtype:?}, not in f32 or i16"),
            )
        })
    }

    pub(crate) fn warn_of_fresh_start(&self) {
        log::warn!(
            "the record holds no state of this optimizer for parameter {}, which starts from zero",
            self.parameter
        );
    }

    fn refuse(&self, leaf: &str, what: impl Display) -> ! {
        panic!(
            "the optimizer's record of parameter {}: {MOMENTUM}.{leaf} {what}",
            self.parameter
        )
    }
}

/// A device for a tensor that Burn moves to its parameter's at the next step: the one that Burn
/// reads records onto, or, where that one lacks the precision, a CPU's.
#[allow(
    deprecated,
    reason = "Burn deprecates the ndarray backend, and keeps it"
)]
fn device_with(dtype: DType, device: &Device) -> Device {
    let others: [Device; _] = [
        #[cfg(feature = "flex")]
        Device::flex(),
        #[cfg(feature = "ndarray")]
        Device::ndarray(),
    ];
    core::iter::once(device)
        .chain(&others)
        .find(|device| device.supports_dtype(dtype))
        .unwrap_or(device)
        .clone()
}

/// # Panics
///
/// Panics where something recorded is not of the parameter's shape.
pub(crate) fn check_shape<const D: usize>(
    leaf: &str,
    shape: Shape,
    parameter: &Tensor<D>,
    id: Option<ParameterId>,
) {
    let expected = parameter.shape();
    if shape != expected {
        let of = id.map_or("a parameter".into(), |id| format!("parameter {id}"));
        panic!("the state of {of}: {leaf} has the shape {shape}, but the parameter {expected}");
    }
}

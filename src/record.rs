//! How an optimizer's state of one parameter is read from a record, and what is refused.
//!
//! Burn's `load_record` lets an invalid state either panic or start from zero silently.

use core::fmt::Display;

use burn::optim::{StateSource, join_path};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

use crate::step::{Codes, Kind, Master, Moment, WeightState, code_leaves};

/// Burn nests what an optimizer remembers in a field of this name.
pub(crate) const MOMENTUM: &str = "momentum";

/// What Burn's own optimizers do not keep.
pub(crate) const MASTER_WEIGHTS: &str = "master_weights";
pub(crate) const START: &str = "start";

/// What Burn's `ParamId` holds.
pub(crate) type ParameterId = u64;

/// More steps than anybody takes, and few enough to be counted exactly in f64.
const LARGEST_TIME: u64 = 1 << 53;

/// What the record holds of one parameter.
pub(crate) struct Record<'a> {
    /// Burn's prefix is the parameter's id.
    parameter: &'a str,
    field: &'static str,
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

/// What a record has of a moment.
pub(crate) enum Recorded {
    Numbers(TensorData),
    /// Of 8 bits.
    Codes {
        codes: TensorData,
        scales: TensorData,
    },
}

impl Recorded {
    pub(crate) fn shape(&self) -> &Shape {
        match self {
            Self::Numbers(data) | Self::Codes { codes: data, .. } => data.shape(),
        }
    }
}

impl<'a> Record<'a> {
    /// What is nested in `field`.
    pub(crate) fn new(
        parameter: &'a str,
        field: &'static str,
        source: &'a mut StateSource,
        device: &'a Device,
    ) -> Self {
        Self {
            parameter,
            field,
            prefix: join_path(parameter, field),
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

    /// Whether something is recorded in another field of the state.
    pub(crate) fn holds(&self, field: &str) -> bool {
        self.source.has_under(&join_path(self.parameter, field))
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
                format!("is of rank {rank}, and should be of rank {D}"),
            );
        }
        Some(data)
    }

    /// The number of steps that were taken.
    pub(crate) fn time(&self, leaf: &str, recorded: Option<Option<u64>>) -> usize {
        let time = self.required(leaf, recorded);
        time.filter(|time| (1..=LARGEST_TIME).contains(time))
            .and_then(|time| time.try_into().ok())
            .unwrap_or_else(|| self.refuse(leaf, "must be a whole number from 1 to 2⁵³"))
    }

    pub(crate) fn required<T>(&self, leaf: &str, recorded: Option<T>) -> T {
        recorded.unwrap_or_else(|| self.refuse(leaf, "is missing"))
    }

    /// What it holds of a moment.
    pub(crate) fn recorded<const D: usize>(&mut self, leaf: &str) -> Option<Recorded> {
        if let Some(numbers) = self.tensor::<D>(leaf) {
            return Some(Recorded::Numbers(numbers));
        }
        let [codes_leaf, scales_leaf] = code_leaves(leaf);
        let codes = self.tensor::<D>(&codes_leaf);
        let scales = self.tensor::<1>(&scales_leaf);
        if codes.is_none() && scales.is_none() {
            return None;
        }
        let codes = self.required(&codes_leaf, codes);
        let scales = self.required(&scales_leaf, scales);
        for (leaf, data) in [(codes_leaf, &codes), (scales_leaf, &scales)] {
            if data.dtype() != DType::U8 {
                self.refuse(&leaf, format!("is in {:?}, not in u8", data.dtype()));
            }
        }
        Some(Recorded::Codes { codes, scales })
    }

    /// As it was recorded: in its precision, or in its codes. Burn's derive reads every tensor into
    /// the device's default precision: the moments of an f64 parameter would come back rounded to f32.
    pub(crate) fn moment<const D: usize>(
        &self,
        leaf: &str,
        kind: Kind,
        recorded: Recorded,
        shape: &Shape,
        allowed: Values,
    ) -> Moment<D> {
        self.check_shape(leaf, recorded.shape(), shape);
        let moment = match recorded {
            Recorded::Numbers(numbers) => Moment::Whole(self.numbers(leaf, numbers)),
            Recorded::Codes { codes, scales } => {
                let [codes, scales] = [codes, scales].map(|data| data.iter::<u8>().collect());
                let codes = Codes::of_8_bits(kind, codes, scales)
                    .unwrap_or_else(|what| self.refuse(&code_leaves(leaf)[1], what));
                Moment::from_codes(codes, shape.clone(), self.device)
            }
        };
        self.check_values(leaf, &moment.to_tensor(), allowed);
        moment
    }

    fn numbers<const D: usize>(&self, leaf: &str, numbers: TensorData) -> Tensor<D> {
        let dtype = numbers.dtype();
        if !dtype.is_float() {
            self.refuse(leaf, format!("is in {dtype:?}, not in floating point"));
        }
        // Only of f64 would f32 be less.
        let device = match dtype {
            DType::F64 => device_with(dtype, self.device),
            _ => self.device.clone(),
        };
        let dtype = if device.supports_dtype(dtype) {
            dtype
        } else {
            DType::F32
        };
        Tensor::from_data(numbers, (&device, dtype))
    }

    /// What it holds of the weights beside the parameter itself, of that shape.
    pub(crate) fn weights<const D: usize>(&mut self, shape: Option<&Shape>) -> WeightState<D> {
        let master = self.tensor::<D>(MASTER_WEIGHTS);
        let start = self.tensor::<D>(START);
        let found = [&master, &start];
        let first = found.into_iter().flatten().next().map(TensorData::shape);
        if let Some(shape) = shape.or(first) {
            for (leaf, data) in [MASTER_WEIGHTS, START].into_iter().zip(found) {
                if let Some(data) = data {
                    self.check_shape(leaf, data.shape(), shape);
                }
            }
        }
        let start = start.map(|start| self.numbers(START, start));
        if let Some(start) = &start {
            self.check_values(START, start, Values::Finite);
        }
        WeightState {
            master: master.map(|master| self.master(master).into()),
            start: start.map(Box::new),
        }
    }

    fn master<const D: usize>(&self, data: TensorData) -> Master<D> {
        let device = device_with(DType::F32, self.device);
        let dtype = data.dtype();
        Master::recorded(data, &device).unwrap_or_else(|| {
            self.refuse(
                MASTER_WEIGHTS,
                format!("is in {dtype:?}, not in f32 or i16"),
            )
        })
    }

    fn check_shape(&self, leaf: &str, found: &Shape, others: &Shape) {
        if found != others {
            self.refuse(
                leaf,
                format!("has the shape {found}, but the rest of the state {others}"),
            );
        }
    }

    fn check_values<const D: usize>(&self, leaf: &str, tensor: &Tensor<D>, allowed: Values) {
        let right = |value: &f64| match allowed {
            Values::Finite => value.is_finite(),
            Values::NotNegative => *value >= 0.0,
        };
        // Of the tensor, and not of the record, whose memory may be at any address.
        let values = tensor.to_data();
        if let Some(value) = values.iter::<f64>().find(|value| !right(value)) {
            self.refuse(leaf, format!("holds {value}"));
        }
    }

    pub(crate) fn warn_of_fresh_start(&self) {
        log::warn!(
            "the record holds no state of this optimizer for parameter {}, which starts from zero",
            self.parameter
        );
    }

    fn refuse(&self, leaf: &str, what: impl Display) -> ! {
        panic!(
            "the optimizer's record of parameter {}: {}.{leaf} {what}",
            self.parameter, self.field
        )
    }
}

/// A device for a tensor that Burn moves to its parameter's at the next step: the one that Burn
/// reads records onto, or, where that one lacks the precision, a CPU's.
fn device_with(dtype: DType, device: &Device) -> Device {
    core::iter::once(device)
        .chain(&cpus())
        .find(|device| device.supports_dtype(dtype))
        .unwrap_or(device)
        .clone()
}

/// The CPU's devices that this crate's features bring.
#[allow(
    deprecated,
    reason = "Burn deprecates the ndarray backend, and keeps it"
)]
pub(crate) fn cpus() -> Vec<Device> {
    vec![
        #[cfg(feature = "flex")]
        Device::flex(),
        #[cfg(feature = "ndarray")]
        Device::ndarray(),
    ]
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

//! What is kept of a parameter's weights from step to step, beside the parameter itself.

use burn::optim::StateSink;
use burn::tensor::{Device, Tensor};

use super::Master;
use super::moments::moved;
use crate::record::{MASTER_WEIGHTS, ParameterId, START, check_shape};

#[derive(Debug, Clone)]
pub(crate) struct WeightState<const D: usize> {
    /// Of a parameter in half precision the f32 numbers behind it.
    pub master: Option<Box<Master<D>>>,
    /// The value that a parameter started with, where it decays towards it. Both are in a box, which
    /// is short to move where there is none.
    pub start: Option<Box<Tensor<D>>>,
}

impl<const D: usize> WeightState<D> {
    pub(crate) fn none() -> Self {
        Self {
            master: None,
            start: None,
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.master.is_none() && self.start.is_none()
    }

    pub(crate) fn moved_to(self, device: &Device) -> Self {
        Self {
            master: self.master.map(|master| master.moved_to(device).into()),
            start: self.start.map(|start| moved(*start, device).into()),
        }
    }

    /// # Panics
    ///
    /// Panics where something is not of the parameter's shape.
    pub(crate) fn check_shape(&self, parameter: &Tensor<D>, id: Option<ParameterId>) {
        if let Some(master) = &self.master {
            check_shape(MASTER_WEIGHTS, master.shape(), parameter, id);
        }
        if let Some(start) = &self.start {
            check_shape(START, start.shape(), parameter, id);
        }
    }

    pub(crate) fn record(&self, prefix: &str, out: &mut StateSink) {
        if let Some(master) = &self.master {
            out.push_tensor(prefix, MASTER_WEIGHTS, master.to_data());
        }
        if let Some(start) = &self.start {
            out.push_tensor(prefix, START, start.to_data());
        }
    }
}

//! What the optimizers' states share in the way that they are recorded.

use burn::optim::StateSource;
use burn::tensor::{DType, Device, Tensor};

/// Burn nests what an optimizer remembers in a field of this name.
pub(crate) const MOMENTUM: &str = "momentum";

/// Takes a tensor out of a record, in the precision that it was recorded in. Burn's derive reads
/// every tensor into the device's default precision: the moments of an f64 parameter would come
/// back rounded to f32.
pub(crate) fn recorded<const D: usize>(
    source: &mut StateSource,
    prefix: &str,
    leaf: &str,
    device: &Device,
) -> Option<Tensor<D>> {
    let data = source.take_tensor(prefix, leaf)?;
    let dtype = if device.supports_dtype(data.dtype()) {
        data.dtype()
    } else {
        DType::F32
    };
    Some(Tensor::from_data(data, (device, dtype)))
}

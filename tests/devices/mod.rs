//! The CPU devices that are compiled in.

use burn::tensor::Device;

#[allow(
    deprecated,
    reason = "Burn deprecates the ndarray backend, and keeps it"
)]
pub fn devices() -> Vec<Device> {
    vec![
        Device::flex(),
        #[cfg(feature = "ndarray")]
        Device::ndarray(),
    ]
}

//! The backends that are compiled in.

use burn::tensor::Device;

/// The devices to train on, by the names of their backends.
#[allow(
    deprecated,
    reason = "Burn deprecates the ndarray backend, and keeps it"
)]
pub fn devices() -> Vec<(&'static str, Device)> {
    vec![
        #[cfg(feature = "flex")]
        ("flex", Device::flex().autodiff()),
        #[cfg(feature = "ndarray")]
        ("ndarray", Device::ndarray().autodiff()),
    ]
}

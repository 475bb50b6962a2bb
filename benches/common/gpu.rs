//! The GPU that Burn chooses.

use burn::tensor::{Device, DeviceKind};

/// The device, and what it is.
pub fn gpu() -> Result<(Device, String), String> {
    let (device, setup) = Device::wgpu_options()
        .device_kind(DeviceKind::DefaultDevice)
        .init_with_setup()
        .map_err(|error| format!("there is no adapter to run on: {error}"))?;
    let adapter = setup.adapter.get_info();
    let fusion = if cfg!(feature = "fusion") {
        "with"
    } else {
        "without"
    };
    let description = format!("{} ({}), {fusion} fusion", adapter.name, adapter.backend);
    Ok((device, description))
}

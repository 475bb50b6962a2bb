//! Devices of other processes and machines, whose servers take a step in one message.
//!
//! With [`Burn's remote devices`](burn::remote) every operation is a message, and a server computes one
//! after the other: a step is about fifteen of each. A server that [`server`] makes knows the steps of
//! this crate's optimizers, and takes one to a device that was connected with [`connect`] in a single pass
//! over its memory. Nothing else changes, and any other server and device keep working.
//!
//! ```no_run
//! use burn::remote::RemoteHost;
//! use burn::server::{TokenAuthorizer, WebSocketTransport};
//! use burn::tensor::Device;
//!
//! // In one process, or on one machine:
//! # fn serve(token: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let server = burn_decay::remote::server([Device::default()]);
//! let listener = std::net::TcpListener::bind("127.0.0.1:3000")?; // this machine alone
//! let transport = WebSocketTransport::from_listener(listener);
//! server.with_authorizer(TokenAuthorizer::new(token)?).serve(transport)?;
//! # Ok(())
//! # }
//! // In another:
//! # fn connect(token: &str) -> Result<Device, burn::remote::ConnectError> {
//! let host = RemoteHost::websocket("ws://127.0.0.1:3000").with_credential(token);
//! let device = burn_decay::remote::connect(Device::remote_options(&host))?;
//! # Ok(device)
//! # }
//! ```
//!
//! Half precision with [master weights](crate::guide::fidelity#half-precision) and moments
//! [in fewer bytes](crate::MomentPrecision) take operations of their own, as on any device without a faster form.
//!
//! The feature `remote` brings Burn's client, its server and both of their transports: 386 crates with Flex, where
//! there are 155 without.
//!
//! A server without an authorizer computes for whoever reaches it, and `WebSocketTransport::new` listens on every
//! interface of the machine. WebSocket is unencrypted: on it a token keeps out stray clients, not someone who
//! reads along. Across a network that is not trusted take Burn's Iroh transport.

use burn::backend::DispatchDevice;
use burn::remote::{ConnectError, RemoteOptions};
use burn::server::RemoteServer;
use burn::tensor::Device;

use crate::step::remote as steps;

/// Makes Burn's server for these devices, one which takes the steps of this crate's optimizers as one operation
/// each, if the feature of their backend is on (`flex`, `ndarray`, `wgpu`, …); else it warns through `log`, and
/// is Burn's alone. (The devices are all of one backend, as Burn's `RemoteServer` says when it starts to serve.)
#[must_use = "a server does nothing until it serves"]
pub fn server(devices: impl IntoIterator<Item = Device>) -> RemoteServer {
    let devices: Vec<Device> = devices.into_iter().map(Device::inner).collect();
    let first = devices.first().map(|device| device.as_dispatch().clone());
    let server = RemoteServer::new(devices);
    match first {
        #[cfg(feature = "flex")]
        Some(DispatchDevice::Flex(_)) => steps::register::<burn::backend::Flex>(server),
        #[cfg(feature = "ndarray")]
        #[allow(
            deprecated,
            reason = "Burn deprecates the ndarray backend, and keeps it"
        )]
        Some(DispatchDevice::NdArray(_)) => steps::register::<burn::backend::NdArray>(server),
        #[cfg(feature = "_cubecl")]
        Some(DispatchDevice::Cube(_)) => steps::register::<burn::backend::Cube>(server),
        Some(other) => {
            log::warn!("burn-decay has no feature on for {other:?}: its server knows no steps");
            server
        }
        // Burn's server says so when it starts to serve.
        None => server,
    }
}

/// Connects a device of a server that [`server`] made, by the same version of this crate.
///
/// # Errors
///
/// The server can't be reached or refuses, or it does not know the steps of this version: then its session
/// has ended, and with it the device's use in this program. (`RemoteOptions::init`, in place of this
/// function, connects a device that takes steps as any other does.)
pub fn connect(options: RemoteOptions) -> Result<Device, ConnectError> {
    let device = options.init()?;
    if let DispatchDevice::Remote(remote) = device.as_dispatch() {
        steps::probe(&device).map_err(|error| ConnectError::Handshake {
            reason: format!("the server does not take this version of burn-decay's steps: {error}"),
        })?;
        steps::now_takes_steps(remote);
    }
    Ok(device)
}

//! Devices of servers. (What the step makes there is a matter of `properties.rs`.)
#![cfg(all(feature = "flex", feature = "remote"))]

#[allow(dead_code, reason = "the tests of the suite use all of it")]
#[path = "conformance/data.rs"]
mod data;
mod servers;

use std::sync::{Arc, Mutex};

use burn::module::{Module, Param, ParamId};
use burn::optim::{GradientsParams, LearningRate, MultiGradientsParams, Optimizer};
use burn::remote::{ConnectError, RemoteHost};
use burn::server::{RemoteServer, TokenAuthorizer};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_decay::{AdamState, AdamW, AdamWConfig, MomentPrecision, remote};

fn connect(host: &RemoteHost) -> Result<Device, ConnectError> {
    remote::connect(Device::remote_options(host))
}

fn two_devices() -> [Device; 2] {
    [(); 2].map(|()| {
        let host = servers::start(remote::server([Device::flex()]));
        connect(&host).expect("it was started")
    })
}

#[test]
fn a_client_needs_the_token() {
    let token = TokenAuthorizer::new("of the server").expect("it is one");
    let host = servers::start(remote::server([Device::flex()]).with_authorizer(token));
    let refused = |host: &RemoteHost| matches!(connect(host), Err(ConnectError::Unauthorized));
    assert!(refused(&host));
    assert!(refused(&host.clone().with_credential("of another")));
    let device = connect(&host.with_credential("of the server")).expect("it has the token");
    assert_eq!(
        Tensor::<1>::ones([2], &device).sum().into_scalar::<f32>(),
        2.0
    );
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let host = RemoteHost::websocket("ws://127.0.0.1:1");
    assert!(matches!(
        connect(&host),
        Err(ConnectError::Unreachable { .. })
    ));
}

/// A server of Burn's alone knows no steps; its devices take the portable form.
#[test]
fn a_server_that_knows_no_steps_is_refused_and_works_without() {
    let host = servers::start(RemoteServer::new([Device::flex()]));
    let error = connect(&host).expect_err("it knows no steps").to_string();
    assert!(error.contains("burn-decay's steps"), "{error}");

    let host = servers::start(RemoteServer::new([Device::flex()]));
    let device = Device::remote_options(&host).init().expect("it is there");
    let step = |device: &Device| {
        let ones = Tensor::<1>::ones([3], device);
        let (stepped, _) = AdamWConfig::new()
            .build()
            .step(0.1, ones.clone(), ones, None);
        stepped.into_data().iter::<f64>().collect::<Vec<_>>()
    };
    let apart = step(&device).into_iter().zip(step(&Device::flex()));
    assert!(
        apart
            .into_iter()
            .all(|(remote, local)| (remote - local).abs() < 1e-6)
    );
}

/// What takes operations of its own comes to the same.
#[test]
fn half_precision_and_small_moments_are_as_they_are_here() {
    let [device, _] = two_devices();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for moments in [
            MomentPrecision::Full,
            MomentPrecision::Bf16,
            MomentPrecision::Bits8,
        ] {
            let adamw = AdamWConfig::new().with_moment_precision(moments).build();
            let run = |device: &Device, steps| {
                let numbers = |step| {
                    let numbers = TensorData::new(data::normal(1, step, 5000), [5000]);
                    Tensor::<1>::from_data(numbers.convert_dtype(dtype), (device, dtype))
                };
                let (mut weight, mut state) = (numbers(0), None);
                for step in 1..=steps {
                    (weight, state) = adamw.step(1e-3, weight, numbers(step), state);
                }
                weight.into_data().iter::<f64>().collect::<Vec<_>>()
            };
            let (there, here) = (run(&device, 5), run(&Device::flex(), 5));
            let apart = |there: &[f64], here: &[f64]| {
                let apart = there.iter().zip(here).filter(|(there, here)| {
                    // Rounded once more in f32; a step is 1e-3.
                    (*there - *here).abs() > 1e-6
                });
                apart.count()
            };
            // A rounding in f32 may change one to half precision, or of a moment.
            assert!(apart(&there, &here) < 50, "{dtype:?} {moments:?}");
            assert!(
                apart(&there, &run(&device, 4)) > 1000,
                "{dtype:?} {moments:?}"
            );
        }
    }
}

#[derive(Module, Debug)]
struct Model {
    weights: Vec<Param<Tensor<2>>>,
}

/// Notes where the moments are that it steps with.
#[derive(Clone)]
struct Watched(AdamW, Arc<Mutex<Vec<(Device, usize)>>>);

impl Optimizer for Watched {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let (stepped, state) = self.0.step(lr, tensor, grad, state);
        let moment = state.as_ref().expect("it has a state").moment_2();
        let mut seen = self.1.lock().expect("no test panicked");
        seen.push((moment.device(), 8 * moment.shape().num_elements()));
        (stepped, state)
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        AdamW::to_device(state, device)
    }
}

/// Sharded, each of two processes keeps the moments of about half of the parameters: those that it steps.
#[test]
fn sharded_moments_stay_where_they_are_stepped() {
    let devices = two_devices();
    let main = devices[0].clone().autodiff();
    let weight = |i: u64| {
        let ones = Tensor::<2>::ones([16, 16], &main).require_grad();
        Param::initialized(ParamId::from(i), ones)
    };
    let mut model = Model {
        weights: (0..8).map(weight).collect(),
    };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut optimizer =
        burn::optim::ModuleOptimizer::from(Watched(AdamWConfig::new().build(), seen.clone()));
    for _ in 0..3 {
        let grads = devices.iter().map(|device| {
            let mut grads = GradientsParams::new();
            for weight in &model.weights {
                grads.register(weight.id, Tensor::<2>::ones([16, 16], device));
            }
            (grads, device.clone())
        });
        let grads = MultiGradientsParams {
            grads: grads.collect(),
        };
        model = optimizer.step_multi(0.1, model, grads);
    }
    let seen = seen.lock().expect("no test panicked");
    let [first, second] = devices.each_ref().map(|device| {
        let here = seen.iter().filter(|(where_it_is, _)| where_it_is == device);
        here.map(|(_, bytes)| bytes).sum::<usize>()
    });
    assert_eq!(first + second, 3 * 8 * 8 * 256);
    let most = first.max(second) as f64 / (first + second) as f64;
    assert!(most <= 0.6, "{most} of the state is in one process");
}

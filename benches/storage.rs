//! A step of one tensor of 16.8 M parameters in each way to keep them and their moments, beside the
//! f32 step.
//!
//! ```text
//! cargo bench --bench storage                      # flex
//! cargo bench --bench storage --features ndarray   # flex and ndarray
//! cargo bench --bench storage --features wgpu      # flex and a GPU
//! ```
//!
//! In each round every way takes a step in turn; a figure is the median of the rounds, and the
//! quarters around it. All are in memory at once, some 3 GB.

#[allow(dead_code, reason = "there is no module here")]
mod common;
#[path = "common/devices.rs"]
mod devices;
#[cfg(feature = "wgpu")]
#[path = "common/gpu.rs"]
mod gpu;
#[allow(dead_code, reason = "a module is not stepped here")]
#[path = "common/timing.rs"]
mod timing;

use burn::tensor::{DType, Device, Distribution, Tensor};
use burn_decay::{AdamState, AdamW, AdamWConfig, MomentPrecision, SimpleOptimizer};

use timing::{quarters, time};

const PARAMETERS: usize = 1 << 24;
const ROUNDS: usize = 21;

struct Way {
    name: String,
    adamw: AdamW,
    weight: Tensor<1>,
    state: Option<AdamState<1>>,
    gradient: Tensor<1>,
    milliseconds: Vec<f64>,
}

impl Way {
    fn new(dtype: DType, master_weights: bool, moments: MomentPrecision, device: &Device) -> Self {
        let random = || {
            let normal = Distribution::Normal(0.0, 1.0);
            Tensor::<1>::random([PARAMETERS], normal, device).cast(dtype)
        };
        let without = if master_weights { "" } else { ", no master" };
        let config = AdamWConfig::new()
            .with_master_weights(master_weights)
            .with_moment_precision(moments);
        Self {
            name: format!("{dtype:?} weights{without}, {moments:?} moments"),
            adamw: config.build(),
            weight: random(),
            state: None,
            gradient: random(),
            milliseconds: Vec::new(),
        }
    }

    fn step(&mut self, device: &Device) {
        // As in the `Learner`: a fresh gradient, and a model that is kept meanwhile.
        let (gradient, weight) = (self.gradient.clone() * 1.0, self.weight.clone());
        let state = self.state.take();
        let mut stepped = None;
        let times = time(device, || {
            stepped = Some(self.adamw.step(1e-3, weight, gradient, state));
        });
        (self.weight, self.state) = stepped.expect("the step was taken");
        self.milliseconds.push(times.device.as_secs_f64() * 1e3);
    }
}

fn main() {
    let all = devices::devices().into_iter();
    let all = all.map(|(backend, device)| (backend, device.inner()));
    #[cfg(feature = "wgpu")]
    let all = all.chain([("wgpu", gpu::gpu().expect("it has an adapter").0)]);
    for (backend, device) in all {
        let mut ways = Vec::new();
        for (dtype, master_weights) in [
            (DType::F32, true),
            (DType::BF16, true),
            (DType::BF16, false),
            (DType::F16, true),
            (DType::F16, false),
        ] {
            use MomentPrecision::*;
            if device.supports_dtype(dtype) {
                let way = |moments| Way::new(dtype, master_weights, moments, &device);
                ways.extend([Full, Bf16, Bits8].map(way));
            }
        }
        // The first makes the state.
        for _ in 0..=ROUNDS {
            ways.iter_mut().for_each(|way| way.step(&device));
        }
        println!("\n{backend}, 16.8 M parameters     ms a step               of the f32 step");
        let f32_step = ways[0].milliseconds.clone();
        for way in &ways {
            let taken = || way.milliseconds.iter().skip(1).copied();
            let ratios = taken().zip(&f32_step[1..]).map(|(taken, of)| taken / of);
            let (taken, ratios) = (quarters(taken()), quarters(ratios));
            println!("{:38} {taken:24} {ratios}", way.name);
        }
    }
}

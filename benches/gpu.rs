//! One optimizer step on a GPU, ours beside Burn's own, and a copy as the limit of memory.
//!
//! ```text
//! cargo bench --bench gpu --features wgpu,fusion                   # with fusion, Burn's default
//! cargo bench --bench gpu --features wgpu                          # without
//! cargo bench --bench gpu --features vulkan,fusion -- 100000000    # so many parameters
//! ```
//!
//! A step only queues work, so that there are two times: the host's, until `step` returns, and the
//! device's, until its work is done. Each is the median over rounds in which ours and Burn's take
//! turns, with the quarters around it. A part of the host's time is `ModuleOptimizer`'s own, so
//! that the bare optimizers are timed too, on one small tensor. The device is waited for after every
//! step, which favours Burn's own: where steps follow each other with nothing between them, Burn's
//! fusion does not find its way through the long queue (benches/NOTES.md).

mod common;
#[path = "common/gpu.rs"]
mod gpu;
#[path = "common/networks.rs"]
mod networks;
#[path = "common/timing.rs"]
mod timing;

use std::time::Duration;

use burn::optim::Optimizer;
use burn::tensor::{Device, Distribution, Tensor};
use burn_decay::AdamWConfig;

use common::{Parameters, Shapes};
use gpu::gpu;
use networks::transformer;
use timing::{Times, quarters, time, time_step};

const WARM_UP: usize = 3;
const ROUNDS: usize = 40;

fn main() {
    let (device, description) = gpu().unwrap_or_else(|error| panic!("{error}"));
    println!("{description}");
    println!(
        "{:<28} {:>24} {:>24} {:>8}",
        "", "host, ms", "device, ms", "GB/s"
    );

    bare(&device);

    let sizes = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let mut models: Vec<(String, Shapes)> = sizes
        .map(|size| (format!("{size} in 8 tensors"), Shapes::eight(size)))
        .collect();
    if models.is_empty() {
        let sizes = [
            ("66 k", 1 << 16),
            ("1.05 M", 1 << 20),
            ("4.2 M", 1 << 22),
            ("16.8 M", 1 << 24),
        ];
        models = sizes
            .map(|(name, size)| (format!("{name} in 8 tensors"), Shapes::eight(size)))
            .into();
        models.push(("transformer, 148 tensors".into(), transformer()));
    }
    for (name, shapes) in models {
        println!("{name}");
        compare(&shapes, &device);
    }
}

fn bare(device: &Device) {
    println!("256, the bare optimizer");
    let random = || Tensor::<2>::random([16, 16], Distribution::Normal(0.0, 1.0), device);
    fn times(
        optimizer: impl Optimizer,
        random: impl Fn() -> Tensor<2>,
        device: &Device,
    ) -> Vec<Times> {
        let (mut parameter, mut state) = (random(), None);
        let step = |_| {
            let (clone, gradient) = (parameter.clone(), random());
            time(device, || {
                (parameter, state) = optimizer.step(1e-3, clone, gradient, state.take());
            })
        };
        (0..WARM_UP + 10 * ROUNDS).map(step).skip(WARM_UP).collect()
    }
    let ours = times(AdamWConfig::new().build(), random, device);
    let burns = times(burn::optim::AdamWConfig::new().build(), random, device);
    report("  AdamW", &ours, 28 * 256);
    report("  AdamW, Burn's", &burns, 28 * 256);
    report_ratios(&ours, &burns);
}

fn compare(shapes: &Shapes, device: &Device) {
    let mut our_model = Parameters::random(shapes, &device.clone().autodiff());
    let mut burns_model = our_model.clone();
    let gradients = Parameters::random(shapes, &device.clone().autodiff());
    let parameters = shapes.parameters();
    let buffer = Tensor::<1>::zeros([parameters], device);

    let mut ours = AdamWConfig::new().init();
    let mut burns = burn::optim::AdamWConfig::new().init();
    let mut times = [(); 3].map(|()| Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let round_times = [
            time_step(&mut our_model, &gradients, &mut ours, device),
            time_step(&mut burns_model, &gradients, &mut burns, device),
            copy(&buffer, device),
        ];
        // The first rounds compile the kernels.
        if round >= WARM_UP {
            for (all, new) in times.iter_mut().zip(round_times) {
                all.push(new);
            }
        }
    }
    let [ours, burns, copy] = times;
    // Reads of θ, g, m and v, writes of θ, m and v; a read and a write.
    report("  AdamW", &ours, 28 * parameters);
    report("  AdamW, Burn's", &burns, 28 * parameters);
    report("  copy", &copy, 8 * parameters);
    report_ratios(&ours, &burns);
}

/// A read and a write of every number, which no compiler can leave out.
fn copy(buffer: &Tensor<1>, device: &Device) -> Times {
    let mut copy = None;
    time(device, || copy = Some(-buffer.clone()))
}

fn report(name: &str, times: &[Times], bytes: usize) {
    let milliseconds = |of: fn(&Times) -> Duration| {
        quarters(times.iter().map(|times| 1e3 * of(times).as_secs_f64()))
    };
    let device = milliseconds(|times| times.device);
    let rate = bytes as f64 / 1e6 / device.median;
    println!(
        "{name:<28} {:>24} {device:>24} {rate:>8.1}",
        milliseconds(|times| times.host)
    );
}

/// How many times as fast as Burn's.
fn report_ratios(ours: &[Times], burns: &[Times]) {
    let ratios = |of: fn(&Times) -> Duration| {
        let pairs = ours.iter().zip(burns);
        quarters(pairs.map(|(ours, burns)| of(burns).as_secs_f64() / of(ours).as_secs_f64()))
    };
    println!(
        "  {:<26} {:>24} {:>24}",
        "times as fast",
        ratios(|times| times.host),
        ratios(|times| times.device)
    );
}

//! One optimizer step through `ModuleOptimizer::step`, ours beside Burn's own.
//!
//! ```text
//! cargo bench --bench step                      # flex
//! cargo bench --bench step --features ndarray   # flex and ndarray
//! ```
//!
//! benches/gpu.rs has the GPU, which takes a step without being waited for.

mod common;
#[path = "common/devices.rs"]
mod devices;
#[path = "common/networks.rs"]
mod networks;

use std::time::{Duration, Instant};

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, ModuleOptimizer, SgdConfig};
use burn::tensor::{Distribution, Tensor};
use burn_decay::{AdamL2Config, AdamWConfig, SgdL2Config, SgdWConfig, SimpleOptimizer};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use common::{Parameters, Shapes};
use devices::devices;
use networks::models;

/// With the bytes that a step moves for each parameter in f32: reads of θ, g and the averages, and
/// writes of θ and the averages.
fn optimizers() -> [(&'static str, u64, ModuleOptimizer); 7] {
    const ADAM: u64 = 28;
    const SGD: u64 = 20;
    let penalty = WeightDecayConfig { penalty: 1e-4 };
    let momentum = || Some(MomentumConfig::new());
    let burns_sgd = SgdConfig::new().with_momentum(momentum());
    [
        (
            "AdamL2, Burn's",
            ADAM,
            AdamConfig::new()
                .with_weight_decay(Some(penalty.clone()))
                .init(),
        ),
        ("AdamL2", ADAM, AdamL2Config::new().init()),
        (
            "AdamW, Burn's",
            ADAM,
            burn::optim::AdamWConfig::new().init(),
        ),
        ("AdamW", ADAM, AdamWConfig::new().init()),
        (
            "Sgd, Burn's",
            SGD,
            burns_sgd.with_weight_decay(Some(penalty.clone())).init(),
        ),
        (
            "SgdL2",
            SGD,
            SgdL2Config::new().with_momentum(momentum()).init(),
        ),
        (
            "SgdW",
            SGD,
            SgdWConfig::new().with_momentum(momentum()).init(),
        ),
    ]
}

fn total(
    model: &Parameters,
    gradients: &Parameters,
    optimizer: &mut ModuleOptimizer,
    steps: u64,
) -> Duration {
    let mut elapsed = Duration::ZERO;
    model.time_steps(gradients, optimizer, steps, |step| elapsed += step);
    elapsed
}

fn step(criterion: &mut Criterion) {
    let models = models();
    for (backend, device) in devices() {
        for (name, shapes) in &models {
            let model = Parameters::random(shapes, &device);
            let gradients = Parameters::random(shapes, &device);
            let (tensors, parameters) = (shapes.tensors(), shapes.parameters() as u64);
            println!("{name}: {tensors} tensors, {parameters} parameters");

            let mut group = criterion.benchmark_group(format!("{backend}/{name}"));
            group
                .sample_size(20)
                .measurement_time(Duration::from_secs(3));
            for (optimizer_name, bytes, mut optimizer) in optimizers() {
                group.throughput(Throughput::ElementsAndBytes {
                    elements: parameters,
                    bytes: bytes * parameters,
                });
                group.bench_function(optimizer_name, |bencher| {
                    bencher.iter_custom(|steps| total(&model, &gradients, &mut optimizer, steps));
                });
            }
        }
    }
}

/// Gradients whose squares are subnormal beside ordinary ones.
fn subnormal(criterion: &mut Criterion) {
    for (backend, device) in devices() {
        let shapes = Shapes::eight(1 << 20);
        let model = Parameters::random(&shapes, &device);
        let ordinary = Parameters::random(&shapes, &device);
        let subnormal = ordinary.clone().map(&mut Scale(1e-20));

        let mut group = criterion.benchmark_group(format!("{backend}/gradients"));
        group
            .sample_size(20)
            .measurement_time(Duration::from_secs(3));
        for (name, gradients) in [("ordinary", ordinary), ("subnormal", subnormal)] {
            let mut optimizer = AdamWConfig::new().init();
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|steps| total(&model, &gradients, &mut optimizer, steps));
            });
        }
    }
}

struct Scale(f64);

impl ModuleMapper for Scale {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = parameter.consume();
        Param::from_mapped_value(id, tensor * self.0, mapper)
    }
}

/// The time of the steps after the first, which makes the state.
fn total_of_bare_steps<const D: usize>(
    optimizer: &impl SimpleOptimizer,
    weight: &Tensor<D>,
    gradient: impl Fn() -> Tensor<D>,
    steps: u64,
) -> Duration {
    let (mut weight, mut state) = (weight.clone(), None);
    let mut elapsed = Duration::ZERO;
    for step in 0..=steps {
        let gradient = gradient();
        let kept = weight.clone();
        let start = Instant::now();
        (weight, state) = optimizer.step(1e-3, weight, gradient, state);
        if step > 0 {
            elapsed += start.elapsed();
        }
        drop(kept);
    }
    elapsed
}

/// One matrix, with a gradient that lies in memory as it is, and one that lies there transposed, as
/// tied weights have.
fn transposed(criterion: &mut Criterion) {
    for (backend, device) in devices() {
        let random = || {
            let normal = Distribution::Normal(0.0, 1.0);
            Tensor::<2>::random([2048, 2048], normal, &device.clone().inner())
        };
        let (weight, gradient) = (random(), random());
        let mut group = criterion.benchmark_group(format!("{backend}/4.2M in one"));
        group
            .sample_size(20)
            .measurement_time(Duration::from_secs(3));
        macro_rules! steps {
            ($name:literal, $adamw:expr, $lay:expr) => {
                group.bench_function($name, |bencher| {
                    bencher.iter_custom(|steps| {
                        let gradient = || $lay(gradient.clone() * 1.0);
                        total_of_bare_steps(&$adamw, &weight, gradient, steps)
                    });
                });
            };
        }
        let (ours, burns) = (
            AdamWConfig::new().build(),
            burn::optim::AdamWConfig::new().build(),
        );
        steps!("contiguous", ours, |gradient| gradient);
        steps!("transposed", ours, Tensor::transpose);
        steps!("transposed, Burn's", burns, Tensor::transpose);
    }
}

criterion_group!(benches, step, subnormal, transposed);
criterion_main!(benches);

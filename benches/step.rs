//! One optimizer step through `ModuleOptimizer::step`, ours beside Burn's own.
//!
//! ```text
//! cargo bench --bench step                      # flex
//! cargo bench --bench step --features ndarray   # flex and ndarray
//! ```

mod common;

use std::time::Duration;

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn_decay::{AdamL2Config, AdamWConfig};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use common::{Parameters, Shapes, devices};

fn optimizers() -> [(&'static str, ModuleOptimizer); 4] {
    let penalty = WeightDecayConfig { penalty: 1e-4 };
    [
        (
            "AdamL2, Burn's",
            AdamConfig::new().with_weight_decay(Some(penalty)).init(),
        ),
        ("AdamL2", AdamL2Config::new().init()),
        ("AdamW, Burn's", burn::optim::AdamWConfig::new().init()),
        ("AdamW", AdamWConfig::new().init()),
    ]
}

fn step(criterion: &mut Criterion) {
    let models = [
        ("66k", Shapes::eight(1 << 16)),
        ("1.05M", Shapes::eight(1 << 20)),
        ("4.2M", Shapes::eight(1 << 22)),
        ("16.8M", Shapes::eight(1 << 24)),
        ("transformer", Shapes::transformer()),
        ("resnet-50", Shapes::resnet_50()),
    ];
    for (backend, device) in devices() {
        for (name, shapes) in &models {
            let model = Parameters::random(shapes, &device);
            let gradients = Parameters::random(shapes, &device);
            let parameters = shapes.parameters() as u64;
            println!(
                "{name}: {} tensors, {parameters} parameters",
                shapes.tensors()
            );

            let mut group = criterion.benchmark_group(format!("{backend}/{name}"));
            group
                .sample_size(20)
                .measurement_time(Duration::from_secs(3));
            // Reads of θ, g, m and v, writes of θ, m and v, in f32.
            let bytes = Throughput::ElementsAndBytes {
                elements: parameters,
                bytes: 28 * parameters,
            };
            group.throughput(bytes);
            for (optimizer_name, mut optimizer) in optimizers() {
                group.bench_function(optimizer_name, |bencher| {
                    bencher.iter_custom(|steps| {
                        let mut elapsed = Duration::ZERO;
                        let record = |step| elapsed += step;
                        model.time_steps(&gradients, &mut optimizer, steps, record);
                        elapsed
                    });
                });
            }
        }
    }
}

criterion_group!(benches, step);
criterion_main!(benches);

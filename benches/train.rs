//! One epoch of an MNIST-sized MLP (784-512-512-10, batches of 64 of 10,000 images), end to end,
//! with Burn's AdamW and with ours.
//!
//! ```text
//! cargo bench --bench train
//! cargo bench --bench train --features ndarray
//! ```

#[path = "common/devices.rs"]
mod devices;
#[path = "common/mlp.rs"]
mod mlp;

use burn::tensor::{Distribution, Tensor};
use burn_decay::AdamWConfig;
use criterion::{Criterion, criterion_group, criterion_main};

use devices::devices;
use mlp::{Mlp, epoch};

const BATCHES: usize = 157;
const BATCH: usize = 64;

fn train(criterion: &mut Criterion) {
    for (backend, device) in devices() {
        device.seed(1);
        let model = Mlp::new(&device);
        // Labels that the images tell, so that there is something to learn.
        let teacher = Mlp::new(&device);
        let batches: Vec<_> = (0..BATCHES)
            .map(|_| {
                let normal = Distribution::Normal(0.0, 1.0);
                let images = Tensor::random([BATCH, 784], normal, &device);
                let labels = teacher.forward(images.clone()).argmax(1).reshape([BATCH]);
                (images, labels)
            })
            .collect();
        let optimizers = [
            ("Burn's AdamW", burn::optim::AdamWConfig::new().init()),
            ("AdamW", AdamWConfig::new().init()),
        ];
        let mut group = criterion.benchmark_group(format!("{backend}/epoch"));
        group.sample_size(10);
        for (name, optimizer) in optimizers {
            let run = || epoch(model.clone(), optimizer.clone(), &batches);
            println!("{backend}, {name}: the last loss is {:.6}", run().1);
            group.bench_function(name, |bencher| bencher.iter(run));
        }
    }
}

criterion_group!(benches, train);
criterion_main!(benches);

//! One epoch of an MNIST-sized MLP (784-512-512-10, batches of 64 of 10,000 images), end to end,
//! with Burn's AdamW and with ours.
//!
//! ```text
//! cargo bench --bench train
//! cargo bench --bench train --features ndarray
//! ```

#[path = "common/devices.rs"]
mod devices;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Int, Tensor};
use burn_decay::AdamWConfig;
use criterion::{Criterion, criterion_group, criterion_main};

use devices::devices;

const BATCHES: usize = 157;
const BATCH: usize = 64;

#[derive(Module, Debug)]
struct Mlp {
    layers: [Linear; 3],
}

impl Mlp {
    fn new(device: &Device) -> Self {
        let layer = |[inputs, outputs]: [usize; 2]| LinearConfig::new(inputs, outputs).init(device);
        Self {
            layers: [[784, 512], [512, 512], [512, 10]].map(layer),
        }
    }

    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let [first, second, last] = &self.layers;
        last.forward(relu(second.forward(relu(first.forward(images)))))
    }
}

/// Trains for an epoch, stepping a clone as the `Learner` does, and returns the last loss.
fn epoch(
    mut model: Mlp,
    mut optimizer: ModuleOptimizer,
    batches: &[(Tensor<2>, Tensor<1, Int>)],
) -> f32 {
    let loss = CrossEntropyLossConfig::new().init(&batches[0].0.device());
    let mut last = 0.0;
    for (images, labels) in batches {
        let value = loss.forward(model.forward(images.clone()), labels.clone());
        let gradients = GradientsParams::from_grads(value.backward(), &model);
        last = value.into_scalar::<f32>();
        model = optimizer.step(1e-3, model.clone(), gradients);
    }
    last
}

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
            println!("{backend}, {name}: the last loss is {:.6}", run());
            group.bench_function(name, |bencher| bencher.iter(run));
        }
    }
}

criterion_group!(benches, train);
criterion_main!(benches);

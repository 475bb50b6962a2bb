//! An MLP of MNIST's size, 784-512-512-10, and an epoch of its training.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};

/// Images and their labels.
pub type Batch = (Tensor<2>, Tensor<1, Int>);

#[derive(Module, Debug)]
pub struct Mlp {
    layers: [Linear; 3],
}

impl Mlp {
    pub fn new(device: &Device) -> Self {
        let layer = |[inputs, outputs]: [usize; 2]| LinearConfig::new(inputs, outputs).init(device);
        Self {
            layers: [[784, 512], [512, 512], [512, 10]].map(layer),
        }
    }

    pub fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let [first, second, last] = &self.layers;
        last.forward(relu(second.forward(relu(first.forward(images)))))
    }
}

/// Trains for an epoch, stepping a clone as the `Learner` does, and returns the last loss too.
pub fn epoch(mut model: Mlp, mut optimizer: ModuleOptimizer, batches: &[Batch]) -> (Mlp, f32) {
    let loss = CrossEntropyLossConfig::new().init(&batches[0].0.device());
    let mut last = 0.0;
    for (images, labels) in batches {
        let value = loss.forward(model.forward(images.clone()), labels.clone());
        let gradients = GradientsParams::from_grads(value.backward(), &model);
        last = value.into_scalar::<f32>();
        model = optimizer.step(1e-3, model.clone(), gradients);
    }
    (model, last)
}

//! AdamL2 and AdamW in a training loop of one's own: a small network learns a noisy sine.
//!
//! ```text
//! cargo run --release --example custom_loop
//! ```

use burn::module::Module;
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use burn::tensor::Distribution;
use burn_decay::{AdamL2Config, AdamWConfig};

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

impl Network {
    fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(1, 64).init(device),
            output: LinearConfig::new(64, 1).init(device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = burn::tensor::activation::tanh(self.hidden.forward(x));
        self.output.forward(hidden)
    }
}

/// Inputs of shape [count, 1] in [-3, 3], and their sines, with noise.
fn samples(count: usize, device: &Device) -> (Tensor<2>, Tensor<2>) {
    let x = Tensor::random([count, 1], Distribution::Uniform(-3.0, 3.0), device);
    let noise = Tensor::random([count, 1], Distribution::Normal(0.0, 0.1), device);
    (x.clone(), x.sin() + noise)
}

fn train(name: &str, mut optimizer: ModuleOptimizer) {
    let device = Device::default().autodiff();
    device.seed(7);
    let mut network = Network::new(&device);
    let (x, y) = samples(1024, &device);

    for step in 1..=1000 {
        let loss = MseLoss::new().forward(network.forward(x.clone()), y.clone(), Reduction::Mean);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(1e-2, network, gradients);
        if step % 250 == 0 {
            let weights = network.hidden.weight.val().square().sum();
            let norm = weights.sqrt().into_scalar::<f32>();
            let loss = loss.into_scalar::<f32>();
            println!(
                "{name:6} step {step:4}  loss {loss:.4}  norm of the hidden weights {norm:.3}"
            );
        }
    }
}

fn main() {
    train("AdamL2", AdamL2Config::new().with_l2_penalty(1e-2).init());
    train("AdamW", AdamWConfig::new().with_weight_decay(1e-2).init());
}

//! What the paper says of the two ways to decay, on a network with autodiff, in f64.

use burn::module::{Module, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Tensor, activation};
use burn_decay::{AdamL2Config, AdamWConfig};

use crate::data::{distance, noise};
use crate::forms::{devices, values};

#[derive(Module, Debug)]
struct Mlp {
    hidden: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    output: Param<Tensor<2>>,
}

fn random<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = noise(seed, 0, shape.iter().product());
    Tensor::<1>::from_data(values.as_slice(), (device, DType::F64)).reshape(shape)
}

impl Mlp {
    fn new(device: &Device) -> Self {
        Self {
            hidden: Param::from_tensor(random(1, [4, 16], device)),
            bias: Param::from_tensor(random(2, [16], device)),
            output: Param::from_tensor(random(3, [16, 2], device)),
        }
    }

    /// The mean squared error on a fixed batch.
    fn loss(&self) -> Tensor<1> {
        let device = self.hidden.val().device();
        let (input, target) = (random(4, [32, 4], &device), random(5, [32, 2], &device));
        let hidden = input.matmul(self.hidden.val()) + self.bias.val().unsqueeze();
        let output = activation::tanh(hidden).matmul(self.output.val());
        (output - target).square().mean()
    }

    /// ‖θ‖²
    fn squared_norm(&self) -> Tensor<1> {
        let square = self.hidden.val().square().sum() + self.bias.val().square().sum();
        square + self.output.val().square().sum()
    }

    fn step(self, optimizer: &mut ModuleOptimizer, penalty: f64) -> Self {
        let loss = self.loss() + self.squared_norm() * (penalty / 2.0);
        let gradients = GradientsParams::from_grads(loss.backward(), &self);
        optimizer.step(1e-2, self, gradients)
    }

    fn values(&self) -> Vec<f64> {
        let [hidden, output] = [&self.hidden, &self.output].map(|weight| values(&weight.val()));
        [hidden, values(&self.bias.val()), output].concat()
    }
}

const LAMBDA: f64 = 0.05;

fn train(mut optimizer: ModuleOptimizer, penalty: f64, device: &Device) -> Vec<f64> {
    let mut model = Mlp::new(device);
    for _ in 0..200 {
        model = model.step(&mut optimizer, penalty);
    }
    model.values()
}

#[test]
fn the_coupled_penalty_is_a_term_of_the_loss_and_the_decoupled_is_not() {
    for device in devices() {
        let plain = || AdamL2Config::new().with_l2_penalty(0.0).init();
        let penalized = train(plain(), LAMBDA, &device);
        let coupled = train(
            AdamL2Config::new().with_l2_penalty(LAMBDA).init(),
            0.0,
            &device,
        );
        let decoupled = train(
            AdamWConfig::new().with_weight_decay(LAMBDA).init(),
            0.0,
            &device,
        );

        assert!(distance(&penalized, &coupled) < 1e-10);
        assert!(distance(&penalized, &decoupled) > 1e-2);
        assert!(distance(&penalized, &train(plain(), 0.0, &device)) > 1e-2);
    }
}

#[test]
fn without_decay_they_are_the_same() {
    for device in devices() {
        let l2 = train(
            AdamL2Config::new().with_l2_penalty(0.0).init(),
            0.0,
            &device,
        );
        let w = train(
            AdamWConfig::new().with_weight_decay(0.0).init(),
            0.0,
            &device,
        );
        assert_eq!(l2, w);
    }
}

#[test]
fn vectors_are_left_undecayed_on_request() {
    for device in devices() {
        let zero = |model: &Mlp| {
            let mut gradients = GradientsParams::new();
            gradients.register(model.hidden.id, model.hidden.val().inner().zeros_like());
            gradients.register(model.bias.id, model.bias.val().inner().zeros_like());
            gradients
        };
        let model = Mlp::new(&device);
        let with = |decay_vectors: bool| {
            let w = AdamWConfig::new()
                .with_weight_decay(0.1)
                .with_decay_vectors(decay_vectors);
            let l2 = AdamL2Config::new()
                .with_l2_penalty(0.1)
                .with_decay_vectors(decay_vectors);
            [w.init(), l2.init()].map(|mut adam| adam.step(0.1, model.clone(), zero(&model)))
        };
        for all in with(true) {
            assert_ne!(values(&all.bias.val()), values(&model.bias.val()));
            assert_ne!(values(&all.hidden.val()), values(&model.hidden.val()));
        }
        for matrices in with(false) {
            assert_eq!(values(&matrices.bias.val()), values(&model.bias.val()));
            assert_ne!(values(&matrices.hidden.val()), values(&model.hidden.val()));
        }
    }
}

/// Burn's own optimizers round the moments of an f64 parameter to f32 when they are read.
#[test]
fn a_checkpoint_keeps_the_last_bit() {
    for device in devices() {
        let mut optimizer = AdamWConfig::new().with_amsgrad(true).init();
        let mut model = Mlp::new(&device);
        for _ in 0..10 {
            model = model.step(&mut optimizer, 0.0);
        }
        let bytes = optimizer.into_bytes().expect("the state can be written");
        let anew = AdamWConfig::new().with_amsgrad(true).init();
        let mut resumed = anew.from_bytes(bytes).expect("and read");
        let resumed = model.clone().step(&mut resumed, 0.0);
        assert_eq!(resumed.values(), model.step(&mut optimizer, 0.0).values());
    }
}

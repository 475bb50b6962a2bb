//! What the paper says of the two ways to decay, on a network with autodiff, in f64.

use burn::module::{Module, Param, ParamGroup};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Tensor};
use burn_decay::{
    AdamL2Config, AdamWConfig, DecayTarget, L1Penalty, L2Penalty, SgdL2Config, SgdWConfig,
};

use crate::config::panic_message;
use crate::data::{distance, noise};
use crate::forms::{devices_with_f64 as devices, values};

#[derive(Module, Debug)]
struct Mlp {
    hidden: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    output: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct Headed {
    body: Mlp,
    head: Param<Tensor<2>>,
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
        // Softsign. A tanh in f64 is not to be had everywhere: SPIR-V's instruction has up to 32 bits.
        let hidden = hidden.clone() / (hidden.abs() + 1.0);
        let output = hidden.matmul(self.output.val());
        (output - target).square().mean()
    }

    fn step(self, optimizer: &mut ModuleOptimizer, penalty: f64) -> Self {
        let loss = self.loss() + L2Penalty::new(penalty).of(&self);
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
fn adams_coupled_penalty_is_a_term_of_the_loss_and_the_decoupled_decay_is_not() {
    for device in devices() {
        let plain = || AdamL2Config::new().with_l2_penalty(0.0).init();
        let coupled = AdamL2Config::new().with_l2_penalty(LAMBDA).init();
        let decoupled = AdamWConfig::new().with_weight_decay(LAMBDA).init();
        let penalized = train(plain(), LAMBDA, &device);

        assert!(distance(&penalized, &train(coupled, 0.0, &device)) < 1e-10);
        assert!(distance(&penalized, &train(decoupled, 0.0, &device)) > 1e-2);
        assert!(distance(&penalized, &train(plain(), 0.0, &device)) > 1e-2);
    }
}

/// Proposition 1 of the paper: without momentum the two are one, with it they are not.
#[test]
fn the_two_ways_to_decay_are_one_for_sgd_without_momentum() {
    for device in devices() {
        for momentum in [None, Some(MomentumConfig::new())] {
            let l2 = SgdL2Config::new().with_momentum(momentum.clone());
            let w = SgdWConfig::new().with_momentum(momentum.clone());
            let plain = || l2.clone().with_l2_penalty(0.0).init();
            let penalized = train(plain(), LAMBDA, &device);
            let coupled = train(l2.clone().with_l2_penalty(LAMBDA).init(), 0.0, &device);
            let decoupled = train(w.with_weight_decay(LAMBDA).init(), 0.0, &device);

            assert!(distance(&penalized, &coupled) < 1e-12);
            assert!(distance(&penalized, &train(plain(), 0.0, &device)) > 1e-3);
            let apart = distance(&coupled, &decoupled);
            if momentum.is_none() {
                // λθ is rounded with the gradient here, with the update there.
                assert!(apart < 1e-12, "{apart:e}");
            } else {
                assert!(apart > 1e-3, "{apart:e}");
            }
        }
    }
}

#[test]
fn penalties_are_what_the_formula_says() {
    for device in devices() {
        let model = Mlp::new(&device);
        let values = model.values();
        let square: f64 = values.iter().map(|w| w * w).sum();
        let magnitude: f64 = values.iter().map(|w| w.abs()).sum();
        let close = |penalty: Tensor<1>, expected: f64| {
            let penalty: f64 = penalty.into_scalar();
            assert!(
                (penalty - expected).abs() < 1e-12 * expected,
                "{penalty} {expected}"
            );
        };
        close(L2Penalty::new(0.3).of(&model), 0.3 / 2.0 * square);
        close(L1Penalty::new(0.3).of(&model), 0.3 * magnitude);
        close(
            L2Penalty::new(0.3).per_example(50).of(&model),
            0.3 / 100.0 * square,
        );
        close(
            L1Penalty::new(0.3).per_example(50).of(&model),
            0.3 / 50.0 * magnitude,
        );

        let bias: f64 = crate::forms::values(&model.bias.val())
            .iter()
            .map(|w| w.abs())
            .sum();
        let matrices = L1Penalty::new(0.3).with_vectors(false);
        close(matrices.of(&model), 0.3 * (magnitude - bias));
        let vector = L1Penalty::new(0.3).with_group(ParamGroup::from_path("bias"));
        close(vector.of(&model), 0.3 * bias);
    }
}

#[test]
fn the_gradient_of_a_penalty_is_the_weight_or_its_sign() {
    for device in devices() {
        let model = Mlp::new(&device);
        let hidden = values(&model.hidden.val());
        let gradient = |penalty: Tensor<1>| {
            let gradients = GradientsParams::from_grads(penalty.backward(), &model);
            values(&gradients.get::<2>(model.hidden.id).expect("a gradient"))
        };
        let expected: Vec<f64> = hidden.iter().map(|w| 0.3 * w).collect();
        assert!(distance(&gradient(L2Penalty::new(0.3).of(&model)), &expected) < 1e-12);
        let expected: Vec<f64> = hidden.iter().map(|w| 0.3 * w.signum()).collect();
        assert!(distance(&gradient(L1Penalty::new(0.3).of(&model)), &expected) < 1e-12);
    }
}

/// A penalty towards the start as a term of the loss is AdamL2's and SgdL2's own with that target.
#[test]
fn a_penalty_towards_the_start_is_a_term_of_the_loss() {
    let towards = DecayTarget::Start;
    let adam = AdamL2Config::new();
    let sgd = SgdL2Config::new();
    for device in devices() {
        let start = Mlp::new(&device);
        let penalty = L2Penalty::new(LAMBDA).towards(&start);
        assert_eq!(penalty.of(&start).into_scalar::<f64>(), 0.0);
        let train = |mut optimizer: ModuleOptimizer, penalty: Option<&L2Penalty>| {
            let mut model = start.clone();
            for _ in 0..100 {
                let mut loss = model.loss();
                if let Some(penalty) = penalty {
                    loss = penalty.add_to(loss, &model);
                }
                let gradients = GradientsParams::from_grads(loss.backward(), &model);
                model = optimizer.step(1e-2, model, gradients);
            }
            model.values()
        };
        for (plain, coupled) in [
            (
                adam.clone().with_l2_penalty(0.0).init(),
                adam.clone()
                    .with_l2_penalty(LAMBDA)
                    .with_decay_target(towards)
                    .init(),
            ),
            (
                sgd.clone().with_l2_penalty(0.0).init(),
                sgd.clone()
                    .with_l2_penalty(LAMBDA)
                    .with_decay_target(towards)
                    .init(),
            ),
        ] {
            let penalized = train(plain.clone(), Some(&penalty));
            assert!(distance(&penalized, &train(coupled, None)) < 1e-10);
            assert!(distance(&penalized, &train(plain, None)) > 1e-4);
        }

        // Of the distance, by the formula; a parameter that the start has not is drawn towards 0.
        let moved = train(sgd.clone().with_l2_penalty(0.0).init(), None);
        let apart = moved.iter().zip(start.values()).map(|(a, b)| (a - b).abs());
        let mut model = start.clone();
        let mut optimizer = sgd.clone().with_l2_penalty(0.0).init();
        for _ in 0..100 {
            model = model.step(&mut optimizer, 0.0);
        }
        let l1: f64 = L1Penalty::new(0.3).towards(&start).of(&model).into_scalar();
        let expected = 0.3 * apart.sum::<f64>();
        assert!((l1 - expected).abs() < 1e-12 * expected, "{l1} {expected}");
        let linear = |bias| burn::nn::LinearConfig::new(2, 2).with_bias(bias);
        let penalty = L2Penalty::new(LAMBDA);
        for (bias, expected) in [
            (true, "bias has the shape [16]"),
            (false, "the penalty is towards"),
        ] {
            let other: burn::nn::Linear = linear(bias).init(&device);
            let message = panic_message(|| penalty.clone().towards(&other).of(&model));
            assert!(message.starts_with(expected), "{message}");
        }
        let message = panic_message(|| penalty.clone().towards(&burn::nn::Relu::new()).of(&model));
        assert!(message.starts_with("the penalty is towards"), "{message}");
        // A model within another is found by its parameters' ids, and the new one decays towards 0.
        let whole = Headed {
            body: start.clone(),
            head: Param::from_tensor(random(8, [2, 2], &device)),
        };
        let of_whole: f64 = penalty.clone().towards(&start).of(&whole).into_scalar();
        let of_head: f64 = whole.head.val().square().sum().into_scalar();
        assert!((of_whole - LAMBDA / 2.0 * of_head).abs() < 1e-12);
    }
}

/// What has no gradient is no weight: frozen parameters, and a model out of training.
#[test]
fn penalties_leave_out_what_does_not_learn() {
    for device in devices() {
        let zero = |model: &Mlp| L2Penalty::new(1.0).of(model).into_scalar::<f64>() == 0.0;
        let model = Mlp::new(&device);
        assert!(!zero(&model));
        assert!(zero(&model.clone().no_grad()));
        assert!(zero(&model.valid()));
    }
}

#[test]
fn an_invalid_coefficient_is_refused() {
    for lambda in [-1.0, f64::NAN, f64::INFINITY] {
        let error = L2Penalty::try_new(lambda).expect_err("it is no coefficient");
        let expected = format!("lambda must be at least 0 and finite in f32, but is {lambda}");
        assert_eq!(error.to_string(), expected);
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

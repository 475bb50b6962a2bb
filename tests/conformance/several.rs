//! Laws of gradients from several places: of several devices, or accumulated over several batches. Burn
//! adds them up.

#[cfg(all(feature = "flex", feature = "ndarray"))]
use burn::module::ParamId;
use burn::module::{Module, Param};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::tensor::{Device, Tensor};
use burn_decay::{AdamL2Config, AdamWConfig, SgdL2Config, SgdWConfig};

use crate::data::{noise, to_f32};
use crate::forms::{devices, tensor, values};

/// How many gradients there are in a step.
const N: usize = 4;
const SHAPE: [usize; 2] = [8, 9];

#[derive(Module, Debug)]
struct Model {
    weight: Param<Tensor<2>>,
}

/// Multiples of 2⁻²⁰, of which some add up exactly.
fn numbers(seed: u64, step: u64, device: &Device) -> Tensor<2> {
    let numbers = noise(seed, step, SHAPE[0] * SHAPE[1]);
    tensor(&to_f32(&numbers), SHAPE, device)
}

impl Model {
    fn new(device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(numbers(1, 0, device)),
        }
    }

    /// Of the i-th place in a step.
    fn gradients(&self, step: u64, i: usize) -> GradientsParams {
        let device = self.weight.val().device().inner();
        self.of(numbers(2 + i as u64, step, &device))
    }

    fn sum(&self, step: u64) -> Tensor<2> {
        let device = self.weight.val().device().inner();
        let all = (0..N).map(|i| numbers(2 + i as u64, step, &device));
        all.reduce(|sum, gradient| sum + gradient)
            .expect("there are some")
    }

    fn of(&self, gradient: Tensor<2>) -> GradientsParams {
        let mut gradients = GradientsParams::new();
        gradients.register(self.weight.id, gradient);
        gradients
    }

    fn values(&self) -> Vec<f64> {
        values(&self.weight.val())
    }
}

const STEPS: u64 = 20;

/// λ is that of the run, and so is the learning rate.
fn optimizers(lambda: f64) -> [ModuleOptimizer; 4] {
    // With an ε that does not show the size of a gradient.
    [
        AdamL2Config::new()
            .with_epsilon(1e-30)
            .with_l2_penalty(lambda)
            .init(),
        AdamWConfig::new()
            .with_epsilon(1e-30)
            .with_weight_decay(lambda)
            .init(),
        SgdL2Config::new().with_l2_penalty(lambda).init(),
        SgdWConfig::new().with_weight_decay(lambda).init(),
    ]
}

/// Takes all steps with the gradients that `step` makes.
fn run(
    mut optimizer: ModuleOptimizer,
    lr: f64,
    device: &Device,
    gradient: impl Fn(&Model, u64) -> Tensor<2>,
) -> Vec<f64> {
    let mut model = Model::new(device);
    for step in 1..=STEPS {
        let gradients = model.of(gradient(&model, step));
        model = optimizer.step(lr, model, gradients);
    }
    model.values()
}

#[test]
fn several_devices_and_accumulation_are_one_step_on_the_sum() {
    for device in devices() {
        for optimizer in optimizers(0.1) {
            let mut several = (Model::new(&device), optimizer.clone());
            let mut accumulated = (Model::new(&device), optimizer.clone());
            for step in 1..=STEPS {
                let (model, optimizer) = &mut several;
                let inner = device.clone().inner();
                let grads = (0..N).map(|i| (model.gradients(step, i), inner.clone()));
                let grads = MultiGradientsParams {
                    grads: grads.collect(),
                };
                *model = optimizer.step_multi(1e-2, model.clone(), grads);

                let (model, optimizer) = &mut accumulated;
                let mut accumulator = GradientsAccumulator::new();
                for i in 0..N {
                    accumulator.accumulate(model, model.gradients(step, i));
                }
                *model = optimizer.step(1e-2, model.clone(), accumulator.grads());
            }
            let expected = run(optimizer, 1e-2, &device, Model::sum);
            assert_eq!(several.0.values(), expected);
            assert_eq!(accumulated.0.values(), expected);
        }
    }
}

/// Beside a sum of N gradients a penalty weighs what a Nth of it weighs beside their mean; a decoupled
/// decay weighs the same.
#[test]
fn a_coupled_penalty_weighs_a_nth_beside_a_sum() {
    let n = N as f64;
    let mean = |model: &Model, step: u64| model.sum(step) / n;
    for device in devices() {
        let sums = optimizers(0.4).map(|optimizer| run(optimizer, 1e-2, &device, Model::sum));
        let [adam_l2, _, sgd_l2, _] = optimizers(0.4 / n);
        let [_, adamw, _, _] = optimizers(0.4);
        // SGD's step is N times as large, and its decay is not: λ is a Nth beside N times the rate.
        let [_, _, _, sgdw] = optimizers(0.4 / n);
        let means = [
            run(adam_l2, 1e-2, &device, mean),
            run(adamw, 1e-2, &device, mean),
            run(sgd_l2, n * 1e-2, &device, mean),
            run(sgdw, n * 1e-2, &device, mean),
        ];
        for (sums, means) in sums.iter().zip(&means) {
            for (sum, mean) in sums.iter().zip(means) {
                assert!((sum - mean).abs() < 2e-5, "{sum} {mean}");
            }
        }
        // Unlike its mean, AdamL2's sum hides most of the penalty.
        let [whole, ..] = optimizers(0.4);
        let whole = run(whole, 1e-2, &device, mean);
        let apart = sums[0].iter().zip(whole).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f64::max) > 1e-2);
    }
}

/// Two devices of two backends: each parameter is stepped on one of them, where its state stays, and
/// comes to what one device makes of it.
#[cfg(all(feature = "flex", feature = "ndarray"))]
#[test]
fn two_devices_share_the_parameters() {
    #[allow(
        deprecated,
        reason = "Burn deprecates the ndarray backend, and keeps it"
    )]
    let both = [Device::flex(), Device::ndarray()];
    let [first, _] = both.clone().map(|device| device.autodiff());
    for optimizer in optimizers(0.1) {
        for id in 0..4 {
            let weight = Model::new(&first).weight.val();
            let start = Model {
                weight: Param::initialized(ParamId::from(id), weight.detach().require_grad()),
            };
            let (mut model, mut several) = (start.clone(), optimizer.clone());
            let (mut alone, mut one) = (start, optimizer.clone());
            for step in 1..=STEPS {
                let grads = both.iter().enumerate().map(|(i, device)| {
                    let gradient = numbers(2 + i as u64, step, device);
                    (model.of(gradient), device.clone())
                });
                let grads = MultiGradientsParams {
                    grads: grads.collect(),
                };
                model = several.step_multi(1e-2, model, grads);
                let on_first = |seed| numbers(seed, step, &both[0]);
                let gradients = alone.of(on_first(2) + on_first(3));
                alone = one.step(1e-2, alone, gradients);
            }
            let where_it_is = model.weight.val().device().inner();
            assert_eq!(where_it_is, both[id as usize % 2]);
            for (several, alone) in model.values().iter().zip(alone.values()) {
                assert!((several - alone).abs() < 1e-6, "{several} {alone}");
            }
        }
    }
}

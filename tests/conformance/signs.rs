//! No sign is preferred: with all signs flipped, the result is flipped, to the bit. And cautious
//! decay beside its definition, where a gradient ends and where there never was one.

use burn::optim::momentum::MomentumConfig;
use burn::tensor::Tensor;
use burn_decay::{AdamL2Config, AdamWConfig, SgdL2Config, SgdWConfig};

use crate::data::{noise, to_f32};
use crate::forms::{Form, Optimizer, Run, forms, one_pass_forms, pairs, tensor, values};

/// Rows, the last of which never has a gradient.
const SHAPE: [usize; 2] = [6, 16];
const COUNT: usize = SHAPE[0] * SHAPE[1];

/// Gradients of very different sizes, so that their moments end at very different times.
fn gradient(step: u64) -> Vec<f32> {
    let scale = |i: usize| 10f64.powi(-4 * (i / SHAPE[1]) as i32);
    let without = COUNT - SHAPE[1];
    let number = |(i, value): (usize, f64)| if i < without { scale(i) * value } else { 0.0 };
    let numbers: Vec<f64> = noise(7, step, COUNT)
        .into_iter()
        .enumerate()
        .map(number)
        .collect();
    to_f32(&numbers)
}

fn optimizers() -> Vec<(&'static str, Optimizer)> {
    let momentum = |nesterov| {
        let momentum = MomentumConfig::new().with_dampening(0.0);
        Some(momentum.with_nesterov(nesterov))
    };
    let adamw = || AdamWConfig::torch().with_weight_decay(0.1);
    let sgdw = || SgdWConfig::new().with_weight_decay(0.1);
    let sgd_l2 = SgdL2Config::new().with_l2_penalty(0.1);
    vec![
        (
            "AdamL2",
            Optimizer::AdamL2(AdamL2Config::new().with_l2_penalty(0.1).build()),
        ),
        ("AdamW", Optimizer::AdamW(adamw().build())),
        (
            "AdamW, AMSGrad",
            Optimizer::AdamW(adamw().with_amsgrad(true).build()),
        ),
        (
            "AdamW, cautious",
            Optimizer::AdamW(adamw().with_cautious_weight_decay(true).build()),
        ),
        (
            "SgdL2",
            Optimizer::SgdL2(sgd_l2.with_momentum(momentum(true)).build()),
        ),
        (
            "SgdW",
            Optimizer::SgdW(sgdw().with_momentum(momentum(false)).build()),
        ),
        (
            "SgdW, cautious",
            Optimizer::SgdW(sgdw().with_cautious_weight_decay(true).build()),
        ),
        (
            "SgdW, cautious, Nesterov",
            Optimizer::SgdW(
                sgdw()
                    .with_momentum(momentum(true))
                    .with_cautious_weight_decay(true)
                    .build(),
            ),
        ),
    ]
}

/// The parameter after `steps` steps, of which those up to `ends` have gradients.
fn train(optimizer: &Optimizer, form: &Form, sign: f32, ends: u64, steps: u64) -> Vec<f64> {
    let signed = |numbers: Vec<f32>| -> Tensor<2> {
        let numbers: Vec<f32> = numbers.into_iter().map(|number| sign * number).collect();
        tensor(&numbers, SHAPE, &form.device)
    };
    let initial = signed(to_f32(&noise(7, 0, COUNT)));
    let mut run = Run::new(optimizer.clone(), 1e-2, initial);
    let none = Tensor::zeros(SHAPE, &form.device);
    for step in 1..=steps {
        run.step(if step <= ends {
            signed(gradient(step))
        } else {
            none.clone()
        });
    }
    values(&run.parameter)
}

#[test]
fn flipped_signs_flip_the_result() {
    for form in forms() {
        for (name, optimizer) in optimizers() {
            let [up, down] = [1.0, -1.0].map(|sign| train(&optimizer, &form, sign, 40, 1200));
            let flipped: Vec<f64> = down.iter().map(|value| -value).collect();
            assert_eq!(up, flipped, "{name}, {}", form.name);
        }
    }
}

/// Where the update is 0, weights of both signs decay, each as far as without cautious decay.
#[test]
fn cautious_decay_takes_weights_of_both_signs_that_have_no_gradient() {
    let plain = AdamWConfig::new().with_weight_decay(0.1);
    let cautious = plain.clone().with_cautious_weight_decay(true);
    for form in forms() {
        let [plain, cautious] = [&plain, &cautious]
            .map(|config| train(&Optimizer::AdamW(config.build()), &form, 1.0, 40, 200));
        let without = COUNT - SHAPE[1]..;
        assert_eq!(plain[without.clone()], cautious[without], "{}", form.name);
    }
}

/// With Nesterov it is the update that decides, also where the velocity is 0.
#[test]
fn cautious_sgd_goes_by_its_update() {
    for form in forms() {
        let of = |value: f32| tensor(&[value], [1, 1], &form.device);
        let momentum = MomentumConfig::new()
            .with_momentum(0.5)
            .with_dampening(0.0)
            .with_nesterov(true);
        let sgd = SgdWConfig::new()
            .with_weight_decay(0.5)
            .with_cautious_weight_decay(true)
            .with_momentum(Some(momentum))
            .build();
        let mut run = Run::new(Optimizer::SgdW(sgd), 0.5, of(1.0));
        run.step(of(1.0));
        // The velocity is 0.5·1 - 0.5, the update -0.5: away from 0.
        run.parameter = of(2.0);
        run.step(of(-0.5));
        assert_eq!(values(&run.parameter), [2.25], "{}", form.name);
    }
}

/// The one-pass forms count moments below the smallest normal number as 0; nothing shows it, when
/// a gradient has ended long ago, as nothing shows when it stays subnormal in the portable form.
#[test]
fn moments_that_fade_away_do_so_in_every_form_alike() {
    let [_, portable] = &pairs()[0];
    let lr = 1e-2;
    for [beta_1, beta_2] in [[0.9, 0.999], [0.95, 0.9]] {
        for epsilon in [1e-5, 1e-8, 1e-16, 1e-30] {
            for [cautious, amsgrad] in [[false, false], [true, false], [true, true]] {
                let config = AdamWConfig::new()
                    .with_beta_1(beta_1)
                    .with_beta_2(beta_2)
                    .with_epsilon(epsilon)
                    .with_weight_decay(0.1)
                    .with_cautious_weight_decay(cautious)
                    .with_amsgrad(amsgrad);
                let optimizer = Optimizer::AdamW(config.build());
                let expected = train(&optimizer, portable, 1.0, 40, 3000);
                for form in one_pass_forms() {
                    let actual = train(&optimizer, &form, 1.0, 40, 3000);
                    for (i, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
                        // A step more or less that decays, and the update's own rounding.
                        let tolerance = 2.0 * lr * 0.1 * expected.abs() + 1e-5;
                        assert!(
                            (actual - expected).abs() <= tolerance,
                            "{}: {actual} and {expected} at {i} with {config}",
                            form.name
                        );
                    }
                }
            }
        }
    }
}

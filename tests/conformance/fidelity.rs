//! The decay delivered over the decay asked for.

use burn::optim::Optimizer as _;

use crate::data::normal;
use crate::forms::{Run, forms, tensor, values};
use crate::reference::{Kind, Setting};

const COUNT: usize = 8192;
const STEPS: u64 = 2000;

/// Learning rate, λ, and whether `1 - lr·λ` survives being rounded to f32.
const SETTINGS: [(f64, f64, bool); 5] = [
    (1e-3, 1e-4, false),
    (1e-4, 1e-4, false),
    (5e-6, 1e-2, false),
    (1e-5, 1e-2, false),
    (3e-4, 1e-1, true),
];

fn adamw(lr: f64, weight_decay: f64) -> Setting {
    Setting {
        optimizer: Kind::AdamW,
        lr,
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay,
        max_lr: None,
        cautious: false,
        amsgrad: false,
    }
}

/// The share of the initial parameter that the decay took, over the share that it should have.
fn fidelity(initial: &[f32], without: &[f64], with: &[f64], lr: f64, weight_decay: f64) -> f64 {
    let square: f64 = initial.iter().map(|theta| f64::from(*theta).powi(2)).sum();
    let lost =
        |((theta, without), with): ((&f32, &f64), &f64)| (without - with) * f64::from(*theta);
    let delivered: f64 = initial.iter().zip(without).zip(with).map(lost).sum::<f64>() / square;
    delivered / (1.0 - (1.0 - lr * weight_decay).powi(STEPS as i32))
}

#[test]
fn the_decay_you_set_is_the_decay_you_get() {
    for (seed, (lr, weight_decay, survives)) in (1..).zip(SETTINGS) {
        let initial = normal(seed, 0, COUNT);
        let decays = [0.0, weight_decay];
        for form in forms() {
            let parameter = || tensor(&initial, [COUNT], &form.device);
            let mut runs = decays.map(|decay| Run::new(adamw(lr, decay).build(), lr, parameter()));
            let mut burns = decays.map(|decay| {
                let config = burn::optim::AdamWConfig::new().with_epsilon(1e-8);
                (
                    config.with_weight_decay(decay as f32).build(),
                    parameter(),
                    None,
                )
            });
            for step in 1..=STEPS {
                let gradient = tensor(&normal(seed, step, COUNT), [COUNT], &form.device);
                for run in &mut runs {
                    run.step(gradient.clone());
                }
                for (burn, parameter, state) in &mut burns {
                    let (next, next_state) =
                        burn.step(lr, parameter.clone(), gradient.clone(), state.take());
                    (*parameter, *state) = (next, next_state);
                }
            }
            let [without, with] = runs.map(|run| values(&run.parameter));
            let ours = fidelity(&initial, &without, &with, lr, weight_decay);
            let [without, with] = burns.map(|(_, parameter, _)| values(&parameter));
            let burns = fidelity(&initial, &without, &with, lr, weight_decay);

            println!(
                "{}: lr {lr:.0e}, λ {weight_decay:.0e}: {ours:.3}, Burn's {burns:.3}",
                form.name
            );
            assert!((ours - 1.0).abs() <= 0.01, "{}: {ours}", form.name);
            assert_eq!((burns - 1.0).abs() <= 0.01, survives, "Burn's {burns}");
        }
    }
}

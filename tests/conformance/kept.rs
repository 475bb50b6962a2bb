//! What the caller keeps reads the same after the step as before it.
//!
//! The values are looked at, and not the data: a GPU's data is read when it is looked at.

use burn::optim::momentum::MomentumConfig;
use burn::tensor::{DType, Tensor};
use burn_decay::{AdamWConfig, SgdWConfig, SimpleOptimizer};

use crate::forms::{Form, Optimizer, Run, forms, tensor, values};

fn given(form: &Form, dtype: DType) -> [Tensor<2>; 3] {
    let numbers =
        |offset: f32| -> Vec<f32> { (0..600).map(|i| (i as f32 + offset).sin()).collect() };
    [0.0, 1.0, 2.0].map(|offset| tensor(&numbers(offset), [20, 30], &form.device).cast(dtype))
}

fn optimizers() -> [Optimizer; 3] {
    let momentum = SgdWConfig::new().with_momentum(Some(MomentumConfig::new()));
    [
        Optimizer::AdamW(AdamWConfig::new().build()),
        Optimizer::SgdW(SgdWConfig::new().build()),
        Optimizer::SgdW(momentum.build()),
    ]
}

fn combinations() -> impl Iterator<Item = (Form, Optimizer)> {
    let with_each = |form: Form| optimizers().map(|optimizer| (form.clone(), optimizer));
    forms().into_iter().flat_map(with_each)
}

#[test]
fn clones_of_the_parameter_and_the_gradient_are_unchanged() {
    for (form, optimizer) in combinations() {
        for &dtype in &form.dtypes {
            let [parameter, first, second] = given(&form, dtype);
            let mut run = Run::new(optimizer.clone(), 0.1, parameter);
            for gradient in [first, second] {
                let kept = [run.parameter.clone(), gradient.clone()];
                let before = kept.clone().map(|tensor| values(&tensor));
                run.step(gradient);
                let after = kept.map(|tensor| values(&tensor));
                assert_eq!(before, after, "{} {dtype:?}", form.name);
                assert_ne!(values(&run.parameter), before[0]);
            }
        }
    }
}

#[test]
fn a_clone_of_the_state_is_unchanged() {
    for form in forms() {
        for &dtype in &form.dtypes {
            let [parameter, first, second] = given(&form, dtype);
            let adam = AdamWConfig::new().with_amsgrad(true).build();
            let (parameter, state) = adam.step(0.1, parameter, first, None);
            let state = state.expect("Adam has a state");
            let data = || {
                let max_moment_2 = state.max_moment_2().expect("AMSGrad keeps it");
                [state.moment_1(), state.moment_2(), max_moment_2].map(|moment| values(&moment))
            };
            let before = data();
            let (_, next) = adam.step(0.1, parameter, second, Some(state.clone()));
            assert_eq!(before, data(), "{} {dtype:?}", form.name);
            assert_eq!(
                (state.time(), next.expect("Adam has a state").time()),
                (1, 2)
            );
        }
    }
}

/// A parameter and a gradient that are views into one buffer.
#[test]
fn views_into_one_buffer_do_not_disturb_each_other() {
    for form in forms() {
        let numbers: Vec<f32> = (0..64).map(|i| (i as f32).cos()).collect();
        let buffer = tensor(&numbers, [64], &form.device);
        let view = |start: usize| buffer.clone().slice(start..start + 40);
        let alone = |start: usize| tensor(&numbers[start..start + 40], [40], &form.device);
        let adam = AdamWConfig::new().build();
        let (shared, _) = adam.step(0.1, view(0), view(20), None);
        let (expected, _) = adam.step(0.1, alone(0), alone(20), None);
        assert_eq!(values(&shared), values(&expected), "{}", form.name);
        assert_eq!(
            values(&buffer),
            values(&tensor(&numbers, [64], &form.device))
        );
    }
}

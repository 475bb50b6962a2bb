//! What the caller keeps reads the same after the step as before it.
//!
//! The values are looked at, and not the data: a GPU's data is read when it is looked at.

use burn::optim::momentum::MomentumConfig;
use burn::tensor::{DType, Tensor};
use burn_decay::{AdamState, AdamWConfig, DecayTarget, SgdWConfig, SimpleOptimizer};

use crate::forms::{Form, Optimizer, Run, forms, tensor, values};
use crate::moments::PRECISIONS;
use crate::records::written;

fn given(form: &Form, dtype: DType) -> [Tensor<2>; 3] {
    let numbers =
        |offset: f32| -> Vec<f32> { (0..4200).map(|i| (i as f32 + offset).sin()).collect() };
    [0.0, 1.0, 2.0].map(|offset| tensor(&numbers(offset), [70, 60], &form.device).cast(dtype))
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
                assert!(before == after, "{} {dtype:?}", form.name);
                assert!(values(&run.parameter) != before[0]);
            }
        }
    }
}

/// Every part of it: moments in each precision, master weights, the start.
#[test]
fn a_clone_of_the_state_is_unchanged() {
    let parts = |state: &AdamState<2>| {
        let tensors = written(state).tensors.into_iter();
        let bytes = tensors.map(|(name, data)| (name, data.as_bytes().to_vec()));
        bytes.collect::<Vec<_>>()
    };
    for (form, precision) in forms()
        .iter()
        .flat_map(|form| PRECISIONS.map(|it| (form, it)))
    {
        for &dtype in &form.dtypes {
            let [parameter, first, second] = given(form, dtype);
            let adam = AdamWConfig::new()
                .with_amsgrad(true)
                .with_decay_target(DecayTarget::Start)
                .with_moment_precision(precision)
                .build();
            let (parameter, state) = adam.step(0.1, parameter, first, None);
            let state = state.expect("Adam has a state");
            let before = parts(&state);
            let (_, next) = adam.step(0.1, parameter, second, Some(state.clone()));
            assert!(
                before == parts(&state),
                "{} {dtype:?} {precision:?}",
                form.name
            );
            let next = next.expect("Adam has a state");
            assert_eq!((state.time(), next.time()), (1, 2));
            let moved = before.iter().zip(parts(&next));
            let moved = moved.filter(|(before, after)| *before != after).count();
            // All but the start, and the largest second moment where the second gradient is smaller.
            assert!(moved >= 2, "{} {dtype:?} {precision:?}", form.name);
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

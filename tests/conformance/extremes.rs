//! Numbers at the ends of what a precision holds.

use burn::tensor::DType;
use burn_decay::{AdamL2Config, AdamWConfig, DecayScaling, SgdWConfig, SimpleOptimizer};

use crate::config::panic_message;
use crate::forms::{Optimizer, Run, forms, tensor, values};

/// Three weights of 1, stepped with one gradient after the other.
fn stepped(optimizer: Optimizer, gradients: &[f64], dtype: DType) -> Vec<(String, Vec<f64>)> {
    let run = |form: crate::forms::Form| {
        let of = |value: f64| tensor(&[1.0; 3], [3], &form.device).cast(dtype) * value;
        let mut run = Run::new(optimizer.clone(), 1e-3, of(1.0));
        for gradient in gradients {
            run.step(of(*gradient));
        }
        (format!("{} {dtype:?}", form.name), values(&run.parameter))
    };
    forms()
        .into_iter()
        .filter(|form| form.dtypes.contains(&dtype))
        .map(run)
        .collect()
}

#[test]
fn the_largest_gradients_in_turn_leave_the_weight_finite() {
    for amsgrad in [false, true] {
        for [beta_1, beta_2] in [[0.9, 0.999], [0.5, 0.5], [0.3, 0.3], [0.0, 0.0]] {
            let adam = AdamWConfig::new()
                .with_beta_1(beta_1)
                .with_beta_2(beta_2)
                .with_amsgrad(amsgrad)
                .build();
            for (dtype, largest) in [(DType::F32, 3.2e38), (DType::F64, 1.7e308)] {
                let gradients = [1.0, largest, -largest, largest, -largest, 1.0];
                for (form, weights) in stepped(Optimizer::AdamW(adam.clone()), &gradients, dtype) {
                    for weight in weights {
                        assert!(
                            (weight - 1.0).abs() < 0.01,
                            "{form}, β {beta_1} and {beta_2}, AMSGrad {amsgrad}: {weight}"
                        );
                    }
                }
            }
        }
    }
}

/// The moment is rounded to the largest number, and not beyond it.
#[test]
fn the_largest_gradient_of_all_stays_finite_for_every_beta() {
    const LARGEST: f64 = f32::MAX as f64;
    for i in (0..200).step_by(3) {
        let beta_1 = f64::from(i) / 200.0;
        let adam = AdamWConfig::new().with_beta_1(beta_1).build();
        for second in [LARGEST, -LARGEST] {
            let gradients = [LARGEST, second].repeat(15);
            for (form, weights) in stepped(Optimizer::AdamW(adam.clone()), &gradients, DType::F32) {
                for weight in weights {
                    assert!((weight - 1.0).abs() < 0.01, "{form}, β₁ {beta_1}: {weight}");
                }
            }
        }
    }
}

/// A finite gradient whose square is infinite: its element gets no more updates.
#[test]
fn a_square_that_overflows_ends_the_updates() {
    for beta_2 in [0.0, 0.49, 0.5, 0.999] {
        for amsgrad in [false, true] {
            let adam = AdamWConfig::new()
                .with_beta_2(beta_2)
                .with_amsgrad(amsgrad)
                .with_weight_decay(0.0)
                .build();
            for (dtype, large) in [(DType::F32, 1e20), (DType::F64, 1e160)] {
                let of =
                    |gradients: &[f64]| stepped(Optimizer::AdamW(adam.clone()), gradients, dtype);
                let rest = [1.0; 20];
                let before = of(&[1.0]);
                let after = of(&[&[1.0, large][..], &rest].concat());
                for ((form, before), (_, after)) in before.iter().zip(&after) {
                    assert_eq!(before, after, "{form}, β₂ {beta_2}, AMSGrad {amsgrad}");
                }
            }
        }
    }
}

/// An f32 gradient is not rounded to the precision of a half-precision parameter, nor an f64
/// gradient to f32.
#[test]
fn a_gradient_in_a_wider_precision_is_not_narrowed() {
    for form in forms() {
        for (own, wide, large) in [
            (DType::F16, DType::F32, 1e5),
            (DType::BF16, DType::F32, 1.000_001),
            (DType::F32, DType::F64, 1e150),
        ] {
            if ![own, wide].iter().all(|dtype| form.dtypes.contains(dtype)) {
                continue;
            }
            let mut parameter = tensor(&[1.0; 4], [4], &form.device).cast(own);
            let gradient = tensor(&[1.0; 4], [4], &form.device).cast(wide) * large;
            let adam = AdamWConfig::new().build();
            let mut state = None;
            for step in 1..=3 {
                (parameter, state) = adam.step(1e-1, parameter, gradient.clone(), state);
                assert_eq!(parameter.dtype(), own);
                for weight in values(&parameter) {
                    let expected = 1.0 - 0.1 * f64::from(step);
                    assert!((weight - expected).abs() < 0.02, "{}: {weight}", form.name);
                }
            }
            let state = state.expect("Adam has a state");
            assert_eq!(state.moment_1().dtype(), wide);
            for moment in values(&state.moment_1()) {
                let share = moment / large / (1.0 - 0.9f64.powi(3));
                assert!((share - 1.0).abs() < 1e-6, "{}: {moment}", form.name);
            }
        }
    }
}

/// A narrower one is widened.
#[test]
fn a_gradient_in_a_narrower_precision_is_widened() {
    for form in forms() {
        if !form.dtypes.contains(&DType::F16) {
            continue;
        }
        let parameter = || tensor(&[1.0, -0.5], [2], &form.device);
        let gradient = tensor(&[0.25, 2.0], [2], &form.device);
        let adam = AdamWConfig::new().build();
        let (expected, _) = adam.step(1e-2, parameter(), gradient.clone(), None);
        let (actual, _) = adam.step(1e-2, parameter(), gradient.cast(DType::F16), None);
        assert_eq!(values(&actual), values(&expected), "{}", form.name);
    }
}

/// Before a kernel runs on it, which would fail far from here. (The backends on a CPU refuse such a
/// tensor themselves.)
#[cfg(feature = "wgpu")]
#[test]
fn a_precision_that_the_device_lacks_is_refused_by_name() {
    use burn::backend::{Backend, DTypeUsage, Dispatch};
    use burn::tensor::Tensor;

    for form in forms().iter().filter(|form| form.name == "wgpu") {
        let device = form.device.as_dispatch();
        let stored = |dtype| Dispatch::dtype_usage(device, dtype).contains(DTypeUsage::Storage);
        for lacking in [DType::F64, DType::F16, DType::BF16] {
            if stored(lacking) {
                continue;
            }
            let of = |dtype| Tensor::<1>::empty([3], (&form.device, dtype));
            let adam = AdamWConfig::new().build();
            for (name, own, gradient) in [
                ("parameter", lacking, DType::F32),
                ("gradient", DType::F32, lacking),
            ] {
                assert_eq!(
                    panic_message(|| adam.step(1e-3, of(own), of(gradient), None)),
                    format!(
                        "the {name} is in {lacking:?}, which {device:?} does not have; keep it in F32 there"
                    )
                );
            }
        }
    }
}

/// The largest coefficients that are taken leave a 0 as it is; what is larger is refused.
#[test]
fn coefficients_beyond_f32_are_refused_and_none_makes_a_nan_of_zero() {
    const LARGEST: f64 = f32::MAX as f64;
    for form in forms() {
        let zero = || tensor(&[0.0], [1], &form.device);
        let adamw = AdamWConfig::new().with_weight_decay(LARGEST).build();
        let l2 = AdamL2Config::new().with_l2_penalty(LARGEST).build();
        let sgdw = SgdWConfig::new().with_weight_decay(LARGEST).build();
        assert_eq!(values(&adamw.step(1e-20, zero(), zero(), None).0), [0.0]);
        assert_eq!(values(&l2.step(1.0, zero(), zero(), None).0), [0.0]);
        assert_eq!(values(&sgdw.step(1e-20, zero(), zero(), None).0), [0.0]);

        let message = panic_message(|| sgdw.step(1.0, zero(), zero(), None));
        assert_eq!(
            message,
            "the decay of a step, δ, is 3.4028234663852886e38, whose square overflows in F32: the learning rate or the decay is too large"
        );
        for lr in [1e30, 1e300] {
            let message = panic_message(|| l2.step(lr, zero(), zero(), None));
            let expected = "the size of a step, α, is ";
            assert!(message.starts_with(expected), "{message}");
        }
    }
    for refused in [1e-320, f64::MIN_POSITIVE] {
        let scaling = DecayScaling::Schedule { max_lr: refused };
        let error = AdamWConfig::new().with_decay_scaling(scaling).try_build();
        assert_eq!(error.expect_err("lr / max_lr overflows").value(), refused);
    }
    for refused in [1e39, 1e300] {
        for error in [
            AdamWConfig::new()
                .with_weight_decay(refused)
                .try_build()
                .err(),
            AdamL2Config::new()
                .with_l2_penalty(refused)
                .try_build()
                .err(),
            SgdWConfig::new()
                .with_weight_decay(refused)
                .try_build()
                .err(),
            AdamWConfig::new().with_epsilon(refused).try_build().err(),
            AdamWConfig::new()
                .with_decay_scaling(DecayScaling::Schedule { max_lr: refused })
                .try_build()
                .err(),
        ] {
            assert_eq!(error.expect("it is beyond f32").value(), refused);
        }
    }
}

//! Configuration: what it refuses, what it presets, how it is kept.

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::momentum::MomentumConfig;
use burn::tensor::{DType, Tensor};
use burn_decay::{
    AdamL2Config, AdamWConfig, ConfigError, DecayScaling, DecaySchedule, SgdL2Config, SgdWConfig,
    SimpleOptimizer,
};

use crate::forms::{forms, one_pass_forms, tensor, values};

/// The message of the panic in `f`.
pub fn panic_message<T>(f: impl FnOnce() -> T) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).err();
    let panic = panic.expect("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
        .expect("a text")
}

#[test]
fn a_field_out_of_range_is_named_with_its_value() {
    let w = AdamWConfig::new;
    let refused = [
        (
            w().with_beta_1(1.0),
            "beta_1 must be at least 0 and less than 1, but is 1",
        ),
        (
            w().with_beta_1(-0.1),
            "beta_1 must be at least 0 and less than 1, but is -0.1",
        ),
        (
            w().with_beta_2(f64::NAN),
            "beta_2 must be at least 0 and less than 1, but is NaN",
        ),
        (
            w().with_epsilon(0.0),
            "epsilon must be greater than 0 and finite in f32, but is 0",
        ),
        (
            w().with_epsilon(f64::INFINITY),
            "epsilon must be greater than 0 and finite in f32, but is inf",
        ),
        (
            w().with_epsilon(1e39),
            "epsilon must be greater than 0 and finite in f32, but is 1e39",
        ),
        (
            w().with_weight_decay(-1e-4),
            "weight_decay must be at least 0 and finite in f32, but is -0.0001",
        ),
        (
            w().with_weight_decay(f64::NAN),
            "weight_decay must be at least 0 and finite in f32, but is NaN",
        ),
        (
            w().with_decay_scaling(DecayScaling::Schedule { max_lr: 0.0 }),
            "decay_scaling.max_lr must be greater than 0, and normal and finite in f32, but is 0",
        ),
        (
            w().with_decay_scaling(DecayScaling::Corrected { max_lr: f64::NAN }),
            "decay_scaling.max_lr must be greater than 0, and normal and finite in f32, but is NaN",
        ),
        (
            w().with_l1_decay(-1.0),
            "l1_decay must be at least 0 and finite in f32, but is -1",
        ),
        (
            w().with_decay_schedule(DecaySchedule::Linear {
                end: -0.1,
                steps: 9,
            }),
            "decay_schedule.end must be at least 0 and finite in f32, but is -0.1",
        ),
        (
            w().with_decay_schedule(DecaySchedule::Cosine { end: 0.1, steps: 0 }),
            "decay_schedule.steps must be at least 1, but is 0",
        ),
    ];
    for (config, message) in refused {
        assert_eq!(config.try_build().expect_err(message).to_string(), message);
        assert_eq!(config.try_init().err().expect(message).to_string(), message);
        assert_eq!(panic_message(|| config.build()), message);
        assert_eq!(panic_message(|| config.init()), message);
    }

    let error = AdamL2Config::new()
        .with_l2_penalty(-1.0)
        .try_build()
        .expect_err("negative");
    assert_eq!((error.field(), error.value()), ("l2_penalty", -1.0));

    let clipped = AdamL2Config::new().with_grad_clipping(Some(GradientClippingConfig::Norm(-1.0)));
    let error = clipped.try_init().err().expect("a negative norm");
    assert_eq!(
        error.to_string(),
        "grad_clipping must be greater than 0 and finite in f32, but is -1"
    );
}

#[test]
fn every_option_refuses_what_is_out_of_its_range() {
    fn end_of(schedule: DecaySchedule) -> Option<ConfigError> {
        let config = AdamL2Config::new().with_decay_schedule(schedule);
        config.try_build().err()
    }
    fn momentum(momentum: MomentumConfig) -> [Option<ConfigError>; 2] {
        let momentum = Some(momentum);
        [
            SgdWConfig::new()
                .with_momentum(momentum.clone())
                .try_build()
                .err(),
            SgdL2Config::new().with_momentum(momentum).try_build().err(),
        ]
    }
    fn clipped(clipping: GradientClippingConfig) -> Option<ConfigError> {
        let config = SgdWConfig::new().with_grad_clipping(Some(clipping));
        config.try_init().err()
    }
    let refused = |x: f64| {
        let (adamw, sgdw) = (AdamWConfig::new, SgdWConfig::new);
        let scaled = |scaling| adamw().with_decay_scaling(scaling).try_build().err();
        let [momentum_w, momentum_l2] = momentum(MomentumConfig::new().with_momentum(x));
        let [dampening_w, dampening_l2] = momentum(MomentumConfig::new().with_dampening(x));
        [
            ("beta_1", adamw().with_beta_1(x).try_build().err()),
            ("beta_2", adamw().with_beta_2(x).try_build().err()),
            ("momentum.momentum", momentum_w),
            ("momentum.momentum", momentum_l2),
            ("momentum.dampening", dampening_w),
            ("momentum.dampening", dampening_l2),
            ("epsilon", adamw().with_epsilon(x).try_build().err()),
            (
                "decay_scaling.max_lr",
                scaled(DecayScaling::Schedule { max_lr: x }),
            ),
            (
                "decay_scaling.max_lr",
                scaled(DecayScaling::Corrected { max_lr: x }),
            ),
            (
                "grad_clipping",
                clipped(GradientClippingConfig::Value(x as f32)),
            ),
            (
                "grad_clipping",
                clipped(GradientClippingConfig::Norm(x as f32)),
            ),
            (
                "weight_decay",
                adamw().with_weight_decay(x).try_build().err(),
            ),
            (
                "weight_decay",
                sgdw().with_weight_decay(x).try_build().err(),
            ),
            ("l1_decay", sgdw().with_l1_decay(x).try_build().err()),
            (
                "l2_penalty",
                AdamL2Config::new().with_l2_penalty(x).try_build().err(),
            ),
            (
                "l2_penalty",
                SgdL2Config::new().with_l2_penalty(x).try_build().err(),
            ),
            (
                "decay_schedule.end",
                end_of(DecaySchedule::Linear { end: x, steps: 9 }),
            ),
            (
                "decay_schedule.end",
                end_of(DecaySchedule::Cosine { end: x, steps: 9 }),
            ),
        ]
    };
    for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX] {
        for (field, error) in refused(x) {
            let error = error.unwrap_or_else(|| panic!("{field} takes {x}"));
            assert_eq!(error.field(), field, "{x}");
        }
    }
    // Decay rates begin with 0 and are below 1, what is divided by is above 0, the rest may be 0.
    let fields = |x| {
        let refused = refused(x).into_iter().filter(|(_, error)| error.is_some());
        refused.map(|(field, _)| field).collect::<Vec<_>>()
    };
    assert_eq!(fields(1.0), refused(1.0).map(|(field, _)| field)[..6]);
    assert_eq!(fields(0.0), refused(0.0).map(|(field, _)| field)[6..11]);
}

/// Of the error inputs of PyTorch's own tests (its `OptimizerInfo`) those that can be written down here.
#[test]
fn what_pytorch_refuses_is_refused() {
    let momentum = Some(MomentumConfig::new().with_momentum(-0.5));
    let refused = [
        AdamWConfig::new().with_beta_1(1.0).try_build().err(),
        AdamL2Config::new().with_beta_1(1.0).try_build().err(),
        AdamWConfig::new().with_beta_2(1.0).try_build().err(),
        AdamL2Config::new().with_beta_2(1.0).try_build().err(),
        AdamWConfig::new().with_weight_decay(-1.0).try_build().err(),
        AdamL2Config::new().with_l2_penalty(-1.0).try_build().err(),
        SgdWConfig::new().with_weight_decay(-1.0).try_build().err(),
        SgdL2Config::new().with_l2_penalty(-1.0).try_build().err(),
        SgdWConfig::new()
            .with_momentum(momentum.clone())
            .try_build()
            .err(),
        SgdL2Config::new().with_momentum(momentum).try_build().err(),
    ];
    let fields = refused.map(|error| error.expect("an error").field());
    let adam = [
        "beta_1",
        "beta_1",
        "beta_2",
        "beta_2",
        "weight_decay",
        "l2_penalty",
    ];
    let momentum = "momentum.momentum";
    let sgd = ["weight_decay", "l2_penalty", momentum, momentum];
    assert_eq!(fields.as_slice(), [&adam[..], &sgd[..]].concat());
}

#[test]
fn the_ends_of_the_ranges_are_accepted() {
    for form in forms() {
        for dtype in form.dtypes {
            for beta in [0.0, 1.0 - f64::EPSILON] {
                let config = AdamWConfig::new().with_beta_1(beta).with_beta_2(beta);
                let adam = config
                    .with_epsilon(f64::MIN_POSITIVE)
                    .with_weight_decay(0.0)
                    .build();
                let given = |values: &[f32]| tensor(values, [3], &form.device).cast(dtype);
                let mut parameter = given(&[1.0, -1.0, 0.0]);
                let mut state = None;
                for _ in 0..3 {
                    let gradient = given(&[0.5, 0.0, 0.0]);
                    (parameter, state) = adam.step(1e-2, parameter, gradient, state);
                }
                let values = values(&parameter);
                assert!(
                    values.iter().all(|value| value.is_finite()),
                    "{} {values:?}",
                    form.name
                );
                assert_eq!(
                    values[1..],
                    [-1.0, 0.0],
                    "{}: no gradient, no change",
                    form.name
                );
            }
        }
    }
}

#[test]
fn gradients_of_any_size_leave_the_parameter_finite() {
    for form in forms() {
        let mut parameter = tensor(&[1.0; 6], [6], &form.device);
        let adam = AdamWConfig::torch().build();
        let mut state = None;
        for _ in 0..5 {
            let gradient = [1e30, -1e30, 1e-30, f32::MIN_POSITIVE / 4.0, 3e38, 0.0];
            let gradient = tensor(&gradient, [6], &form.device);
            (parameter, state) = adam.step(1e-3, parameter, gradient, state);
        }
        for value in values(&parameter) {
            assert!((value - 1.0).abs() < 0.01, "{}: {value}", form.name);
        }
    }
}

/// An ε so small that even a subnormal v counts beside it, where the device has such numbers.
#[test]
fn a_small_epsilon_lets_small_gradients_count() {
    for form in forms() {
        let parameter = tensor(&[0.0; 2], [2], &form.device);
        let subnormal = tensor(&[1e-30], [1], &form.device) * 1e-9;
        let flushes_subnormals = values(&subnormal) == [0.0];
        let smallest = if flushes_subnormals { 1e-15 } else { 1e-18 };
        let gradient = tensor(&[smallest, -1e-15], [2], &form.device);
        let adam = AdamWConfig::new().with_epsilon(1e-30).build();
        let (parameter, _) = adam.step(1e-3, parameter, gradient, None);
        for (value, expected) in values(&parameter).into_iter().zip([-1e-3, 1e-3]) {
            assert!((value - expected).abs() < 1e-6, "{}: {value}", form.name);
        }
    }
}

/// Subnormal numbers are slow: no moment of the one-pass forms is one, or stays one for ever.
#[test]
fn moments_do_not_stay_subnormal() {
    for form in one_pass_forms() {
        let small = tensor(&[1.0, 1e-20, 1e-30], [3], &form.device);
        let adam = AdamWConfig::torch().build();
        let (mut parameter, mut state) = adam.step(1e-3, small.clone(), small.clone(), None);
        for _ in 0..1000 {
            (parameter, state) = adam.step(1e-3, parameter, small.zeros_like(), state);
        }
        let state = state.expect("Adam has a state");
        for moment in [state.moment_1(), state.moment_2()] {
            for value in values(&moment) {
                let normal = value == 0.0 || value >= f64::from(f32::MIN_POSITIVE);
                assert!(normal, "{}: {value:e}", form.name);
            }
        }
    }
}

#[test]
fn a_nan_or_infinite_gradient_is_not_hidden() {
    for form in forms() {
        let parameter = tensor(&[1.0, 1.0], [2], &form.device);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let parameter = parameter.clone();
            let gradient = tensor(&[bad, 1.0], [2], &form.device);
            let (parameter, _) = AdamWConfig::new()
                .build()
                .step(0.1, parameter, gradient, None);
            let values = values(&parameter);
            assert!(
                values[0].is_nan() && values[1].is_finite(),
                "{} {values:?}",
                form.name
            );
        }
    }
}

#[test]
fn what_a_step_cannot_take_is_refused_by_name() {
    for form in forms() {
        let adam = AdamWConfig::new().build();
        let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &form.device);
        for lr in [f64::NAN, f64::INFINITY, -1e-3] {
            let message = panic_message(|| adam.step(lr, zeros([2, 3]), zeros([2, 3]), None));
            let expected =
                format!("the learning rate must be finite and not negative, but is {lr}");
            assert_eq!(message, expected);
        }
        let message = panic_message(|| adam.step(0.1, zeros([2, 3]), zeros([1, 3]), None));
        assert_eq!(
            message,
            "the gradient has the shape [1, 3], but the parameter [2, 3]"
        );

        let (_, state) = adam.step(0.1, zeros([3, 2]), zeros([3, 2]), None);
        let message = panic_message(|| adam.step(0.1, zeros([2, 3]), zeros([2, 3]), state.clone()));
        assert_eq!(
            message,
            "the state of a parameter: moment_1 has the shape [3, 2], but the parameter [2, 3]"
        );
    }
}

#[test]
fn the_torch_presets_are_pytorchs() {
    let w = AdamWConfig::torch();
    assert_eq!(
        (w.beta_1, w.beta_2, w.epsilon, w.weight_decay),
        (0.9, 0.999, 1e-8, 1e-2)
    );
    let l2 = AdamL2Config::torch();
    assert_eq!(
        (l2.beta_1, l2.beta_2, l2.epsilon, l2.l2_penalty),
        (0.9, 0.999, 1e-8, 0.0)
    );
    let [l2, w] = [
        SgdL2Config::torch().l2_penalty,
        SgdWConfig::torch().weight_decay,
    ];
    assert_eq!([l2, w], [0.0, 0.0]);
    assert!(SgdL2Config::torch().momentum.is_none() && SgdWConfig::torch().momentum.is_none());
}

#[test]
fn moments_of_half_precision_parameters_are_kept_in_f32() {
    for form in forms() {
        for dtype in form.dtypes {
            let one = tensor(&[1.0], [1], &form.device).cast(dtype);
            let (parameter, state) = AdamWConfig::new().build().step(0.1, one.clone(), one, None);
            let expected = if dtype == DType::F64 {
                DType::F64
            } else {
                DType::F32
            };
            assert_eq!(parameter.dtype(), dtype);
            assert_eq!(
                state.expect("Adam has a state").moment_2().dtype(),
                expected
            );
        }
    }
}

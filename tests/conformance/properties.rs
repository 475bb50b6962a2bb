//! Random tensors and settings, every form against the portable one on a CPU.

use burn::tensor::{DType, Device, Tensor};
use burn_decay::{AdamState, AdamWConfig, SimpleOptimizer};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::data::{noise, to_f32};
use crate::forms::{Run, State, pairs, tensor, values};
use crate::reference::{Adam, Coupling, Momentum, Reference, Rule, Setting, Sgd, Shape, Ways};

/// How a tensor of some shape comes to lie in memory.
#[derive(Debug, Clone, Copy)]
enum Layout {
    Contiguous,
    /// Rows and columns stored the other way round.
    Transposed,
    /// A window into a larger buffer.
    Window,
    /// The first rows of a larger buffer: contiguous, but not all of it.
    Prefix,
    /// One row that stands for all.
    Expanded,
    Flipped,
}

const LAYOUTS: [Layout; 6] = [
    Layout::Contiguous,
    Layout::Transposed,
    Layout::Window,
    Layout::Prefix,
    Layout::Expanded,
    Layout::Flipped,
];

impl Layout {
    /// A tensor of `scale` times noise.
    fn lay(self, seed: u64, scale: f64, shape: [usize; 3], on: (DType, &Device)) -> Tensor<3> {
        let (dtype, device) = on;
        let random = |shape: [usize; 3]| {
            let values = noise(seed, 0, shape.iter().product());
            let values: Vec<f64> = values.iter().map(|value| scale * value).collect();
            tensor(&to_f32(&values), shape, device).cast(dtype)
        };
        let [a, b, c] = shape;
        match self {
            // Burn has no views of nothing.
            _ if a * b * c == 0 => random(shape),
            Self::Contiguous => random(shape),
            Self::Transposed => random([a, c, b]).swap_dims(1, 2),
            Self::Window => random([a + 1, b + 2, c + 3]).slice([1..a + 1, 1..b + 1, 2..c + 2]),
            Self::Prefix => random([a + 2, b, c]).slice([0..a, 0..b, 0..c]),
            Self::Expanded => random([a, 1, c]).expand(shape),
            Self::Flipped => random(shape).flip([0, 2]),
        }
    }
}

#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    shape: [usize; 3],
    layouts: [Layout; 3],
    dtype: DType,
    /// Those of the gradients: the parameter's, or a wider one.
    gradients: DType,
    master_weights: bool,
    /// A gradient is 2^this times noise.
    magnitude: i32,
    keep: bool,
    setting: Setting,
}

fn rules() -> impl Strategy<Value = Rule> {
    let adam = (
        prop_oneof![Just(0.9), 0.0..0.99f64],
        prop_oneof![Just(0.999), 0.0..0.9999f64],
        select(vec![1e-3, 1e-5, 1e-8, 1e-16]),
        any::<bool>(),
    );
    let adam = adam.prop_map(|(beta_1, beta_2, epsilon, amsgrad)| {
        Rule::Adam(Adam {
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
        })
    });
    let momentum = (0.0..0.99f64, 0.0..0.99f64, any::<bool>());
    let momentum = momentum.prop_map(|(momentum, dampening, nesterov)| Momentum {
        momentum,
        dampening,
        nesterov,
    });
    let momentum = prop_oneof![Just(None), momentum.prop_map(Some)];
    let sgd = momentum.prop_map(|momentum| Rule::Sgd(Sgd { momentum }));
    prop_oneof![2 => adam, 1 => sgd]
}

/// Half of them plain.
fn ways() -> impl Strategy<Value = Ways> {
    let schedule = (
        select(vec![Shape::Line, Shape::Cosine]),
        0.0..1.0f64,
        1..4usize,
    );
    let ways = (
        prop_oneof![Just(None), schedule.prop_map(Some)],
        any::<bool>(),
        prop_oneof![Just(None), (1e-6..1.0f64).prop_map(Some)],
        any::<bool>(),
        any::<bool>(),
        prop_oneof![Just(0.0), 1e-3..1.0f64],
        any::<bool>(),
    );
    let ways = ways.prop_map(
        |(schedule, towards_start, max_lr, corrected, cautious, l1, stochastic_rounding)| Ways {
            schedule,
            towards_start,
            max_lr,
            corrected,
            cautious,
            l1,
            stochastic_rounding,
        },
    );
    prop_oneof![Just(Ways::default()), ways]
}

fn settings() -> impl Strategy<Value = Setting> {
    let setting = (
        prop_oneof![Just(Coupling::L2), Just(Coupling::Decoupled)],
        prop_oneof![Just(0.0), 1e-6..1e-1f64],
        prop_oneof![Just(0.0), 1e-6..1.0f64],
        ways(),
        rules(),
    );
    setting.prop_map(|(coupling, lr, weight_decay, ways, rule)| Setting {
        coupling,
        lr,
        weight_decay,
        ways: match coupling {
            Coupling::L2 => Ways {
                schedule: ways.schedule,
                towards_start: ways.towards_start,
                ..Ways::default()
            },
            // A decay of more than the whole parameter is no decay.
            Coupling::Decoupled => Ways {
                max_lr: ways.max_lr.map(|max_lr| max_lr.max(lr)),
                ..ways
            },
        },
        rule,
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let layouts = [(); 3].map(|()| select(&LAYOUTS[..]));
    let dtypes = vec![DType::F32, DType::F32, DType::F64, DType::F16, DType::BF16];
    (
        0..1000u64,
        [0..6usize, 0..7usize, 0..40usize],
        layouts,
        select(dtypes),
        -20..10,
        [any::<bool>(), any::<bool>(), any::<bool>()],
        settings(),
    )
        .prop_map(
            |(seed, shape, layouts, dtype, magnitude, [wide, master_weights, keep], setting)| {
                Case {
                    seed,
                    shape,
                    layouts,
                    dtype,
                    gradients: match dtype {
                        DType::F16 | DType::BF16 if wide => DType::F32,
                        DType::F32 if wide => DType::F64,
                        dtype => dtype,
                    },
                    master_weights,
                    magnitude,
                    keep,
                    setting,
                }
            },
        )
}

/// What a case comes to on a device.
struct Outcome {
    parameter: Tensor<3>,
    /// The parameter's largest values on the way, the first and the last among them.
    largest: Vec<f64>,
    /// After each step.
    states: Vec<State<3>>,
}

fn run(case: &Case, device: &Device) -> Outcome {
    let Case {
        seed, shape, dtype, ..
    } = *case;
    let [layout, layouts @ ..] = case.layouts;
    let parameter = layout.lay(seed, 1.0, shape, (dtype, device));
    let optimizer = case.setting.build_with(case.master_weights);
    let mut run = Run::new(optimizer, case.setting.lr, parameter);
    let mut largest = vec![0.0; shape.iter().product()];
    let mut raise = |parameter: &[f64]| {
        for (largest, value) in largest.iter_mut().zip(parameter) {
            *largest = value.abs().max(*largest);
        }
    };
    let mut states = Vec::new();
    for (step, layout) in (1..).zip(layouts) {
        let scale = 2f64.powi(case.magnitude);
        let gradient = layout.lay(seed + step, scale, shape, (case.gradients, device));
        let kept = [gradient.clone(), run.parameter.clone()];
        let before = kept.clone().map(|tensor| values(&tensor));
        raise(&before[1]);
        let kept = case.keep.then_some(kept);
        run.step(gradient);
        if let Some(kept) = kept {
            assert_eq!(
                before,
                kept.map(|tensor| values(&tensor)),
                "what is kept changed"
            );
        }
        states.extend(run.state.clone());
    }
    raise(&values(&run.parameter));
    Outcome {
        parameter: run.parameter,
        largest,
        states,
    }
}

/// The distance between neighbouring numbers at 1.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F32 => f64::from(f32::EPSILON),
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        other => unreachable!("{other:?} is not among the cases"),
    }
}

/// The distance between neighbouring numbers at 0.
fn smallest(dtype: DType) -> f64 {
    if dtype == DType::F16 {
        2f64.powi(-24)
    } else {
        f64::from(f32::MIN_POSITIVE)
    }
}

/// `tolerance` is asked by place.
fn assert_close(pair: [&[f64]; 2], tolerance: impl Fn(usize) -> f64) {
    let [actual, expected] = pair;
    assert_eq!(actual.len(), expected.len());
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let apart = (actual - expected).abs();
        assert!(
            apart <= tolerance(i),
            "{actual:e} and {expected:e} are {apart:e} apart, at {i}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_form_does_what_the_portable_one_does(case in cases()) {
        let [_, portable] = &pairs()[0];
        for [form, _] in pairs() {
            if ![case.dtype, case.gradients].iter().all(|it| form.dtypes.contains(it)) {
                continue;
            }
            let actual = run(&case, &form.device);
            let expected = run(&case, &portable.device);
            assert_eq!(actual.parameter.dims(), case.shape);
            assert_eq!(actual.parameter.dtype(), case.dtype);

            // A parameter of half precision may differ by a bit, and L2 shows it to the moments.
            let setting = &case.setting;
            let [penalty, decay] = [Setting::penalty, Setting::decay]
                .map(|of| (1..=2).map(|time| of(setting, time)).fold(0.0, f64::max));
            let parameter = epsilon(case.dtype);
            let arithmetic = parameter.min(epsilon(DType::F32));
            // A start may be as far away as 0.
            let gradient = 2f64.powi(case.magnitude) * 3.0 + penalty.max(decay) * 8.0;
            let inexact = 16.0 * arithmetic * gradient + 1e-30;

            // The parameter is rounded a few times, and may have been larger then than it is in the
            // end. What it differs by, the penalty shows to the averages, and those to the update.
            let rounding = 100.0 * arithmetic * setting.lr + smallest(case.dtype);
            // One in half precision is its master weights, rounded once.
            let rounded_once = parameter > arithmetic && case.master_weights;
            let roundings = if rounded_once { 1.0 } else { 6.0 };
            let mut tolerance: Vec<f64> =
                expected.largest.iter().map(|theta| rounding + roundings * parameter * theta).collect();
            if let Rule::Sgd(sgd) = &setting.rule {
                let sum = sgd.momentum.map_or(1.0, |momentum| 1.0 / (1.0 - momentum.momentum));
                for tolerance in &mut tolerance {
                    let shown = inexact + penalty * *tolerance;
                    *tolerance += 8.0 * setting.lr * sum * shown;
                }
            }
            assert_eq!(actual.states.len(), expected.states.len());
            for (time, states) in (1..).zip(actual.states.into_iter().zip(expected.states)) {
                let shown = |theta: f64| penalty * theta;
                match (&setting.rule, states) {
                    (Rule::Adam(adam), (State::Adam(actual), State::Adam(expected))) => {
                        assert_eq!((actual.time(), expected.time()), (time, time));
                        let compare = |of: fn(&AdamState<3>) -> Option<Tensor<3>>, scale: f64| {
                            let pair = [&actual, &expected].map(|state| of(state).map(|moment| values(&moment)));
                            let [actual, expected] = pair.each_ref().map(|values| values.as_deref());
                            assert_eq!(actual.is_some(), expected.is_some());
                            assert_close([actual, expected].map(Option::unwrap_or_default), |i| {
                                scale * (inexact + shown(tolerance[i])) + 1e-30
                            });
                        };
                        compare(|state| Some(state.moment_1()), 1.0);
                        compare(|state| Some(state.moment_2()), 2.0 * gradient);
                        compare(AdamState::max_moment_2, 2.0 * gradient);

                        // An update is as exact as m and √v are beside √v, and a cautious decay is
                        // there or not where the sign of m is within its rounding.
                        let v = expected.max_moment_2().unwrap_or(expected.moment_2());
                        let [m, v] = [expected.moment_1(), v].map(|moment| values(&moment));
                        for (i, tolerance) in tolerance.iter_mut().enumerate() {
                            let v_hat = v[i] / (1.0 - adam.beta_2.powi(time as i32));
                            let root = v_hat.sqrt() + adam.epsilon;
                            let inexact_m = inexact + shown(*tolerance);
                            let inexact_update = inexact_m * (1.0 + m[i].abs() / root);
                            *tolerance += setting.lr * inexact_update / ((1.0 - adam.beta_1) * root);
                            if setting.ways.cautious && m[i].abs() <= inexact_m {
                                *tolerance += decay * 4.0;
                            }
                        }
                    }
                    (Rule::Sgd(_), (State::Sgd(actual), State::Sgd(expected))) => {
                        let [actual, expected] = [actual, expected].map(|state| state.velocity().map_or_else(Vec::new, |velocity| values(&velocity)));
                        assert_close([&actual, &expected], |i| 4.0 * (inexact + shown(tolerance[i])));
                    }
                    _ => unreachable!("a rule and another's state"),
                }
            }
            let [actual, expected] = [actual.parameter, expected.parameter].map(|it| values(&it));
            assert_close([&actual, &expected], |i| tolerance[i]);
        }
    }
}

/// The papers' formulas, in every way to decay, over more steps than a schedule has.
#[test]
fn every_way_is_what_the_reference_says() {
    const COUNT: usize = 12;
    let mut runner = TestRunner::new(ProptestConfig::with_cases(500));
    let cases = (settings(), 0..1000u64);
    let result = runner.run(&cases, |(setting, seed)| {
        let mut reference = Reference::new(&setting, noise(seed, 0, COUNT));
        let gradients: Vec<Vec<f64>> = (1..=6).map(|step| noise(seed, step, COUNT)).collect();
        for gradient in &gradients {
            reference.step(gradient);
        }
        for form in pairs().into_iter().flatten() {
            if !form.dtypes.contains(&DType::F64) {
                continue;
            }
            let of = |numbers: &[f64]| Tensor::<1>::from_data(numbers, (&form.device, DType::F64));
            let mut run = Run::new(setting.build(), setting.lr, of(&noise(seed, 0, COUNT)));
            for gradient in &gradients {
                run.step(of(gradient));
            }
            for (actual, expected) in values(&run.parameter).iter().zip(&reference.parameter) {
                let apart = (actual - expected).abs();
                prop_assert!(apart < 1e-11, "{}: {actual} {expected}", form.name);
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// In the portable form on a CPU alone: some of Burn's operations on CubeCL panic on nothing.
#[test]
fn empty_tensors_take_steps() {
    let [_, portable] = pairs().swap_remove(0);
    let own = pairs().into_iter().map(|[form, _]| form);
    for form in own.chain([portable]) {
        for &dtype in &form.dtypes {
            let adam = AdamWConfig::new().with_amsgrad(true).build();
            let empty = || Tensor::<2>::empty([0, 3], (&form.device, dtype));
            let (parameter, state) = adam.step(0.1, empty(), empty(), None);
            let (parameter, _) = adam.step(0.1, parameter, empty(), state);
            assert_eq!(parameter.dims(), [0, 3]);
        }
    }
}

/// Of Burn's CPU backends only flex has tensors of rank 0.
#[cfg(feature = "flex")]
#[test]
fn scalars_take_steps() {
    let two_steps = |device: &Device| {
        let none: [i32; 0] = [];
        let value = |value: f32| tensor(&[value], [1], device).reshape::<0, _>(none);
        let adam = AdamWConfig::new().with_amsgrad(true).build();
        let (parameter, state) = adam.step(0.1, value(2.0), value(-1.0), None);
        values(&adam.step(0.1, parameter, value(0.5), state).0)
    };
    let [actual, expected] = [Device::flex(), Device::flex().autodiff()].map(|d| two_steps(&d));
    assert_close([&actual, &expected], |i| 1e-6 * expected[i].abs());
}

/// A GPU counts its groups of threads to 65,535 in one direction; this takes two.
#[cfg(feature = "wgpu")]
#[test]
fn more_numbers_than_one_dispatch_dimension_takes() {
    const COUNT: usize = 17_000_003;
    let numbers = |seed: u64| -> Vec<f32> {
        (0..COUNT as u64)
            .map(|i| (i.wrapping_mul(2 * seed + 40_503) % 4093) as f32 / 2046.0 - 1.0)
            .collect()
    };
    let [theta, g] = [1, 2].map(numbers);
    let adam = AdamWConfig::new().with_weight_decay(0.1).build();
    let step = |form: &crate::forms::Form| {
        let [theta, g] = [&theta, &g].map(|numbers| tensor(numbers, [COUNT], &form.device));
        adam.step(0.1, theta, g, None).0
    };
    let forms = pairs().into_iter().map(|[form, _]| step(&form));
    let results: Vec<Vec<f32>> = forms
        .map(|result| {
            result
                .into_data()
                .try_into_vec()
                .expect("the data is in f32")
        })
        .collect();
    for other in &results[1..] {
        let apart = results[0].iter().zip(other).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-6);
    }
}

/// Long enough for several threads, and no multiple of anything.
#[test]
fn the_split_over_threads_does_not_show() {
    const COUNT: usize = 300_007;
    for [form, _] in pairs() {
        let [theta, g1, g2] = [1, 2, 3].map(|seed| to_f32(&noise(seed, 0, COUNT)));
        let adam = AdamWConfig::new()
            .with_amsgrad(true)
            .with_cautious_weight_decay(true)
            .build();
        let two_steps = |range: core::ops::Range<usize>| {
            let part = |of: &[f32]| tensor(&of[range.clone()], [range.len()], &form.device);
            let (parameter, state) = adam.step(0.1, part(&theta), part(&g1), None);
            values(&adam.step(0.1, parameter, part(&g2), state).0)
        };
        let parts: Vec<f64> = (0..COUNT)
            .step_by(10_007)
            .flat_map(|start| two_steps(start..COUNT.min(start + 10_007)))
            .collect();
        assert_eq!(two_steps(0..COUNT), parts, "{}", form.name);
    }
}

/// A gradient of any size that an f32 can have, of either sign.
fn any_gradient() -> impl Strategy<Value = f32> {
    let parts = (any::<bool>(), -149..128i32, 1.0..2f64);
    parts.prop_map(|(negative, exponent, mantissa)| {
        let size = (mantissa * 2f64.powi(exponent)) as f32;
        let size = size.min(f32::MAX);
        if negative { -size } else { size }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Adam bounds its updates, while β₁² is less than β₂, and so it does at the ends of f32.
    #[test]
    fn gradients_of_any_size_leave_a_bounded_update(
        gradients in prop::collection::vec(prop::array::uniform4(any_gradient()), 1..8),
        [beta_1, beta_2] in select(vec![
            [0.0, 0.0], [0.0, 0.49], [0.3, 0.49], [0.5, 0.3], [0.5, 0.5], [0.9, 0.999],
        ]),
        epsilon in select(vec![1e-5, 1e-8, 1e-16]),
        amsgrad in any::<bool>(),
    ) {
        let setting = Setting {
            coupling: Coupling::Decoupled,
            lr: 1e-2,
            weight_decay: 0.1,
            ways: Ways::default(),
            rule: Rule::Adam(Adam { beta_1, beta_2, epsilon, amsgrad }),
        };
        let mut reference = Reference::new(&setting, vec![1.0; 4]);
        for gradient in &gradients {
            reference.step(&gradient.map(f64::from));
        }
        for form in pairs().into_iter().flatten() {
            let initial = tensor(&[1.0; 4], [4], &form.device);
            let mut run = Run::new(setting.build(), setting.lr, initial);
            for gradient in &gradients {
                run.step(tensor(gradient, [4], &form.device));
            }
            for (i, weight) in values(&run.parameter).into_iter().enumerate() {
                prop_assert!((weight - 1.0).abs() < 0.5, "{}: {weight} at {i}", form.name);
                // Beyond it a square may overflow in f32, below it may vanish beside ε.
                let ordinary = |gradient: &[f32; 4]| (1e-12..1e18).contains(&gradient[i].abs());
                if epsilon > 1e-10 && gradients.iter().all(ordinary) {
                    let exact = reference.parameter[i];
                    prop_assert!((weight - exact).abs() < 1e-5, "{}: {weight}, {exact}", form.name);
                }
            }
        }
    }
}

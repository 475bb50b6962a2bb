//! The decay delivered over the decay asked for.

use burn::optim::Optimizer as _;
use burn::tensor::{DType, Device, Tensor};
use burn_decay::{DecayTarget, SgdWConfig};

use crate::data::normals;
use crate::forms::{Form, Optimizer, Run, forms, tensor, values};
use crate::reference::{Adam, Coupling, Momentum, Rule, Setting, Sgd, Ways};

/// How many weights a mean is of. What rounding does to Burn's decay, and to ours where updates do not vary,
/// hangs on the weight: it takes more of them.
const COUNT: usize = 2048;
const MORE: usize = 8192;
const STEPS: u64 = 2000;

/// Learning rate, λ, and what Burn's own AdamW delivers of it, as README has it.
const SETTINGS: [(f64, f64, f64); 5] = [
    (1e-3, 1e-4, 1.146),
    (1e-4, 1e-4, 0.000),
    (5e-6, 1e-2, 1.723),
    (1e-5, 1e-2, 1.136),
    (3e-4, 1e-1, 0.999),
];

fn adamw(lr: f64, weight_decay: f64) -> Setting {
    Setting {
        coupling: Coupling::Decoupled,
        lr,
        weight_decay,
        ways: Ways::default(),
        rule: Rule::Adam(Adam {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            amsgrad: false,
        }),
    }
}

fn sgdw(lr: f64, weight_decay: f64) -> Setting {
    Setting {
        rule: Rule::Sgd(Sgd {
            momentum: Some(Momentum {
                momentum: 0.9,
                dampening: 0.0,
                nesterov: false,
            }),
        }),
        ..adamw(lr, weight_decay)
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
    for (seed, (lr, weight_decay, expected)) in (1..).zip(SETTINGS) {
        let numbers = normals(seed, STEPS, MORE);
        let initial = &numbers[0][..COUNT];
        let decays = [0.0, weight_decay];
        for form in forms() {
            let parameter = || tensor(initial, [COUNT], &form.device);
            let run = |setting: Setting| Run::new(setting.build(), lr, parameter());
            let mut adamw = decays.map(|decay| run(adamw(lr, decay)));
            let mut sgdw = decays.map(|decay| run(sgdw(lr, decay)));
            for gradient in &numbers[1..] {
                let gradient = tensor(&gradient[..COUNT], [COUNT], &form.device);
                for run in adamw.iter_mut().chain(&mut sgdw) {
                    run.step(gradient.clone());
                }
            }
            let fidelity = |parameters: [Tensor<1>; 2]| {
                let [without, with] = parameters.map(|parameter| values(&parameter));
                fidelity(initial, &without, &with, lr, weight_decay)
            };
            let [adamw, sgdw] = [adamw, sgdw].map(|runs| fidelity(runs.map(|run| run.parameter)));
            println!(
                "{}: lr {lr:.0e}, λ {weight_decay:.0e}: AdamW {adamw:.3}, SgdW {sgdw:.3}",
                form.name
            );
            for ours in [adamw, sgdw] {
                assert!((ours - 1.0).abs() <= 0.01, "{}: {ours}", form.name);
            }
        }
        let burns = of_burns_own(&numbers, lr, weight_decay);
        println!("Burn's AdamW on Flex: {burns:.3}");
        assert!((burns - expected).abs() < 0.002, "Burn's {burns}");
    }
}

/// What Burn's AdamW delivers. On Flex alone: a GPU may contract its multiplication and subtraction into one
/// rounding.
fn of_burns_own(numbers: &[Vec<f32>], lr: f64, weight_decay: f64) -> f64 {
    let device = Device::flex();
    let [without, with] = [0.0, weight_decay].map(|decay| {
        let config = burn::optim::AdamWConfig::new().with_epsilon(1e-8);
        let adamw = config.with_weight_decay(decay as f32).build();
        let (mut parameter, mut state) = (tensor(&numbers[0], [MORE], &device), None);
        for gradient in &numbers[1..] {
            let gradient = tensor(gradient, [MORE], &device);
            (parameter, state) = adamw.step(lr, parameter, gradient, state);
        }
        values(&parameter)
    });
    fidelity(&numbers[0], &without, &with, lr, weight_decay)
}

/// What one rounding to the nearest cannot give: where a weight's update is 0 in most steps, nothing
/// varies between them, and a decay below half of its last bit is rounded away, as README says.
/// Stochastic rounding delivers it, on average over the weights.
#[test]
fn a_weight_that_rarely_has_a_gradient_decays_less() {
    let (lr, weight_decay) = (1e-4, 1e-4);
    let numbers = normals(7, STEPS, COUNT);
    let initial = &numbers[0];
    for (one_in, expected, stochastic) in [
        (1, 1.0, false),
        (10, 1.0, false),
        (100, 0.77, false),
        (1000, 0.09, false),
        (100, 1.0, true),
        (1000, 1.0, true),
    ] {
        let device = Device::flex();
        let [without, with] = [0.0, weight_decay].map(|decay| {
            let parameter = tensor(initial, [COUNT], &device);
            let mut setting = adamw(lr, decay);
            setting.ways.stochastic_rounding = stochastic;
            let mut run = Run::new(setting.build(), lr, parameter);
            for step in 1..=STEPS {
                let mut gradient = numbers[step as usize].clone();
                for (i, value) in gradient.iter_mut().enumerate() {
                    if !(step + i as u64).is_multiple_of(one_in) {
                        *value = 0.0;
                    }
                }
                run.step(tensor(&gradient, [COUNT], &device));
            }
            values(&run.parameter)
        });
        let delivered = fidelity(initial, &without, &with, lr, weight_decay);
        println!(
            "a gradient in one of {one_in} steps, {}: {delivered:.3}",
            rounding(stochastic)
        );
        assert!((delivered - expected).abs() < 0.01, "{delivered}");
    }
}

/// SGD without a gradient: nothing but the decay, by `decay` a step.
fn decaying(decay: f64, change: impl Fn(SgdWConfig) -> SgdWConfig) -> Optimizer {
    let sgdw = SgdWConfig::new()
        .with_weight_decay(decay)
        .with_stochastic_rounding(true);
    Optimizer::SgdW(change(sgdw).build())
}

/// What is random differs from step to step, also where SGD has nothing else to remember, and from
/// weight to weight: every single one decays, on average by what was asked. At a power of two, where norms'
/// gains start, the neighbour towards 0 is half as far as the other.
#[test]
fn stochastic_rounding_delivers_the_decay_to_each_weight() {
    const STEPS: i32 = 4000;
    for form in forms() {
        for start in [1.5f32, 1.0, -1.0, 0.5] {
            for decay in [1e-8, 1e-9] {
                let start = tensor(&[start; 64], [64], &form.device);
                let mut run = Run::new(decaying(decay, |sgdw| sgdw), 1.0, start.clone());
                for _ in 0..STEPS {
                    run.step(start.zeros_like());
                }
                let asked = 1.0 - (1.0 - decay).powi(STEPS);
                let taken: Vec<f64> = values(&run.parameter)
                    .iter()
                    .zip(values(&start))
                    .map(|(now, start)| 1.0 - now / start)
                    .collect();
                let mean = taken.iter().sum::<f64>() / taken.len() as f64;
                let name = form.name;
                assert!(
                    (mean / asked - 1.0).abs() < 0.15,
                    "{name}: {mean:e}, {asked:e}"
                );
                // A random walk of so many steps, each of at most a last place.
                let spread = 6.0 * (asked * f64::from(f32::EPSILON)).sqrt();
                let within = |taken: &f64| (taken - asked).abs() < spread;
                assert!(taken.iter().all(within), "{name}: {asked:e}, {taken:?}");
            }
        }
    }
}

/// In 16 bits, without master weights: with gradients of their own precision and of a wider one.
#[test]
fn stochastic_rounding_delivers_a_decay_in_half_precision() {
    const STEPS: i32 = 2000;
    for form in forms() {
        for dtype in [DType::BF16, DType::F16] {
            if !form.dtypes.contains(&dtype) {
                continue;
            }
            for gradients in [dtype, DType::F32] {
                // The last is subnormal in f16, which a GPU rounds as if it were not.
                for start in [1.0f32, -1.5, 3e-5] {
                    if start < 1e-4 && !["flex", "portable on flex"].contains(&form.name) {
                        continue;
                    }
                    let decay = 1e-4;
                    let of = |dtype| tensor(&[start; 1024], [1024], &form.device).cast(dtype);
                    let optimizer = decaying(decay, |sgdw| sgdw.with_master_weights(false));
                    let start = values(&of(dtype))[0];
                    let mut run = Run::new(optimizer, 1.0, of(dtype));
                    for _ in 0..STEPS {
                        run.step(of(gradients).zeros_like());
                    }
                    let now = values(&run.parameter);
                    let left = now.iter().sum::<f64>() / 1024.0 / start;
                    let asked = (1.0 - decay).powi(STEPS);
                    let name = form.name;
                    assert!(
                        (left - asked).abs() < 0.02,
                        "{name} {dtype:?} {gradients:?}: {left}"
                    );
                }
            }
        }
    }
}

/// On average the result is the exact one, whatever is small beside what: the decay beside the last bit of
/// a weight of 16 bits or of the update, the update beside the smallest f16.
#[test]
fn stochastic_rounding_is_exact_on_average() {
    // A weight, the gradients, λ at a learning rate of 1, and how many steps.
    let cases = [
        (DType::BF16, 1.0f32, 0.0f32, 1e-6, 100),
        (DType::BF16, 1.0, 0.0, 1e-8, 100),
        (DType::BF16, 0.1, 0.0, 1e-6, 100),
        (DType::F16, 1.0, 0.0, 1e-6, 100),
        (DType::F32, 1e-3, 1e-4, 1e-8, 20),
        (DType::F32, 3e-4, -1e-4, 1e-8, 1),
        (DType::F16, 0.0, 1e-8, 0.0, 40),
    ];
    for form in forms() {
        for (dtype, start, gradient, decay, steps) in cases {
            // A GPU rounds what is subnormal in f16 as if it were not.
            if start == 0.0 && !["flex", "portable on flex"].contains(&form.name) {
                continue;
            }
            for gradients in [dtype, DType::F32, DType::F64] {
                if [dtype, gradients].iter().all(|it| form.dtypes.contains(it)) {
                    is_exact_on_average(&form, [dtype, gradients], [start, gradient], decay, steps);
                }
            }
        }
    }
}

fn is_exact_on_average(
    form: &Form,
    [dtype, gradients]: [DType; 2],
    [start, gradient]: [f32; 2],
    decay: f64,
    steps: u32,
) {
    const COUNT: usize = 30_000;
    let of = |number: f32, dtype| Tensor::<1>::full([COUNT], number, &form.device).cast(dtype);
    // An L1 decay that is too small to be seen turns it on where there is no other.
    let optimizer = decaying(decay, |sgdw| {
        sgdw.with_master_weights(false).with_l1_decay(1e-30)
    });
    let mut run = Run::new(optimizer, 1.0, of(start, dtype));
    // As they are after their rounding.
    let [start, gradient] = [(start, dtype), (gradient, gradients)]
        .map(|(number, dtype)| values(&of(number, dtype))[0]);
    for _ in 0..steps {
        run.step(of(gradient as f32, gradients));
    }
    let mut exact = start;
    for _ in 0..steps {
        exact -= decay * exact + gradient;
    }
    let mean = values(&run.parameter).iter().sum::<f64>() / COUNT as f64;
    // The spread of a mean of random roundings, each less than a last place.
    let last_place = match dtype {
        DType::F32 => start.abs() * 2f64.powi(-23),
        DType::BF16 => start.abs() * 2f64.powi(-7),
        _ => start.abs().max(2f64.powi(-14)) * 2f64.powi(-10),
    };
    let change = (exact - start).abs();
    let spread = (change.min(f64::from(steps) * last_place) * last_place / COUNT as f64).sqrt();
    let name = form.name;
    assert!(
        (mean - exact).abs() <= 5.0 * spread + 1e-4 * change,
        "{name} {dtype:?} {start:e} {gradient:e} {decay:e} {gradients:?}: {mean:e}, {exact:e}, {spread:e}"
    );
}

/// Where a weight is smaller than its update, it is the update's last bit that the decay must get past.
#[test]
fn stochastic_rounding_delivers_the_decay_of_weights_below_their_updates() {
    const COUNT: usize = 1 << 15;
    const STEPS: usize = 16;
    const UPDATE: f32 = 1e-3;
    for form in forms() {
        for [low, high] in [[0.02, 0.1], [0.1, 0.5], [0.5, 1.0], [1.0, 2.0], [2.0, 8.0]] {
            for decay in [1e-7, 1e-6] {
                let place = |i: usize| low + (high - low) * (i as f32 + 0.5) / COUNT as f32;
                let start: Vec<f32> = (0..COUNT).map(|i| UPDATE * place(i)).collect();
                let of = |numbers: &[f32]| tensor(numbers, [COUNT], &form.device);
                let mut run = Run::new(decaying(decay, |sgdw| sgdw), 1.0, of(&start));
                let mut sum = 0.0;
                for _ in 0..STEPS {
                    // A step of the same weights, with other random numbers.
                    run.parameter = of(&start);
                    run.step(of(&[UPDATE; COUNT]));
                    sum += values(&run.parameter).iter().sum::<f64>();
                }
                let of_weights = start.iter().map(|start| f64::from(*start)).sum::<f64>();
                let exact = of_weights - f64::from(UPDATE) * COUNT as f64;
                let delivered = (exact - sum / STEPS as f64) / (decay * of_weights);
                assert!(
                    (delivered - 1.0).abs() < 0.1,
                    "{}: weights of {low} to {high} updates, {decay:e}: {delivered}",
                    form.name
                );
            }
        }
    }
}

/// The largest numbers stay finite, and infinite ones what they are.
#[test]
fn stochastic_rounding_leaves_the_largest_numbers_finite() {
    for form in forms() {
        for (dtype, largest) in [
            (DType::F32, f32::MAX),
            (DType::BF16, 3.3895314e38),
            (DType::F16, 65504.0),
        ] {
            if !form.dtypes.contains(&dtype) {
                continue;
            }
            let of = |numbers: &[f32]| tensor(numbers, [4], &form.device).cast(dtype);
            let optimizer = decaying(1e-9, |sgdw| sgdw.with_master_weights(false));
            let mut run = Run::new(optimizer, 1.0, of(&[largest, -largest, largest, 1.0]));
            // Outwards, by a fifth of what the largest number's last bit is.
            let outwards = largest
                * match dtype {
                    DType::F32 => f32::EPSILON / 10.0,
                    DType::BF16 => 2f32.powi(-8) / 5.0,
                    _ => 2f32.powi(-11) / 5.0,
                };
            for step in 0..20 {
                let size = if step % 2 == 0 { outwards } else { 0.0 };
                run.step(of(&[-size, size, 0.0, 0.0]));
            }
            let finite = values(&run.parameter)
                .iter()
                .all(|weight| weight.is_finite());
            assert!(
                finite,
                "{} {dtype:?}: {:?}",
                form.name,
                values(&run.parameter)
            );
        }
    }
}

/// Without anything to round there is no noise.
#[test]
fn stochastic_rounding_leaves_what_does_not_change() {
    for form in forms() {
        let start = tensor(&[1.0, -0.5, 0.1, 0.0], [4], &form.device);
        let towards = |sgdw: SgdWConfig| sgdw.with_decay_target(DecayTarget::Start);
        let mut run = Run::new(decaying(0.1, towards), 1.0, start.clone());
        for _ in 0..1000 {
            run.step(start.zeros_like());
        }
        assert_eq!(values(&run.parameter), values(&start), "{}", form.name);
    }
}

fn rounding(stochastic: bool) -> &'static str {
    if stochastic {
        "rounded stochastically"
    } else {
        "rounded to the nearest"
    }
}

/// Nor where the updates are below the last bit themselves, or all of one size.
#[test]
fn updates_that_do_not_vary_carry_a_decay_wrongly() {
    let device = Device::flex();
    let numbers = normals(8, STEPS, MORE);
    let initial = &numbers[0];
    let delivered = |setting: &dyn Fn(f64, f64) -> Setting, lr, weight_decay, unit, stochastic| {
        let [without, with] = [0.0, weight_decay].map(|decay| {
            let parameter = tensor(initial, [MORE], &device);
            let mut setting = setting(lr, decay);
            setting.ways.stochastic_rounding = stochastic;
            let mut run = Run::new(setting.build(), lr, parameter);
            for step in 1..=STEPS {
                let mut gradient = numbers[step as usize].clone();
                if unit {
                    gradient
                        .iter_mut()
                        .for_each(|value| *value = value.signum());
                }
                run.step(tensor(&gradient, [MORE], &device));
            }
            values(&run.parameter)
        });
        fidelity(initial, &without, &with, lr, weight_decay)
    };
    let plain_sgdw = |lr, weight_decay| Setting {
        rule: Rule::Sgd(Sgd { momentum: None }),
        ..adamw(lr, weight_decay)
    };
    for (name, setting, lr, weight_decay, unit, nearest) in [
        (
            "AdamW",
            &adamw as &dyn Fn(f64, f64) -> Setting,
            1e-6,
            1e-2,
            false,
            1.0,
        ),
        ("AdamW", &adamw, 1e-7, 1e-1, false, 0.3),
        ("SgdW of ±1", &plain_sgdw, 1e-3, 1e-5, true, 1.5),
    ] {
        for (stochastic, expected) in [(false, nearest), (true, 1.0)] {
            let actual = delivered(setting, lr, weight_decay, unit, stochastic);
            let rounding = rounding(stochastic);
            println!("{name}, {lr:.0e}, {weight_decay:.0e}, {rounding}: {actual:.3}");
            assert!((actual - expected).abs() < 0.05, "{name}: {actual}");
        }
    }
}

//! Moments in bf16 and in 8 bits.

use std::sync::LazyLock;

use burn::optim::StateSink;
use burn::optim::momentum::MomentumConfig;
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_decay::{
    AdamL2Config, AdamState, AdamWConfig, DecayTarget, MomentPrecision, SgdL2Config, SgdState,
    SgdWConfig,
};

use crate::config::panic_message;
use crate::data::{hash, median, normal, normals};
use crate::forms::{Form, Optimizer, Run, State, forms, pairs, tensor, values};
use crate::records::{read, written};

pub const PRECISIONS: [MomentPrecision; 3] = [
    MomentPrecision::Full,
    MomentPrecision::Bf16,
    MomentPrecision::Bits8,
];
const QUANTIZED: [MomentPrecision; 2] = [MomentPrecision::Bf16, MomentPrecision::Bits8];

fn is_half(dtype: DType) -> bool {
    [DType::F16, DType::BF16].contains(&dtype)
}

/// Enough for 8 bits, and not a whole number of blocks.
const COUNT: usize = 4100;

fn adamw(precision: MomentPrecision) -> Optimizer {
    let config = AdamWConfig::torch().with_moment_precision(precision);
    Optimizer::AdamW(config.build())
}

fn optimizers(precision: MomentPrecision) -> [Optimizer; 6] {
    let momentum = Some(MomentumConfig::new().with_dampening(0.0));
    [
        adamw(precision),
        Optimizer::AdamW(
            AdamWConfig::torch()
                .with_weight_decay(0.5)
                .with_l1_decay(0.5)
                .with_decay_target(DecayTarget::Start)
                .with_stochastic_rounding(true)
                .with_moment_precision(precision)
                .build(),
        ),
        Optimizer::AdamW(
            AdamWConfig::torch()
                .with_amsgrad(true)
                .with_moment_precision(precision)
                .build(),
        ),
        Optimizer::AdamL2(
            AdamL2Config::torch()
                .with_moment_precision(precision)
                .build(),
        ),
        Optimizer::SgdW(
            SgdWConfig::new()
                .with_momentum(momentum.clone())
                .with_moment_precision(precision)
                .build(),
        ),
        Optimizer::SgdL2(
            SgdL2Config::new()
                .with_momentum(momentum)
                .with_moment_precision(precision)
                .build(),
        ),
    ]
}

/// The size of the gradient of each element: log-normal, and in the second half of each block of 32
/// `apart` times smaller.
fn sizes(apart: f32, count: usize) -> Vec<f32> {
    let sizes = normal(3, 0, count).into_iter().enumerate();
    sizes
        .map(|(i, size)| size.exp() / if i % 32 < 16 { 1.0 } else { apart })
        .collect()
}

fn gradient(step: u64, sizes: &[f32]) -> Vec<f32> {
    assert_eq!(sizes.len(), COUNT);
    // For all tests of updates: they take longer to make than the steps.
    static NUMBERS: LazyLock<Vec<Vec<f32>>> = LazyLock::new(|| normals(4, 4000, COUNT));
    let numbers = NUMBERS[step as usize].iter().zip(sizes);
    numbers.map(|(g, size)| g * size).collect()
}

/// A run with no decay and steps of size 1 from 0 shows its updates.
struct Updates {
    run: Run<1>,
}

impl Updates {
    fn new(precision: MomentPrecision, count: usize, form: &Form) -> Self {
        let adam = AdamWConfig::torch()
            .with_weight_decay(0.0)
            .with_moment_precision(precision);
        let zero = tensor(&vec![0.0; count], [count], &form.device);
        Self {
            run: Run::new(Optimizer::AdamW(adam.build()), 1.0, zero),
        }
    }

    fn step(&mut self, gradient: &[f32]) {
        let device = self.run.parameter.device();
        self.run.parameter = self.run.parameter.zeros_like();
        self.run.step(tensor(gradient, [gradient.len()], &device));
    }

    fn updates(&self) -> Vec<f64> {
        values(&self.run.parameter)
    }

    fn moment_2(&self) -> Vec<f64> {
        match &self.run.state {
            Some(State::Adam(state)) => values(&state.moment_2()),
            _ => panic!("Adam has a state"),
        }
    }
}

/// The root of the mean square of an update's difference from the exact one, over that of the exact
/// one; and how many times too large a step size is at most.
fn error_of_updates(precision: MomentPrecision, form: &Form, apart: f32) -> [f64; 2] {
    const STEPS: u64 = 600;
    let sizes = sizes(apart, COUNT);
    let [mut exact, mut quantized] =
        [MomentPrecision::Full, precision].map(|precision| Updates::new(precision, COUNT, form));
    let (mut difference, mut square, mut largest) = (0.0, 0.0, 0.0_f64);
    for step in 1..=STEPS {
        let gradient = gradient(step, &sizes);
        for run in [&mut exact, &mut quantized] {
            run.step(&gradient);
        }
        if step > STEPS / 2 {
            for (exact, actual) in exact.updates().iter().zip(quantized.updates()) {
                difference += (actual - exact).powi(2);
                square += exact.powi(2);
            }
        }
    }
    let [exact, quantized] = [&exact, &quantized].map(Updates::moment_2);
    for (exact, quantized) in exact.iter().zip(quantized) {
        largest = largest.max((exact / quantized).sqrt());
    }
    [(difference / square).sqrt(), largest]
}

#[test]
fn updates_are_close_to_the_exact_ones() {
    for form in forms() {
        for (precision, apart, most) in [
            (MomentPrecision::Bf16, 1.0, 0.03),
            (MomentPrecision::Bf16, 100.0, 0.03),
            (MomentPrecision::Bits8, 1.0, 0.10),
            (MomentPrecision::Bits8, 10.0, 0.12),
            (MomentPrecision::Bits8, 100.0, 0.18),
        ] {
            let [error, largest] = error_of_updates(precision, &form, apart);
            println!(
                "{}, {precision:?}, halves of a block {apart} apart: error {error:.3}, \
                 largest step size {largest:.2}",
                form.name
            );
            assert!(error < most, "{error}");
            assert!(largest < 3.0, "{largest}");
        }
    }
}

/// Half of a block's gradients fall tenfold. 2,000 steps later, the step size over the exact one.
/// To the nearest, v would have stayed where it was.
#[test]
fn a_second_moment_falls_when_its_gradients_do() {
    for form in forms() {
        let mut sizes = sizes(1.0, COUNT);
        let mut runs = PRECISIONS.map(|precision| Updates::new(precision, COUNT, &form));
        for step in 1..=2400 {
            if step == 401 {
                sizes.iter_mut().step_by(2).for_each(|size| *size *= 0.1);
            }
            let gradient = gradient(step, &sizes);
            for run in &mut runs {
                run.step(&gradient);
            }
        }
        let [exact, bf16, bits8] = runs.map(|run| run.moment_2());
        for (name, quantized, within) in [("bf16", bf16, 0.02), ("8 bits", bits8, 0.05)] {
            let fallen = exact.iter().zip(quantized).step_by(2);
            let ratio = median(
                fallen
                    .map(|(exact, quantized)| (exact / quantized).sqrt())
                    .collect(),
            );
            println!(
                "{}, {name}: step size {ratio:.3} of the exact one",
                form.name
            );
            assert!((ratio - 1.0).abs() < within, "{ratio}");
        }
    }
}

/// On average a second moment is right, whatever the rhythm of the gradients: its mean over the elements
/// and over the second half of the run, beside the exact one's.
#[test]
fn a_second_moment_is_right_on_average() {
    type Comes = fn(u64, usize) -> bool;
    let rhythms: [(&str, Comes); 4] = [
        ("in every step", |_, _| true),
        ("in every 3rd", |step, i| {
            (step + i as u64).is_multiple_of(3)
        }),
        ("in every 7th", |step, i| {
            (step + i as u64).is_multiple_of(7)
        }),
        // As a row of an embedding has them.
        ("in one of 50, at random", |step, i| {
            hash(step, i as u64 / 32).is_multiple_of(50)
        }),
    ];
    let form = &forms()[0];
    let sizes = sizes(1.0, COUNT);
    for (name, comes) in rhythms {
        let mut runs = PRECISIONS.map(|precision| Updates::new(precision, COUNT, form));
        let (mut sums, mut count) = ([0.0; 2], 0.0);
        for step in 1..=4000 {
            let mut gradient = gradient(step, &sizes);
            for (i, g) in gradient.iter_mut().enumerate() {
                if !comes(step, i) {
                    *g = 0.0;
                }
            }
            for run in &mut runs {
                run.step(&gradient);
            }
            if step > 2000 && step.is_multiple_of(100) {
                let [exact, bf16, bits8] = runs.each_ref().map(Updates::moment_2);
                for (i, exact) in exact.iter().enumerate().filter(|(_, exact)| **exact > 0.0) {
                    sums[0] += bf16[i] / exact;
                    sums[1] += bits8[i] / exact;
                    count += 1.0;
                }
            }
        }
        let [bf16, bits8] = sums.map(|sum| sum / count);
        println!("a gradient {name}: {bf16:.4} in bf16, {bits8:.4} in 8 bits");
        assert!((bf16 - 1.0).abs() < 0.003, "{name}: {bf16}");
        assert!((bits8 - 1.0).abs() < 0.015, "{name}: {bits8}");
    }
}

/// One pass and the portable form round alike, but where their arithmetic differs in the last bit.
#[test]
fn forms_keep_moments_alike() {
    for [own, portable] in pairs() {
        for precision in QUANTIZED {
            for (optimizer, count) in optimizers(precision)
                .into_iter()
                .flat_map(|it| [0, 1, 33, 4096, 4127, 70_001].map(|count| (it.clone(), count)))
            {
                let [own, portable] = [&own, &portable].map(|form| {
                    let of = |step| tensor(&normal(15, step, count), [count], &form.device);
                    let mut run = Run::new(optimizer.clone(), 1e-3, of(0));
                    (1..=4).for_each(|step| run.step(of(step)));
                    values(&run.parameter)
                });
                let apart = own.iter().zip(&portable);
                let apart = apart.map(|(own, portable)| (own - portable).abs());
                let apart: Vec<f64> = apart.filter(|apart| *apart > 1e-6).collect();
                let largest = apart.iter().fold(0.0, |one: f64, other| one.max(*other));
                assert!(
                    apart.len() <= count / 500 && largest < 1e-3,
                    "{precision:?}, {count}: {} apart, by {largest:e} at most",
                    apart.len()
                );
            }
        }
    }
}

/// The same numbers have the same codes in every form, to the bit. Without an average the moments are the
/// gradient and its square.
#[test]
fn the_same_numbers_have_the_same_codes() {
    let adam = AdamWConfig::torch().with_beta_1(0.0).with_beta_2(0.0);
    for [own, portable] in pairs() {
        for precision in QUANTIZED {
            let optimizer = Optimizer::AdamW(adam.clone().with_moment_precision(precision).build());
            let dtypes = own.dtypes.iter().filter(|dtype| !is_half(**dtype));
            let cases = [(4096, 1), (4127, 2), (70_001, 3)];
            for (&dtype, (count, steps)) in dtypes.flat_map(|it| cases.map(|case| (it, case))) {
                // Of all sizes that a block has codes for, and zeros.
                let normal = normal(17, steps, count).into_iter().enumerate();
                let numbers: Vec<f32> = normal
                    .map(|(i, number)| match i % 61 {
                        0 => 0.0,
                        size => number * 2f32.powi(size as i32 / 2 - 20),
                    })
                    .collect();
                let [own, portable] = [&own, &portable].map(|form| {
                    let of = |numbers: &[f32]| tensor(numbers, [count], &form.device).cast(dtype);
                    let mut run = Run::new(optimizer.clone(), 1e-3, of(&numbers));
                    // 0 stays 0, and the step counts.
                    (1..steps).for_each(|_| run.step(of(&vec![0.0; count])));
                    run.step(of(&numbers));
                    record(&run).tensors
                });
                let name = |(name, _): &(String, TensorData)| name.clone();
                assert_eq!(
                    own.iter().map(name).collect::<Vec<_>>(),
                    portable.iter().map(name).collect::<Vec<_>>()
                );
                for ((name, own), (_, portable)) in own.iter().zip(&portable) {
                    let pairs = own.as_bytes().iter().zip(portable.as_bytes());
                    let apart = pairs.filter(|(own, portable)| own != portable).count();
                    assert_eq!(apart, 0, "{name}, {dtype:?}, {precision:?}, {count}");
                }
            }
        }
    }
}

/// The largest of numbers that are rounded at random is too large, as the documentation says.
#[test]
fn the_maximum_of_amsgrad_drifts() {
    let device = Device::flex();
    let of = |step| tensor(&normal(16, step, 4096), [4096], &device);
    let mut runs = PRECISIONS.map(|precision| {
        let adam = AdamWConfig::torch().with_amsgrad(true);
        let adam = adam.with_moment_precision(precision).build();
        Run::new(Optimizer::AdamW(adam), 1e-3, of(0))
    });
    for step in 1..=8000 {
        let gradient = of(step);
        for run in &mut runs {
            run.step(gradient.clone());
        }
    }
    let [exact, bf16, bits8] = runs.map(|run| {
        let state = run.state.expect("Adam has a state").adam();
        values(&state.max_moment_2().expect("AMSGrad keeps it"))
    });
    for (name, quantized, expected) in [("bf16", bf16, 0.985), ("8 bits", bits8, 0.93)] {
        let pairs = exact.iter().zip(quantized);
        let ratio = median(
            pairs
                .map(|(exact, quantized)| (exact / quantized).sqrt())
                .collect(),
        );
        println!("AMSGrad, {name}: step size {ratio:.3} of the exact one");
        assert!((ratio - expected).abs() < 0.01, "{ratio}");
    }
}

/// What an element is rounded with depends on its place and the step alone.
#[test]
fn threads_do_not_show() {
    const LARGE: usize = (1 << 18) + 5;
    for form in crate::forms::one_pass_forms() {
        let numbers: Vec<_> = (0..=5)
            .map(|step| tensor(&normal(6, step, LARGE), [LARGE], &form.device))
            .collect();
        for precision in PRECISIONS {
            // Plain, and with weights that are rounded stochastically.
            let [plain, stochastic, ..] = optimizers(precision);
            for optimizer in [plain, stochastic] {
                let run = || {
                    let mut run = Run::new(optimizer.clone(), 1e-2, numbers[0].clone());
                    for gradient in &numbers[1..] {
                        run.step(gradient.clone());
                    }
                    run.parameter.into_data()
                };
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                let alone = pool.expect("a thread can be had").install(run);
                for _ in 0..3 {
                    assert!(run() == alone, "{} {precision:?}", form.name);
                }
            }
        }
    }
}

fn resumed<const D: usize>(run: &Run<D>, device: &Device, optimizer: Optimizer) -> Run<D> {
    let mut resumed = Run::new(optimizer, run.lr, run.parameter.clone());
    resumed.state = match run.state.as_ref().expect("it has a state") {
        State::Adam(state) => read(written(state), device).map(State::Adam),
        State::Sgd(state) => read(written(state), device).map(State::Sgd),
    };
    resumed
}

fn record<const D: usize>(run: &Run<D>) -> StateSink {
    match run.state.as_ref().expect("it has a state") {
        State::Adam(state) => written(state),
        State::Sgd(state) => written(state),
    }
}

#[test]
fn a_run_resumes_to_the_bit() {
    for form in forms() {
        for precision in QUANTIZED {
            for (optimizer, &dtype) in optimizers(precision)
                .iter()
                .flat_map(|optimizer| form.dtypes.iter().map(move |dtype| (optimizer, dtype)))
            {
                let of = |step| tensor(&normal(7, step, COUNT), [COUNT], &form.device).cast(dtype);
                let mut run = Run::new(optimizer.clone(), 1e-2, of(0));
                (1..=10).for_each(|step| run.step(of(step)));
                let mut resumed = resumed(&run, &form.device, optimizer.clone());
                assert!(resumed.state.is_some());
                for step in 11..=20 {
                    run.step(of(step));
                    resumed.step(of(step));
                }
                let [expected, actual] = [run, resumed].map(|run| run.parameter.into_data());
                assert!(expected == actual, "{} {precision:?} {dtype:?}", form.name);
            }
        }
    }
}

/// From any precision into any other: a step is near the one that goes on.
#[test]
fn a_checkpoint_goes_on_in_another_precision() {
    for form in forms() {
        for (from, to) in PRECISIONS
            .into_iter()
            .flat_map(|from| PRECISIONS.map(|to| (from, to)))
        {
            let of = |step| tensor(&normal(8, step, COUNT), [COUNT], &form.device);
            let pairs = optimizers(from).into_iter().zip(optimizers(to));
            for (optimizer, other) in pairs {
                let mut run = Run::new(optimizer, 1e-2, of(0));
                (1..=10).for_each(|step| run.step(of(step)));
                let mut resumed = resumed(&run, &form.device, other);
                let before = values(&run.parameter);
                run.step(of(11));
                resumed.step(of(11));
                let [went_on, changed] = [&run, &resumed].map(|run| {
                    let after = values(&run.parameter);
                    after
                        .iter()
                        .zip(&before)
                        .map(|(after, before)| after - before)
                        .collect::<Vec<_>>()
                });
                // A conversion is before the step that it shows in.
                let error = crate::data::distance(&went_on, &changed);
                let size = crate::data::distance(&went_on, &vec![0.0; COUNT]);
                assert!(
                    error < 0.1 * size,
                    "{} {from:?} to {to:?}: {error} of {size}",
                    form.name
                );
                let leaves: Vec<String> = names(&resumed);
                let coded = leaves.iter().any(|leaf| leaf.ends_with("_codes"));
                assert_eq!(coded, to == MomentPrecision::Bits8, "{leaves:?}");
            }
        }
    }
}

fn names<const D: usize>(run: &Run<D>) -> Vec<String> {
    let tensors = record(run).tensors.into_iter();
    tensors.map(|(name, _)| name).collect()
}

/// Bytes of a record for each parameter, in the parameter's precision.
fn bytes(optimizer: &Optimizer, dtype: DType) -> f64 {
    const LARGE: usize = 1 << 16;
    let device = Device::flex();
    let of = |step| tensor(&normal(9, step, LARGE), [LARGE], &device).cast(dtype);
    let mut run = Run::new(optimizer.clone(), 1e-3, of(0));
    run.step(of(1));
    let sink = record(&run);
    let bytes = |data: &TensorData| data.as_bytes().len();
    let bytes: usize = sink.tensors.iter().map(|(_, data)| bytes(data)).sum();
    bytes as f64 / LARGE as f64
}

#[test]
fn a_state_takes_as_many_bytes_as_the_documentation_says() {
    let of_a_moment = [4.0, 2.0, 1.03125];
    for (precision, of_a_moment) in PRECISIONS.into_iter().zip(of_a_moment) {
        let [adamw, _, amsgrad, _, sgdw, _] = optimizers(precision);
        for (optimizer, moments) in [(adamw, 2.0), (amsgrad, 3.0), (sgdw, 1.0)] {
            let expected = moments * of_a_moment;
            assert_eq!(bytes(&optimizer, DType::F32), expected);
            // And master weights.
            assert_eq!(bytes(&optimizer, DType::BF16), expected + 2.0);
        }
    }
}

/// As the guide has it: the scale of a block remembers its largest gradient.
#[test]
fn a_spike_slows_its_block() {
    const STEPS: u64 = 2000;
    let device = Device::flex();
    let zero = tensor(&[0.0; 4096], [4096], &device);
    let mut run = Run::new(adamw(MomentPrecision::Bits8), 1e-3, zero);
    for step in 1..=STEPS {
        let mut gradient = [1.0; 4096];
        if step == 10 {
            gradient[0] = 1e7;
        }
        run.step(tensor(&gradient, [4096], &device));
    }
    let moved = values(&run.parameter);
    let share = moved[1] / moved[32];
    println!("beside a gradient of 1e7 a weight has gone {share:.2} of the way");
    assert!((share - 0.19).abs() < 0.03, "{share}");
}

/// Small tensors are not worth it, and those of f64 are rounded as the others.
#[test]
fn small_tensors_keep_their_moments_whole_in_8_bits() {
    for form in forms() {
        let cases = [(4095, false), (4096, true)];
        for (&dtype, (count, coded)) in form
            .dtypes
            .iter()
            .flat_map(|it| cases.map(|case| (it, case)))
        {
            let of = |step| tensor(&normal(10, step, count), [count], &form.device).cast(dtype);
            let mut run = Run::new(adamw(MomentPrecision::Bits8), 1e-3, of(0));
            run.step(of(1));
            let found = names(&run).iter().any(|name| name.ends_with("_codes"));
            assert_eq!(found, coded, "{dtype:?}, {count}");
        }
    }
}

/// In half precision, with master weights: a run is the f32 run with the same moments, rounded.
#[test]
fn master_weights_and_small_moments_go_together() {
    for form in forms() {
        for (&dtype, precision) in form
            .dtypes
            .iter()
            .filter(|dtype| is_half(**dtype))
            .flat_map(|dtype| QUANTIZED.map(|precision| (dtype, precision)))
        {
            for optimizer in optimizers(precision) {
                // Rounded here: a device may leave out a rounding that it widens again.
                let of = |step, kept| {
                    let numbers = TensorData::new(normal(11, step, COUNT), [COUNT]);
                    let numbers = numbers.convert_dtype(dtype).convert_dtype(kept);
                    Tensor::<1>::from_data(numbers, (&form.device, kept))
                };
                let mut half = Run::new(optimizer.clone(), 1e-3, of(0, dtype));
                let mut full = Run::new(optimizer, 1e-3, of(0, DType::F32));
                for step in 1..=50 {
                    half.step(of(step, dtype));
                    full.step(of(step, DType::F32));
                }
                let half = values(&half.parameter);
                let full = full.parameter.into_data().convert_dtype(dtype);
                let full: Vec<f64> = full.iter::<f64>().collect();
                // A tie of bf16 is another's even number.
                let apart = half.iter().zip(&full).filter(|(half, full)| half != full);
                assert!(apart.count() <= 1, "{} {dtype:?} {precision:?}", form.name);
            }
        }
    }
}

#[test]
fn a_damaged_record_is_refused_by_name() {
    let device = Device::flex();
    let of = |step| tensor(&normal(12, step, COUNT), [COUNT], &device);
    let mut run = Run::new(adamw(MomentPrecision::Bits8), 1e-3, of(0));
    run.step(of(1));
    let state = run.state.expect("Adam has a state").adam();
    type Damage = fn(&mut Vec<(String, TensorData)>);
    let damages: [(Damage, &str); 6] = [
        (
            |tensors| tensors.retain(|(name, _)| !name.ends_with("moment_1_scales")),
            "momentum.moment_1_scales is missing",
        ),
        (
            |tensors| tensors.retain(|(name, _)| !name.ends_with("moment_2_codes")),
            "momentum.moment_2_codes is missing",
        ),
        (
            |tensors| replace(tensors, "moment_2_scales", vec![0; COUNT.div_ceil(32)]),
            "momentum.moment_2_scales holds 0",
        ),
        (
            |tensors| replace(tensors, "moment_1_scales", vec![100; 5]),
            "momentum.moment_1_scales has 5 elements, but there are 129 blocks",
        ),
        (
            |tensors| replace(tensors, "moment_1_codes", vec![0x80; COUNT]),
            "momentum.moment_1 holds NaN",
        ),
        (
            |tensors| {
                let halves = TensorData::new(vec![0.0_f32; COUNT], [COUNT]);
                put(tensors, "moment_1_codes", halves);
            },
            "momentum.moment_1_codes is in F32, not in u8",
        ),
    ];
    for (damage, expected) in damages {
        let mut sink = written(&state);
        damage(&mut sink.tensors);
        let message = panic_message(|| {
            let _ = read::<AdamState<1>>(sink, &Device::flex());
        });
        assert!(message.contains("parameter 42"), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

fn put(tensors: &mut [(String, TensorData)], leaf: &str, data: TensorData) {
    let (_, place) = tensors
        .iter_mut()
        .find(|(name, _)| name.ends_with(leaf))
        .expect("the record has it");
    *place = data;
}

fn replace(tensors: &mut [(String, TensorData)], leaf: &str, bytes: Vec<u8>) {
    let count = bytes.len();
    put(tensors, leaf, TensorData::new(bytes, [count]));
}

/// A record of Burn's SGD has no count of steps, on which what is random depends: it starts from 0.
#[test]
fn the_clock_of_sgd_is_recorded() {
    let device = Device::flex();
    let of = |step| tensor(&normal(13, step, COUNT), [COUNT], &device);
    let [.., sgd_l2] = optimizers(MomentPrecision::Full);
    let mut run = Run::new(sgd_l2, 1e-3, of(0));
    (1..=3).for_each(|step| run.step(of(step)));
    let state = run.state.expect("momentum has a state").sgd();
    let sink = written(&state);
    assert!(
        sink.scalars
            .iter()
            .any(|(name, _)| name == "42.momentum.steps")
    );
    let mut burns = written(&state);
    burns.scalars.clear();
    // Recorded again before a step, it still has none.
    let loaded = read::<SgdState<1>>(burns, &device).expect("it has a velocity");
    assert!(read::<SgdState<1>>(written(&loaded), &device).is_some());
}

#[test]
fn moments_of_gradients_that_overflow_end_as_in_f32() {
    for (form, precision) in forms()
        .iter()
        .flat_map(|form| QUANTIZED.map(|precision| (form, precision)))
    {
        let start = normal(14, 0, COUNT);
        let mut gradient = start.clone();
        gradient[17] = 1e30;
        let of = |values: &[f32]| tensor(values, [COUNT], &form.device);
        let mut run = Run::new(adamw(precision), 1e-3, of(&start));
        (0..5).for_each(|_| run.step(of(&gradient)));
        let state = run.state.expect("Adam has a state").adam();
        assert_eq!(values(&state.moment_2())[17], f64::INFINITY);
        let parameter = values(&run.parameter);
        assert!(parameter.iter().all(|value| value.is_finite()));
        // The others go on, five steps of 1e-3; in 8 bits its block without their first moments.
        let of_block = if precision == MomentPrecision::Bits8 {
            2.6e-3
        } else {
            1e-4
        };
        for (element, most) in [(18, of_block), (99, 1e-4)] {
            let moved = (parameter[element] - f64::from(start[element])).abs();
            assert!(
                (moved - 5e-3).abs() < most,
                "{} {precision:?}: {moved}",
                form.name
            );
        }
    }
}

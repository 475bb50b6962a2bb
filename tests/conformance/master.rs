//! Master weights: in half precision a run is the f32 run, rounded, to the bit.

use std::sync::LazyLock;

use burn::module::{Module, Param};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::tensor::{DType, Device, Tensor, TensorData, f16};
use burn_decay::{AdamL2Config, AdamWConfig, DecayTarget, SgdL2Config, SgdWConfig};

use crate::config::panic_message;
use crate::data::{normal, normals};
use crate::forms::{Form, Optimizer, Run, State, forms, pairs, tensor};
use crate::records::{read, written};

const COUNT: usize = 1024;
/// Of the first optimizer, plain AdamW, and of the others.
const STEPS: [u64; 2] = [2000, 250];

/// Learning rates and λ whose decay a rounding to 16 bits loses.
const SETTINGS: [(f64, f64); 4] = [(1e-3, 1e-4), (1e-4, 1e-4), (1e-5, 1e-2), (3e-4, 0.1)];

fn optimizers(decay: f64) -> [Optimizer; 6] {
    let momentum = Some(MomentumConfig::new().with_dampening(0.0));
    let sgdw = SgdWConfig::new().with_weight_decay(decay);
    let sgd_l2 = SgdL2Config::new().with_l2_penalty(decay);
    [
        Optimizer::AdamW(AdamWConfig::torch().with_weight_decay(decay).build()),
        Optimizer::AdamW(
            AdamWConfig::torch()
                .with_weight_decay(decay)
                .with_l1_decay(decay)
                .with_decay_target(DecayTarget::Start)
                .with_cautious_weight_decay(true)
                .with_stochastic_rounding(true)
                .build(),
        ),
        Optimizer::AdamL2(AdamL2Config::torch().with_l2_penalty(decay).build()),
        Optimizer::SgdW(sgdw.clone().with_momentum(momentum.clone()).build()),
        Optimizer::SgdL2(sgd_l2.with_momentum(momentum).build()),
        Optimizer::SgdW(sgdw.build()),
    ]
}

fn halves(form: &Form) -> impl Iterator<Item = DType> {
    let halves = [DType::F16, DType::BF16];
    halves
        .into_iter()
        .filter(|dtype| form.dtypes.contains(dtype))
}

/// Every optimizer on every form, in each half precision that it has.
fn cases(decay: f64) -> impl Iterator<Item = (Form, DType, Optimizer)> {
    forms().into_iter().flat_map(move |form| {
        let dtypes: Vec<DType> = halves(&form).collect();
        dtypes.into_iter().flat_map(move |dtype| {
            let form = form.clone();
            optimizers(decay).map(move |optimizer| (form.clone(), dtype, optimizer))
        })
    })
}

fn f32_values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

/// By way of the host: some drivers leave out a rounding to f16 that is widened again in one kernel.
pub fn widened<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    let data = TensorData::new(f32_values(tensor), tensor.shape());
    Tensor::from_data(data, (&tensor.device(), DType::F32))
}

/// To the nearest; a tie of bf16 goes away from zero, as the optimizers' documentation says.
pub fn rounded(value: f32, dtype: DType) -> f32 {
    match dtype {
        DType::F16 => f16::from_f32(value).to_f32(),
        _ => f32::from_bits((value.to_bits() + 0x8000) & 0xffff_0000),
    }
}

static NUMBERS: LazyLock<Vec<Vec<f32>>> = LazyLock::new(|| normals(5, STEPS[0], COUNT));

/// A run in half precision, and the same in f32.
struct Pair {
    dtype: DType,
    half: Run<1>,
    full: Run<1>,
}

impl Pair {
    fn new(optimizer: &Optimizer, lr: f64, dtype: DType, device: &Device) -> Self {
        let parameter = tensor(&NUMBERS[0], [COUNT], device).cast(dtype);
        let full = widened(&parameter);
        Self {
            dtype,
            half: Run::new(optimizer.clone(), lr, parameter),
            full: Run::new(optimizer.clone(), lr, full),
        }
    }

    fn steps(&mut self, steps: std::ops::Range<u64>) {
        let device = self.half.parameter.device();
        for step in steps {
            let gradient = TensorData::new(NUMBERS[step as usize + 1].clone(), [COUNT]);
            let gradient = gradient.convert_dtype(self.dtype);
            let gradient = Tensor::<1>::from_data(gradient, (&device, self.dtype));
            self.full.step(widened(&gradient));
            self.half.step(gradient);
        }
    }

    /// How many weights are not the rounding of the f32 run's.
    fn apart(&self) -> usize {
        let full = f32_values(&self.full.parameter);
        let half = f32_values(&self.half.parameter);
        assert_eq!(self.half.parameter.dtype(), self.dtype);
        let pairs = half.into_iter().zip(full);
        pairs
            .filter(|(half, full)| half.to_bits() != rounded(*full, self.dtype).to_bits())
            .count()
    }
}

#[test]
fn a_run_in_half_precision_is_the_f32_run_rounded() {
    for (lr, decay) in SETTINGS {
        for (i, (form, dtype, optimizer)) in cases(decay).enumerate() {
            let mut pair = Pair::new(&optimizer, lr, dtype, &form.device);
            let [steps, fewer] = STEPS;
            let is_first = i % optimizers(decay).len() == 0;
            let steps = if is_first { steps } else { fewer };
            // A tie comes once in 65,536 roundings.
            for start in (0..steps).step_by(50) {
                pair.steps(start..start + 50);
                assert_eq!(pair.apart(), 0, "{} {dtype:?} {lr} {decay}", form.name);
            }
        }
    }
}

/// What the switch turns off: many weights are elsewhere.
#[test]
fn without_master_weights_a_run_goes_astray() {
    let adam = AdamWConfig::torch().with_master_weights(false).build();
    let device = Device::flex();
    for dtype in [DType::F16, DType::BF16] {
        let mut pair = Pair::new(&Optimizer::AdamW(adam.clone()), 1e-4, dtype, &device);
        pair.steps(0..200);
        assert!(pair.apart() > COUNT / 5, "{dtype:?}: {}", pair.apart());
    }
}

/// A gradient in f32, as one of a loss that is computed in f32, is not rounded.
#[test]
fn a_gradient_in_f32_reaches_the_master_weights() {
    for (form, dtype, optimizer) in cases(1e-2) {
        let mut pair = Pair::new(&optimizer, 1e-4, dtype, &form.device);
        for step in 1..=40 {
            let gradient = tensor(&normal(6, step, COUNT), [COUNT], &form.device);
            // In turn with gradients in the parameter's own precision.
            let gradient = if step % 2 == 0 {
                gradient.cast(dtype)
            } else {
                gradient
            };
            pair.half.step(gradient.clone());
            pair.full.step(widened(&gradient));
        }
        assert_eq!(pair.apart(), 0, "{} {dtype:?}", form.name);
    }
}

/// A record loaded, an average taken: what is changed counts, and only that.
#[test]
fn a_changed_parameter_is_taken_as_it_is() {
    for (form, dtype, optimizer) in cases(1e-2) {
        let mut pair = Pair::new(&optimizer, 1e-4, dtype, &form.device);
        pair.steps(0..10);
        let other = tensor(&normal(9, 0, COUNT), [COUNT], &form.device).cast(dtype);
        let (half, full) = (pair.half.parameter.clone(), pair.full.parameter.clone());
        let differs = half.clone().not_equal(other.clone());
        let changed = other.clone().greater_scalar(0.5).bool_and(differs);
        pair.half.parameter = half.mask_where(changed.clone(), other.clone());
        pair.full.parameter = full.mask_where(changed, widened(&other));
        pair.steps(10..20);
        assert_eq!(pair.apart(), 0, "{} {dtype:?}", form.name);
    }
}

fn reread(state: State<1>, device: &Device) -> Option<State<1>> {
    match state {
        State::Adam(state) => read(written(&state), device).map(State::Adam),
        State::Sgd(state) => read(written(&state), device).map(State::Sgd),
    }
}

#[test]
fn a_checkpoint_of_one_form_resumes_in_another() {
    for [own, portable] in pairs() {
        for (from, to) in [(&own, &portable), (&portable, &own), (&own, &own)] {
            for dtype in halves(from) {
                for optimizer in optimizers(1e-2) {
                    let mut pair = Pair::new(&optimizer, 1e-4, dtype, &from.device);
                    pair.steps(0..20);
                    for run in [&mut pair.half, &mut pair.full] {
                        let data = run.parameter.to_data();
                        let dtype = run.parameter.dtype();
                        run.parameter = Tensor::from_data(data, (&to.device, dtype));
                        run.state = run.state.take().and_then(|state| reread(state, &to.device));
                    }
                    pair.steps(20..40);
                    let names = (from.name, to.name);
                    assert_eq!(pair.apart(), 0, "{names:?} {dtype:?}");
                }
            }
        }
    }
}

/// The bytes of state a parameter, in a record.
fn recorded(run: &Run<1>) -> usize {
    let sink = match run.state.as_ref().expect("it has a state") {
        State::Adam(state) => written(state),
        State::Sgd(state) => written(state),
    };
    let bytes = |data: &TensorData| data.num_elements() * data.dtype().size();
    let tensors = sink.tensors.iter().map(|(_, data)| bytes(data));
    tensors.sum::<usize>() / COUNT
}

#[test]
fn they_take_two_bytes_in_bf16_and_four_in_f16() {
    for form in forms() {
        for dtype in halves(&form) {
            let [adamw, .., sgdw] = optimizers(1e-2);
            let master = if dtype == DType::BF16 { 2 } else { 4 };
            for (optimizer, moments) in [(adamw, 8), (sgdw, 0)] {
                let mut pair = Pair::new(&optimizer, 1e-4, dtype, &form.device);
                pair.steps(0..2);
                assert_eq!(recorded(&pair.half), moments + master, "{}", form.name);
                if moments > 0 {
                    assert_eq!(recorded(&pair.full), moments);
                }
            }
        }
    }
}

#[test]
fn a_record_that_cannot_be_right_is_refused_by_name() {
    let device = Device::flex();
    let [adamw, ..] = optimizers(1e-2);
    let mut pair = Pair::new(&adamw, 1e-4, DType::BF16, &device);
    pair.steps(0..2);
    let state = pair.half.state.take().expect("it has a state").adam();
    let with = |master: TensorData| {
        let mut sink = written(&state);
        let mut tensors = sink.tensors.iter_mut();
        let (_, kept) = tensors
            .find(|(name, _)| name.ends_with("master_weights"))
            .expect("it is recorded");
        *kept = master;
        panic_message(|| read::<burn_decay::AdamState<1>>(sink, &device))
    };
    let of_i32 = with(TensorData::zeros::<i32, _>([COUNT]));
    assert!(
        of_i32.contains("parameter 42: momentum.master_weights is in I32"),
        "{of_i32}"
    );
    let short = with(TensorData::zeros::<i16, _>([7]));
    assert!(
        short.contains("momentum.master_weights has the shape"),
        "{short}"
    );
}

/// What is below the last bit of the parameter, what is largest, and what is no number.
#[test]
fn all_numbers_survive() {
    let largest = f32::from_bits(0x7f7f_ffff);
    let gradients = [0.0, 1e-30, f32::INFINITY, f32::NAN, 1.0];
    let parameters = [0.0, -0.0, 1e-40, 3.0e38, -3.3895e38, largest, 1.0];
    let sgd = SgdWConfig::new().with_weight_decay(0.0).build();
    for [own, portable] in pairs() {
        for form in [own, portable] {
            if !form.dtypes.contains(&DType::BF16) {
                continue;
            }
            for gradient in gradients {
                let of =
                    |values: &[f32]| tensor(values, [values.len()], &form.device).cast(DType::BF16);
                let optimizer = Optimizer::SgdW(sgd.clone());
                let mut half = Run::new(optimizer.clone(), 1e-3, of(&parameters));
                let mut full = Run::new(optimizer, 1e-3, of(&parameters).cast(DType::F32));
                for _ in 0..3 {
                    half.step(of(&[gradient; 7]));
                    full.step(of(&[gradient; 7]).cast(DType::F32));
                }
                let full = f32_values(&full.parameter);
                for (half, full) in f32_values(&half.parameter).into_iter().zip(full) {
                    let expected = if full.is_nan() {
                        full
                    } else {
                        rounded(full, DType::BF16)
                    };
                    let same = half == expected || half.is_nan() && expected.is_nan();
                    assert!(same, "{} {gradient}: {half} for {full}", form.name);
                }
            }
        }
    }
}

/// What is recorded without master weights, by Burn's own optimizer for one, starts from the
/// parameter.
#[test]
fn a_record_without_them_loads() {
    for form in forms() {
        for dtype in halves(&form) {
            let [adamw, ..] = optimizers(1e-2);
            let mut pair = Pair::new(&adamw, 1e-3, dtype, &form.device);
            pair.steps(0..3);
            let mut sink = written(&pair.half.state.take().expect("it has a state").adam());
            sink.tensors
                .retain(|(name, _)| !name.ends_with("master_weights"));
            pair.half.state = read(sink, &form.device).map(State::Adam);
            pair.full.parameter = widened(&pair.half.parameter);
            pair.steps(3..6);
            assert_eq!(pair.apart(), 0, "{} {dtype:?}", form.name);
        }
    }
}

/// Where a record's master weights cannot be the parameter's, the parameter counts: no NaN.
#[test]
fn a_record_of_another_parameter_makes_no_nan() {
    for (form, dtype, optimizer) in cases(1e-2) {
        let mut pair = Pair::new(&optimizer, 1e-4, dtype, &form.device);
        pair.steps(0..20);
        let state = pair.half.state.take().expect("it has a state");
        pair.half.state = reread(state, &form.device);
        // Zeros of both signs, which a lower half may turn into a NaN.
        let pruned = pair.half.parameter.clone() * 0.0;
        pair.half.parameter = pruned.clone();
        pair.full.parameter = widened(&pruned);
        pair.steps(20..22);
        let all = f32_values(&pair.half.parameter);
        assert!(all.iter().all(|value| value.is_finite()), "{}", form.name);
        assert!(
            pair.apart() <= COUNT / 100,
            "{}: {}",
            form.name,
            pair.apart()
        );
    }
}

/// They are not kept while they are of no use: turned on again, they start from the parameter.
#[test]
fn what_is_turned_off_is_forgotten() {
    let device = Device::flex();
    for dtype in [DType::F16, DType::BF16] {
        let adam = |on| Optimizer::AdamW(AdamWConfig::torch().with_master_weights(on).build());
        let mut pair = Pair::new(&adam(true), 1e-4, dtype, &device);
        pair.steps(0..5);
        pair.half.optimizer = adam(false);
        pair.steps(5..10);
        assert_eq!(recorded(&pair.half), 8);
        pair.half.optimizer = adam(true);
        pair.full.parameter = widened(&pair.half.parameter);
        pair.steps(10..15);
        assert_eq!(pair.apart(), 0, "{dtype:?}");
    }
}

#[test]
fn those_of_another_shape_are_refused_by_name() {
    let device = Device::flex();
    let [adamw, .., sgdw] = optimizers(1e-2);
    for dtype in [DType::F16, DType::BF16] {
        for (optimizer, field) in [(&adamw, "moment_1"), (&sgdw, "master_weights")] {
            let mut pair = Pair::new(optimizer, 1e-4, dtype, &device);
            pair.steps(0..2);
            let state = pair.half.state.take().expect("it has a state");
            pair.half.state = reread(state, &device);
            pair.half.parameter = pair.half.parameter.clone().narrow(0, 0, COUNT / 2);
            let gradient = pair.half.parameter.clone();
            let message = panic_message(|| pair.half.step(gradient));
            let expected = format!("the state of parameter 42: {field} has the shape [{COUNT}]");
            assert!(message.starts_with(&expected), "{message}");
        }
    }
}

/// A record that was read from a file does not need the file any more.
#[test]
fn a_record_outlives_its_file() {
    let device = Device::flex();
    let parameter = tensor(&normal(5, 0, 99), [99], &device).cast(DType::BF16);
    let mut model = Weights {
        weights: Param::from_tensor(Tensor::from_inner(parameter)),
    };
    let step = |model: Weights, optimizer: &mut ModuleOptimizer, step| {
        let gradient = tensor(&normal(5, step, 99), [99], &device).cast(DType::BF16);
        let mut gradients = GradientsParams::new();
        gradients.register(model.weights.id, gradient);
        optimizer.step(1e-4, model, gradients)
    };
    let mut optimizer = AdamWConfig::torch().init();
    for i in 1..=5 {
        model = step(model, &mut optimizer, i);
    }
    let path = std::env::temp_dir().join(format!("burn-decay-{}.bpk", std::process::id()));
    optimizer
        .to_record()
        .save(&path)
        .expect("the folder can be written to");
    let record = OptimizerRecord::load(&path).expect("it was written");
    let mut resumed = AdamWConfig::torch().init().load_record(record);
    std::fs::remove_file(&path).expect("it is there");
    let mut other = model.clone();
    for i in 6..=10 {
        model = step(model, &mut optimizer, i);
        other = step(other, &mut resumed, i);
    }
    assert_eq!(
        model.weights.val().into_data(),
        other.weights.val().into_data()
    );
}

#[derive(Module, Debug)]
struct Weights {
    weights: Param<Tensor<1>>,
}

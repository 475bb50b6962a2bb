//! Checkpoints of ours resume to the bit, and what cannot be right in one is refused by name.

use burn::optim::momentum::MomentumConfig;
use burn::optim::{RecordState, StateSink, StateSource};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_decay::{
    AdamL2Config, AdamState, AdamWConfig, DecaySchedule, DecayTarget, SgdL2Config, SgdState,
    SgdWConfig, SimpleOptimizer,
};

use crate::config::panic_message;
use crate::data::{noise, to_f32};
use crate::forms::{Optimizer, Run, State, forms, tensor, values};

/// What Burn keys a parameter's state with.
const ID: &str = "42";

pub fn written(state: &impl RecordState) -> StateSink {
    let mut sink = StateSink::default();
    state.state_flatten(ID, &mut sink);
    sink
}

pub fn read<S: RecordState>(sink: StateSink, device: &Device) -> Option<S> {
    let mut source = StateSource::new(sink.scalars.into_iter().collect());
    for (name, data) in sink.tensors {
        source.insert_tensor(name, data);
    }
    S::state_unflatten(ID, &mut source, device)
}

fn optimizers() -> Vec<Optimizer> {
    let momentum = Some(MomentumConfig::new());
    let schedule = DecaySchedule::Cosine {
        end: 0.9,
        steps: 30,
    };
    let start = DecayTarget::Start;
    // A clock alone, a start alone, both and moments.
    let clock = SgdWConfig::new().with_decay_schedule(schedule);
    let towards = SgdL2Config::new().with_decay_target(start);
    let both = AdamWConfig::new()
        .with_weight_decay(0.5)
        .with_decay_schedule(schedule)
        .with_decay_target(start)
        .with_l1_decay(0.1)
        .with_stochastic_rounding(true);
    let mut all = vec![
        Optimizer::SgdL2(SgdL2Config::new().with_momentum(momentum.clone()).build()),
        Optimizer::SgdW(SgdWConfig::new().with_momentum(momentum).build()),
        Optimizer::SgdW(clock.build()),
        Optimizer::SgdL2(towards.with_l2_penalty(0.5).build()),
        Optimizer::AdamW(both.build()),
    ];
    for amsgrad in [false, true] {
        all.push(Optimizer::AdamL2(
            AdamL2Config::new().with_amsgrad(amsgrad).build(),
        ));
        all.push(Optimizer::AdamW(
            AdamWConfig::new().with_amsgrad(amsgrad).build(),
        ));
    }
    all
}

#[test]
fn a_run_resumes_to_the_bit_in_every_precision() {
    const SHAPE: [usize; 2] = [9, 31];
    for form in forms() {
        for &dtype in &form.dtypes {
            for optimizer in optimizers() {
                let of = |step: u64| -> Tensor<2> {
                    let numbers = to_f32(&noise(3, step, SHAPE[0] * SHAPE[1]));
                    tensor(&numbers, SHAPE, &form.device).cast(dtype)
                };
                let mut run = Run::new(optimizer.clone(), 1e-2, of(0));
                for step in 1..=20 {
                    run.step(of(step));
                }
                let mut resumed = Run::new(optimizer, 1e-2, run.parameter.clone());
                resumed.state = match run.state.as_ref().expect("it has a state") {
                    State::Adam(state) => read(written(state), &form.device).map(State::Adam),
                    State::Sgd(state) => read(written(state), &form.device).map(State::Sgd),
                };
                assert!(resumed.state.is_some());
                for step in 21..=40 {
                    run.step(of(step));
                    resumed.step(of(step));
                }
                let [expected, actual] = [run, resumed].map(|run| run.parameter.into_data());
                assert_eq!(expected, actual, "{} {dtype:?}", form.name);
            }
        }
    }
}

/// Burn reads a record onto the default device and moves it to the parameter's at the next step.
#[test]
fn moments_in_f64_stay_so_where_the_default_device_has_no_f64() {
    let states = states(DType::F64);
    for form in forms() {
        let read: AdamState<1> = read(written(&states.0), &form.device).expect("it is whole");
        let dtypes = [read.moment_1(), read.moment_2()].map(|moment| moment.dtype());
        assert_eq!(dtypes, [DType::F64; 2], "{}", form.name);
    }
}

/// Of Adam with AMSGrad and of SGD, for a parameter of three numbers.
fn states(dtype: DType) -> (AdamState<1>, SgdState<1>) {
    let of = |numbers: [f32; 3]| tensor(&numbers, [3], &Device::flex()).cast(dtype);
    let [theta, gradient] = [[1.0; 3], [0.5, -0.25, 1.0]].map(of);
    let adam = AdamWConfig::new().with_amsgrad(true).build();
    let sgd = SgdWConfig::new()
        .with_momentum(Some(MomentumConfig::new()))
        .build();
    let (_, adam) = adam.step(0.1, theta.clone(), gradient.clone(), None);
    let (_, sgd) = sgd.step(0.1, theta, gradient, None);
    (
        adam.expect("Adam has a state"),
        sgd.expect("momentum is a state"),
    )
}

fn without(mut sink: StateSink, leaf: &str) -> StateSink {
    let name = format!("{ID}.momentum.{leaf}");
    sink.scalars.retain(|(scalar, _)| *scalar != name);
    sink.tensors.retain(|(tensor, _)| *tensor != name);
    sink
}

fn with(sink: StateSink, leaf: &str, data: TensorData) -> StateSink {
    let mut sink = without(sink, leaf);
    sink.push_tensor(&format!("{ID}.momentum"), leaf, data);
    sink
}

#[test]
fn what_cannot_be_right_is_refused_by_name() {
    let device = Device::flex();
    let (adam, sgd) = states(DType::F32);
    let adam = || written(&adam);
    let timed = |time: i64| {
        let mut sink = without(adam(), "time");
        sink.push_scalar(&format!("{ID}.momentum"), "time", time.into());
        sink
    };
    let mut latest = without(adam(), "time");
    latest.push_scalar(&format!("{ID}.momentum"), "time", u64::MAX.into());
    let numbers = |numbers: &[f32]| TensorData::from(numbers);
    let time = "time must be a whole number from 1 to 2⁵³";
    let cases = [
        (timed(-1), time),
        (timed(0), time),
        (timed(i64::MAX), time),
        (latest, time),
        (without(adam(), "time"), "time is missing"),
        (without(adam(), "moment_1"), "moment_1 is missing"),
        (without(adam(), "moment_2"), "moment_2 is missing"),
        (
            with(adam(), "moment_2", numbers(&[1.0, -1e-3, 1.0])),
            "moment_2 holds -0.0010000000474974513",
        ),
        (
            with(adam(), "max_moment_2", numbers(&[1.0, f32::NAN, 1.0])),
            "max_moment_2 holds NaN",
        ),
        (
            with(adam(), "moment_1", numbers(&[f32::INFINITY, 1.0, 1.0])),
            "moment_1 holds inf",
        ),
        (
            with(adam(), "moment_2", numbers(&[1.0; 4])),
            "moment_2 has the shape [4], but the rest of the state [3]",
        ),
        (
            with(adam(), "moment_1", TensorData::new(vec![1.0f32; 3], [3, 1])),
            "moment_1 is of rank 2, and should be of rank 1",
        ),
        (
            with(adam(), "moment_1", TensorData::from([1, 2, 3])),
            "moment_1 is in I32, not in floating point",
        ),
        (
            with(adam(), "start", numbers(&[1.0, f32::NAN, 0.0])),
            "start holds NaN",
        ),
        (
            with(adam(), "start", numbers(&[1.0; 4])),
            "start has the shape [4], but the rest of the state [3]",
        ),
    ];
    for (sink, expected) in cases {
        let message = panic_message(|| read::<AdamState<1>>(sink, &device));
        let expected = format!("the optimizer's record of parameter {ID}: momentum.{expected}");
        assert_eq!(message, expected);
    }

    let sgd = with(written(&sgd), "velocity", numbers(&[1.0, f32::NAN, 0.0]));
    let message = panic_message(|| read::<SgdState<1>>(sgd, &device));
    assert_eq!(
        message,
        "the optimizer's record of parameter 42: momentum.velocity holds NaN"
    );
}

#[test]
fn a_state_of_another_shape_than_the_parameter_is_refused_by_name() {
    let device = Device::flex();
    let (adam, sgd) = states(DType::F32);
    let zeros = || Tensor::<1>::zeros([4], &device);
    let adam: AdamState<1> = read(written(&adam), &device).expect("it is whole");
    let message = panic_message(|| {
        AdamWConfig::new()
            .build()
            .step(0.1, zeros(), zeros(), Some(adam))
    });
    assert_eq!(
        message,
        "the state of parameter 42: moment_1 has the shape [3], but the parameter [4]"
    );
    let sgd: SgdState<1> = read(written(&sgd), &device).expect("it is whole");
    let config = SgdWConfig::new().with_momentum(Some(MomentumConfig::new()));
    let message = panic_message(|| config.build().step(0.1, zeros(), zeros(), Some(sgd)));
    assert_eq!(
        message,
        "the state of parameter 42: velocity has the shape [3], but the parameter [4]"
    );
}

/// As the documentation has it: the parameter starts afresh, and alone.
#[test]
fn the_record_of_another_kind_of_optimizer_is_a_fresh_start() {
    let device = Device::flex();
    let (adam, sgd) = states(DType::F32);
    assert!(read::<SgdState<1>>(written(&adam), &device).is_none());
    assert!(read::<AdamState<1>>(written(&sgd), &device).is_none());
    assert!(read::<AdamState<1>>(StateSink::default(), &device).is_none());

    let without_max: AdamState<1> =
        read(without(written(&adam), "max_moment_2"), &device).expect("the rest is whole");
    assert!(without_max.max_moment_2().is_none());
}

/// A square that overflowed is a part of a run like any other.
#[test]
fn an_infinite_second_moment_is_read() {
    let device = Device::flex();
    let (adam, _) = states(DType::F32);
    let infinite = TensorData::from([f32::INFINITY, 1.0, 0.0]);
    let state: Option<AdamState<1>> = read(with(written(&adam), "moment_2", infinite), &device);
    assert!(state.is_some());
}

/// Its largest second moment neither stays in memory and in records, nor counts when it is turned on again.
#[test]
fn amsgrad_that_is_turned_off_is_forgotten() {
    for form in forms() {
        let of = |number: f32| tensor(&[number; 3], [3], &form.device);
        let [with, without] = [true, false]
            .map(|amsgrad| Optimizer::AdamW(AdamWConfig::new().with_amsgrad(amsgrad).build()));
        let mut run = Run::new(with.clone(), 1e-3, of(1.0));
        run.step(of(100.0));
        let largest = |run: &Run<1>| match &run.state {
            Some(State::Adam(state)) => state.max_moment_2().map(|largest| values(&largest)[0]),
            _ => panic!("Adam has a state"),
        };
        let before = largest(&run).expect("AMSGrad keeps it");
        run.optimizer = without;
        run.step(of(0.0));
        assert_eq!(largest(&run), None, "{}", form.name);
        run.optimizer = with;
        run.step(of(0.0));
        let after = largest(&run).expect("AMSGrad keeps it");
        assert!(after < before, "{}: {after}, {before}", form.name);
    }
}

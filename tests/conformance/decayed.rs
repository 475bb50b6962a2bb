//! Burn's other optimizers with a decay of ours.

use std::sync::LazyLock;

use burn::module::ParamGroup;
use burn::nn::{Linear, LinearConfig};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{
    AdaGradConfig, AdafactorConfig, AdanConfig, GradientsParams, LambConfig, LionConfig, LionState,
    ModuleOptimizer, MuonConfig, Optimizer, RmsPropConfig, SgdConfig,
};
use burn::tensor::{DType, Device, Tensor};
use burn_decay::{
    AdamWConfig, DecayScaling, DecaySchedule, DecayTarget, Decayed, DecayedConfig, DecayedState,
    SgdWConfig,
};

use crate::data::{distance, noise, normals, to_f32};
use crate::forms::{devices, forms, tensor, values};
use crate::master::{rounded, widened};
use crate::records::{read, written};

/// Calls `$check($name, optimizer, …)` on each that has no decay of its own turned on.
macro_rules! of_each_inner {
    ($check:ident $(, $argument:expr)*) => {
        $check("Lion", LionConfig::new().build() $(, $argument)*);
        $check("Muon", MuonConfig::new().build() $(, $argument)*);
        $check("RMSProp", RmsPropConfig::new().build() $(, $argument)*);
        $check("AdaGrad", AdaGradConfig::new().build() $(, $argument)*);
        $check("Adan", AdanConfig::new().build() $(, $argument)*);
    };
}

const SHAPE: [usize; 2] = [8, 64];
const COUNT: usize = SHAPE[0] * SHAPE[1];

fn numbers(step: u64, device: &Device) -> Tensor<2> {
    tensor(&to_f32(&noise(9, step, COUNT)), SHAPE, device)
}

struct Run<O: Optimizer> {
    optimizer: O,
    lr: f64,
    parameter: Tensor<2>,
    state: Option<O::State<2>>,
}

impl<O: Optimizer> Run<O> {
    fn new(optimizer: O, lr: f64, parameter: Tensor<2>) -> Self {
        Self {
            optimizer,
            lr,
            parameter,
            state: None,
        }
    }

    fn step(&mut self, gradient: Tensor<2>) {
        let state = self.state.take();
        (self.parameter, self.state) =
            self.optimizer
                .step(self.lr, self.parameter.clone(), gradient, state);
    }
}

/// The weights after fifty steps on a device.
fn trained(optimizer: impl Optimizer, device: &Device) -> Vec<f64> {
    let mut run = Run::new(optimizer, 1e-2, numbers(0, device));
    for step in 1..=50 {
        run.step(numbers(step, device));
    }
    values(&run.parameter)
}

#[test]
fn without_decay_the_step_is_burns_own_to_the_bit() {
    fn check<O: Optimizer>(name: &str, inner: O) {
        for form in forms() {
            let undecayed = DecayedConfig::new().with_weight_decay(0.0);
            let ours = trained(undecayed.build(inner.clone()), &form.device);
            let burns = trained(inner.clone(), &form.device);
            // A GPU may contract Burn's multiplication and subtraction into one rounding.
            if form.name == "wgpu" {
                let apart = ours.iter().zip(&burns).map(|(a, b)| (a - b).abs());
                assert!(apart.fold(0.0, f64::max) < 1e-4, "{name} on {}", form.name);
            } else {
                assert_eq!(ours, burns, "{name} on {}", form.name);
            }
        }
    }
    of_each_inner!(check);
}

/// Burn's RMSProp and AdaGrad have only the penalty in the gradient.
#[test]
fn a_large_decay_is_burns_own_where_burn_decouples_it() {
    fn check<O: Optimizer>(name: &str, undecayed: O, burns_own: O) {
        for form in forms() {
            let decay = DecayedConfig::new().with_weight_decay(0.5);
            let ours = trained(decay.build(undecayed.clone()), &form.device);
            let burns = trained(burns_own.clone(), &form.device);
            for (ours, burns) in ours.iter().zip(&burns) {
                assert!((ours - burns).abs() < 1e-5, "{name}: {ours}, {burns}");
            }
        }
    }
    let lion = LionConfig::new();
    check("Lion", lion.build(), lion.with_weight_decay(0.5).build());
    let muon = MuonConfig::new();
    let penalty = Some(WeightDecayConfig::new(0.5));
    check(
        "Muon",
        muon.build(),
        muon.with_weight_decay(penalty).build(),
    );
    let adan = AdanConfig::new().with_no_prox(true);
    check("Adan", adan.build(), adan.with_weight_decay(0.5).build());
}

/// The share of the decay that arrives, as in fidelity.rs. Burn's own, for those that have one, beside it.
#[test]
fn the_decay_you_set_is_the_decay_you_get() {
    const SHAPE: [usize; 2] = [16, 256];
    const STEPS: u64 = 2000;

    static NUMBERS: LazyLock<Vec<Vec<f32>>> =
        LazyLock::new(|| normals(12, STEPS, SHAPE[0] * SHAPE[1]));

    fn delivered<O: Optimizer>(pair: [O; 2], lr: f64, weight_decay: f64) -> f64 {
        let device = Device::flex();
        let numbers = |step: u64| tensor(&NUMBERS[step as usize], SHAPE, &device);
        let [without, with] = pair.map(|optimizer| {
            let mut run = Run::new(optimizer, lr, numbers(0));
            for step in 1..=STEPS {
                run.step(numbers(step));
            }
            values(&run.parameter)
        });
        let initial = values(&numbers(0));
        let square: f64 = initial.iter().map(|theta| theta * theta).sum();
        let lost = initial.iter().zip(without).zip(with);
        let lost: f64 = lost
            .map(|((theta, without), with)| (without - with) * theta)
            .sum();
        lost / square / (1.0 - (1.0 - lr * weight_decay).powi(STEPS as i32))
    }
    fn check<O: Optimizer>(name: &str, inner: O, burns_own: impl Fn(f64) -> Option<O>) {
        for (lr, weight_decay, lost) in [(1e-4, 1e-4, 0.0), (5e-6, 1e-2, 1.72)] {
            let ours = [0.0, weight_decay].map(|weight_decay| {
                DecayedConfig::new()
                    .with_weight_decay(weight_decay)
                    .build(inner.clone())
            });
            let ours = delivered(ours, lr, weight_decay);
            let burns = burns_own(weight_decay)
                .map(|burns| delivered([inner.clone(), burns], lr, weight_decay));
            println!("{name}: lr {lr:.0e}, λ {weight_decay:.0e}: {ours:.3}, Burn's {burns:.3?}");
            assert!((ours - 1.0).abs() < 0.02, "{name}: {ours}");
            if let Some(burns) = burns {
                assert!((burns - lost).abs() < 0.02, "{name}: Burn's {burns}");
            }
        }
    }
    check("Lion", LionConfig::new().build(), |decay| {
        Some(LionConfig::new().with_weight_decay(decay as f32).build())
    });
    // Updates of one size: to the nearest they carry the decay wrongly, as the guide says.
    let nearest = [0.0, 1e-4].map(|weight_decay| {
        let decayed = DecayedConfig::new().with_weight_decay(weight_decay);
        let decayed = decayed.with_stochastic_rounding(false);
        decayed.build(LionConfig::new().build())
    });
    let nearest = delivered(nearest, 1e-4, 1e-4);
    println!("Lion, rounded to the nearest: {nearest:.3}");
    assert!((nearest - 1.42).abs() < 0.01, "{nearest}");
    check("Muon", MuonConfig::new().build(), |decay| {
        let decay = Some(WeightDecayConfig::new(decay as f32));
        Some(MuonConfig::new().with_weight_decay(decay).build())
    });
    check("RMSProp", RmsPropConfig::new().build(), |_| None);
    check("AdaGrad", AdaGradConfig::new().build(), |_| None);
    let adan = AdanConfig::new().with_no_prox(true);
    check("Adan", adan.build(), |decay| {
        Some(adan.clone().with_weight_decay(decay as f32).build())
    });
}

#[test]
fn checkpoints_go_both_ways_and_resume_to_the_bit() {
    fn check<O: Optimizer>(name: &str, inner: O) {
        let device = Device::flex();
        let config = DecayedConfig::new()
            .with_weight_decay(0.1)
            .with_decay_target(DecayTarget::Start)
            .with_decay_schedule(DecaySchedule::Linear {
                end: 0.5,
                steps: 15,
            });
        let decayed = || config.build(inner.clone());
        let mut run = Run::new(decayed(), 1e-2, numbers(0, &device));
        for step in 1..=10 {
            run.step(numbers(step, &device));
        }
        let state = run.state.clone().expect("it has a state");

        let mut resumed = Run::new(decayed(), 1e-2, run.parameter.clone());
        resumed.state = read(written(&state), &device);
        let read_state: &DecayedState<_, 2> = resumed.state.as_ref().expect("it was written");
        assert_eq!(read_state.time(), 10);

        // What the inner one reads of it, and what it wrote itself.
        let mut inner_alone = Run::new(inner.clone(), 1e-2, run.parameter.clone());
        inner_alone.state = read(written(&state), &device);
        assert!(inner_alone.state.is_some(), "{name}");
        let plain = DecayedConfig::new().with_weight_decay(0.0);
        let mut from_inner = Run::new(plain.build(inner.clone()), 1e-2, run.parameter.clone());
        let inner_state = inner_alone.state.as_ref().expect("it was read");
        from_inner.state = read(written(inner_state), &device);
        assert!(from_inner.state.is_some(), "{name}");

        for step in 11..=20 {
            let gradient = numbers(step, &device);
            run.step(gradient.clone());
            resumed.step(gradient.clone());
            inner_alone.step(gradient.clone());
            from_inner.step(gradient);
        }
        assert_eq!(
            run.parameter.to_data(),
            resumed.parameter.to_data(),
            "{name}"
        );
        assert_eq!(
            inner_alone.parameter.to_data(),
            from_inner.parameter.to_data(),
            "{name}"
        );
        assert_ne!(
            run.parameter.to_data(),
            inner_alone.parameter.to_data(),
            "{name}"
        );
    }
    of_each_inner!(check);
}

/// Around plain SGD it is SgdW, with every option.
#[test]
fn around_sgd_it_is_sgdw() {
    macro_rules! all {
        ($with:ident, $($value:expr),*) => {
            (
                stringify!($with),
                DecayedConfig::new().$with($($value),*),
                SgdWConfig::new().$with($($value),*),
            )
        };
    }
    let schedule = DecaySchedule::Linear {
        end: 3.0,
        steps: 10,
    };
    for (option, decayed, sgdw) in [
        all!(with_cautious_weight_decay, true),
        all!(with_l1_decay, 0.5),
        all!(with_decay_target, DecayTarget::Start),
        all!(with_decay_schedule, schedule),
        all!(with_decay_scaling, DecayScaling::Schedule { max_lr: 0.2 }),
        all!(with_decay_scaling, DecayScaling::Corrected { max_lr: 0.2 }),
        all!(with_decay_vectors, false),
        all!(with_stochastic_rounding, false),
    ] {
        for form in forms() {
            let of = |step: u64| numbers(step, &form.device);
            let sgd = SgdConfig::new().build();
            let decayed = decayed.clone().with_weight_decay(1.0).build(sgd);
            let sgdw = sgdw.clone().with_weight_decay(1.0).build();
            let mut ours = Run::new(decayed, 0.1, of(0));
            let mut expected = Run::new(sgdw, 0.1, of(0));
            let plain = SgdWConfig::new().with_weight_decay(1.0).build();
            let mut plain = Run::new(plain, 0.1, of(0));
            for step in 1..=20 {
                ours.step(of(step));
                expected.step(of(step));
                plain.step(of(step));
            }
            let apart = |other: &Tensor<2>| distance(&values(&ours.parameter), &values(other));
            let (name, expected) = (form.name, &expected.parameter);
            assert!(
                apart(expected) < 1e-5,
                "{option}, {name}: {:e}",
                apart(expected)
            );
            let changes = !option.contains("vectors") && !option.contains("rounding");
            let plain = apart(&plain.parameter);
            assert!(!changes || plain > 1e-2, "{option}, {name}: {plain:e}");
        }
    }
}

/// The inner one then steps in f32, on the gradients as they are.
#[test]
fn in_half_precision_it_is_the_f32_run_rounded() {
    fn check<O: Optimizer>(name: &str, inner: O) {
        for form in forms() {
            for dtype in [DType::BF16, DType::F16] {
                if !form.dtypes.contains(&dtype) {
                    continue;
                }
                let decayed = || {
                    DecayedConfig::new()
                        .with_weight_decay(0.1)
                        .build(inner.clone())
                };
                let halved = |step: u64| numbers(step, &form.device).cast(dtype);
                let mut in_half = Run::new(decayed(), 1e-4, halved(0));
                let mut in_full = Run::new(decayed(), 1e-4, widened(&halved(0)));
                for step in 1..=100 {
                    in_half.step(halved(step));
                    in_full.step(widened(&halved(step)));
                }
                assert_eq!(in_half.parameter.dtype(), dtype);
                let in_full = values(&in_full.parameter);
                for (half, full) in values(&in_half.parameter).iter().zip(in_full) {
                    let expected = f64::from(rounded(full as f32, dtype));
                    assert_eq!(*half, expected, "{name} {dtype:?}");
                }
            }
        }
    }
    of_each_inner!(check);
}

/// As people use it: a group of a module for Muon, and the rest for AdamW.
#[test]
fn a_group_of_a_module_takes_it() {
    for device in devices() {
        let (lr, decay) = (0.1, 0.5);
        let muon = DecayedConfig::new().with_weight_decay(decay);
        let muon = muon.build(MuonConfig::new().build());
        let mut optimizer = AdamWConfig::new().with_weight_decay(0.0).init().with_group(
            ParamGroup::from_path("weight"),
            muon,
            None,
        );
        let mut model: Linear = LinearConfig::new(4, 4).init(&device);
        let before = values(&model.weight.val());
        // Gradients of 0 leave the decay alone.
        for _ in 0..3 {
            let bias = model.bias.as_ref().expect("it has one");
            let mut gradients = GradientsParams::new();
            gradients.register(model.weight.id, model.weight.val().inner().zeros_like());
            gradients.register(bias.id, bias.val().inner().ones_like());
            model = optimizer.step(lr, model, gradients);
        }
        let left = (1.0 - lr * decay).powi(3);
        for (before, after) in before.iter().zip(values(&model.weight.val())) {
            assert!((after - before * left).abs() < 1e-6, "{before} {after}");
        }
        let bias = values(&model.bias.as_ref().expect("it has one").val());
        assert!(bias.iter().all(|bias| bias.abs() > 0.0));
    }
}

/// As a layer has that is frozen when the wrapper takes over.
#[test]
fn a_record_that_was_loaded_and_not_stepped_is_recorded_again() {
    let device = Device::flex();
    let lion = LionConfig::new().build();
    let (_, state) = lion.step(1e-2, numbers(0, &device), numbers(1, &device), None);
    let loaded: DecayedState<LionState<2>, 2> =
        read(written(&state.expect("Lion has one")), &device).expect("it is Lion's");
    let again: Option<DecayedState<LionState<2>, 2>> = read(written(&loaded), &device);
    assert_eq!(again.expect("it is whole").time(), 0);
}

#[test]
fn an_optimizer_whose_update_depends_on_the_weight_is_refused() {
    fn refused<O: Optimizer>(inner: O) {
        let error = DecayedConfig::new()
            .try_build(inner)
            .err()
            .expect("it is refused");
        assert_eq!(error.field(), "inner");
        assert!(error.value() > 0.0, "{error}");
        assert!(
            error.to_string().contains("does not depend on the weight"),
            "{error}"
        );
    }
    refused(LambConfig::new().build());
    // Its distance from where it started, which does not change where it is.
    let towards_start = SgdWConfig::new().with_decay_target(DecayTarget::Start);
    refused(towards_start.with_weight_decay(1e-2).build());
    refused(AdafactorConfig::new().build());
    refused(LionConfig::new().with_weight_decay(1e-4).build());
    refused(AdanConfig::new().with_weight_decay(1e-4).build());
    let penalty = Some(WeightDecayConfig::new(1e-3));
    refused(MuonConfig::new().with_weight_decay(penalty.clone()).build());
    refused(AdaGradConfig::new().with_weight_decay(penalty).build());
    // Updates of thirty times the learning rate are rounded more than those of one.
    let rmsprop = RmsPropConfig::new().with_alpha(0.999).with_epsilon(1e-8);
    assert!(DecayedConfig::new().try_build(rmsprop.build()).is_ok());
    assert!(
        DecayedConfig::new()
            .try_build_without_trial(LambConfig::new().build())
            .is_ok()
    );
    let adafactor = AdafactorConfig::new().with_scale_parameter(false);
    let accepted: Result<Decayed<_>, _> = DecayedConfig::new().try_build(adafactor.build());
    assert!(accepted.is_ok());
    let _: ModuleOptimizer = DecayedConfig::new().init(adafactor.build());
}

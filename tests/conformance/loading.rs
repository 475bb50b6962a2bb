//! Records that are damaged, or of something else, are refused and named before anything is lost.

use burn::module::{Module, Param, ParamGroup};
use burn::nn::{Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdaGradConfig, AdafactorConfig, AdanConfig, GradientsParams, LambConfig, LionConfig,
    ModuleOptimizer, MuonConfig, Optimizer, OptimizerRecord, RecordState, RmsPropConfig, SgdConfig,
    StateSink, StateSource,
};
use burn::tensor::{Bytes, DType, Device, Tensor};
use burn_decay::{
    AdamL2Config, AdamWConfig, DecaySchedule, DecayTarget, DecayedConfig, LoadError,
    MomentPrecision, SgdL2Config, SgdWConfig, try_load_record,
};

use crate::data::{noise, to_f32};
use crate::forms::{tensor, values};

#[derive(Module, Debug)]
struct Model {
    first: Param<Tensor<2>>,
    second: Param<Tensor<2>>,
}

const SHAPE: [usize; 2] = [64, 80];

fn numbers(step: u64, device: &Device) -> Tensor<2> {
    tensor(
        &to_f32(&noise(31, step, SHAPE[0] * SHAPE[1])),
        SHAPE,
        device,
    )
}

impl Model {
    fn new() -> Self {
        let device = Device::flex().autodiff();
        let [first, second] = [0, 1].map(|seed| Param::from_tensor(numbers(seed, &device)));
        Self { first, second }
    }

    fn step(self, optimizer: &mut ModuleOptimizer, step: u64) -> Self {
        let mut gradients = GradientsParams::new();
        for parameter in [&self.first, &self.second] {
            gradients.register(parameter.id, numbers(step, &Device::flex()));
        }
        optimizer.step(1e-2, self, gradients)
    }

    fn values(&self) -> Vec<f64> {
        let [first, second] = [&self.first, &self.second].map(|it| values(&it.val()));
        [first, second].concat()
    }
}

/// The optimizers that records are taken of, and tried on.
fn optimizers() -> Vec<(&'static str, ModuleOptimizer)> {
    let momentum = Some(MomentumConfig::new());
    let small = AdamWConfig::new()
        .with_moment_precision(MomentPrecision::Bits8)
        .with_decay_target(DecayTarget::Start);
    let lion = LionConfig::new().build();
    let burns_sgd = SgdConfig::new().with_momentum(momentum.clone());
    vec![
        ("AdamW", AdamWConfig::new().init()),
        ("AdamW in 8 bits, towards the start", small.init()),
        ("AdamL2", AdamL2Config::new().with_amsgrad(true).init()),
        (
            "SgdW",
            SgdWConfig::new().with_momentum(momentum.clone()).init(),
        ),
        ("SgdL2", SgdL2Config::new().with_momentum(momentum).init()),
        ("Lion, decayed", DecayedConfig::new().init(lion.clone())),
        ("Lion", lion.into()),
        ("Muon", MuonConfig::new().build().into()),
        ("Burn's AdamW", burn::optim::AdamWConfig::new().init()),
        ("Burn's Adam", burn::optim::AdamConfig::new().init()),
        ("Burn's SGD", burns_sgd.init()),
        ("AdaGrad", AdaGradConfig::new().build().into()),
        ("Adafactor", AdafactorConfig::new().build().into()),
        ("Adan", AdanConfig::new().build().into()),
        ("LAMB", LambConfig::new().build().into()),
        ("RMSProp", RmsPropConfig::new().build().into()),
    ]
}

/// A model and an optimizer after some steps.
fn trained(optimizer: &ModuleOptimizer) -> (Model, ModuleOptimizer) {
    let (mut model, mut optimizer) = (Model::new(), optimizer.clone());
    for step in 2..6 {
        model = model.step(&mut optimizer, step);
    }
    (model, optimizer)
}

#[test]
fn a_whole_record_is_loaded_and_goes_on() {
    for (name, optimizer) in optimizers() {
        let (model, mut trained) = trained(&optimizer);
        let record = trained.to_record();
        let loaded = try_load_record(optimizer, record, &model);
        let mut loaded = loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = model.clone().step(&mut trained, 9).values();
        assert_eq!(model.step(&mut loaded, 9).values(), expected, "{name}");
    }
    // An empty record is whole where there is nothing to keep, and may be damaged elsewhere.
    let (plain, adamw) = (SgdWConfig::new().init(), AdamWConfig::new().init());
    let empty = plain.to_record();
    assert!(try_load_record(plain, empty, &Model::new()).is_ok());
    let error = try_load_record(adamw.clone(), adamw.to_record(), &Model::new()).err();
    let error = error.expect("it lacks moments").to_string();
    assert!(error.ends_with(": has no state"), "{error}");
}

/// A square overflows where its gradient does not, and ends the updates of its weight.
#[test]
fn a_square_that_overflowed_is_taken() {
    for (name, optimizer) in optimizers() {
        if !["AdamW", "AdaGrad", "RMSProp"].contains(&name) {
            continue;
        }
        let mut trained = optimizer.clone();
        let model = Model::new();
        let mut gradients = GradientsParams::new();
        for parameter in [&model.first, &model.second] {
            gradients.register(parameter.id, numbers(1, &Device::flex()) * 1e25);
        }
        let model = trained.step(1e-2, model, gradients);
        let loaded = try_load_record(optimizer, trained.to_record(), &model);
        assert!(
            loaded.is_ok(),
            "{name}: {}",
            loaded.err().expect("an error")
        );
    }
}

#[test]
fn the_record_of_another_optimizer_is_refused() {
    // Those of one row read each other's.
    let families: [&[&str]; 10] = [
        &[
            "AdamW",
            "AdamW in 8 bits, towards the start",
            "AdamL2",
            "Burn's AdamW",
            "Burn's Adam",
        ],
        &["SgdW", "SgdL2", "Burn's SGD"],
        &["Lion, decayed"],
        &["Lion"],
        &["Muon"],
        &["AdaGrad"],
        &["Adafactor"],
        &["Adan"],
        &["LAMB"],
        &["RMSProp"],
    ];
    let family = |name| families.iter().position(|family| family.contains(&name));
    let (mut refused, mut loaded) = (0, 0);
    for (from, optimizer) in optimizers() {
        let (model, trained) = trained(&optimizer);
        for (into, other) in optimizers() {
            match try_load_record(other, trained.to_record(), &model) {
                Ok(_) => {
                    let both = [from, into];
                    let lion = both.iter().all(|it| it.starts_with("Lion"));
                    // Muon's momentum is SGD's velocity, by name and meaning.
                    let sgd = |name| family(name) == family("SgdW");
                    let muon = both.contains(&"Muon") && both.into_iter().any(sgd);
                    let kin = family(from) == family(into) || lion || muon;
                    assert!(kin, "{from} into {into}");
                    loaded += 1;
                }
                Err(error) => {
                    let parameter = model.first.id.val().to_string();
                    let second = model.second.id.val().to_string();
                    let text = error.to_string();
                    assert!(
                        text.contains(&parameter) || text.contains(&second),
                        "{text}"
                    );
                    refused += 1;
                }
            }
        }
    }
    println!("{loaded} loaded, {refused} refused");
    assert!(loaded >= 15 && refused >= 40);
}

/// As the documentation says: from Burn's optimizers, and back to them.
#[test]
fn records_go_both_ways() {
    let all = optimizers();
    let of = |wanted| {
        let found = all.iter().find(|(name, _)| *name == wanted);
        found.expect("it is in the list").1.clone()
    };
    for [one, other] in [
        ["AdamW", "Burn's AdamW"],
        ["AdamW", "Burn's Adam"],
        ["SgdW", "Burn's SGD"],
        ["SgdL2", "Burn's SGD"],
        ["Lion, decayed", "Lion"],
    ] {
        for [from, into] in [[one, other], [other, one]] {
            let (model, trained) = trained(&of(from));
            let loaded = try_load_record(of(into), trained.to_record(), &model);
            assert!(loaded.is_ok(), "{from} into {into}: {:?}", loaded.err());
        }
    }
}

/// A record of nothing but a clock, a start or master weights is no state of an optimizer that has moments.
#[test]
fn a_state_without_its_moments_is_refused() {
    let schedule = DecaySchedule::Linear {
        end: 0.5,
        steps: 10,
    };
    let of_clocks = [
        SgdWConfig::new().with_decay_schedule(schedule).init(),
        SgdWConfig::new()
            .with_decay_target(DecayTarget::Start)
            .init(),
        DecayedConfig::new().init(SgdConfig::new().build()),
    ];
    for optimizer in of_clocks {
        let (model, trained) = trained(&optimizer);
        for (name, into) in optimizers() {
            let loaded = try_load_record(into, trained.to_record(), &model);
            let text = loaded
                .err()
                .unwrap_or_else(|| panic!("{name}: it is taken"));
            let text = text.to_string();
            let named = ["has no state", "is missing", "is not of this optimizer"];
            assert!(
                named.iter().any(|end| text.ends_with(end)),
                "{name}: {text}"
            );
        }
        // It is all that these need.
        assert!(try_load_record(optimizer, trained.to_record(), &model).is_ok());
    }
    let plain = SgdConfig::new().init();
    let counting = SgdWConfig::new().with_decay_schedule(schedule).init();
    let (model, trained) = trained(&counting);
    assert!(try_load_record(plain, trained.to_record(), &model).is_ok());
}

/// Burn chooses a parameter's group by the path in the record.
#[test]
fn a_renamed_parameter_is_refused() {
    #[derive(Module, Debug)]
    struct Renamed {
        third: Param<Tensor<2>>,
        second: Param<Tensor<2>>,
    }
    let adamw = || AdamWConfig::new().init();
    let (model, trained) = trained(&adamw());
    let renamed = Renamed {
        third: model.first.clone(),
        second: model.second.clone(),
    };
    let error = try_load_record(adamw(), trained.to_record(), &renamed).err();
    let text = error.expect("it is refused").to_string();
    assert!(text.contains("third: it was first, by which"), "{text}");
}

/// An optimizer that neither Burn nor this crate knows: it keeps a number for a parameter, and what may be
/// negative or infinite.
#[derive(Clone)]
struct OfAUser {
    scale: f32,
}

#[derive(Clone)]
struct OfAUsersState<const D: usize> {
    scale: Tensor<1>,
    sum: Tensor<D>,
    smallest: Tensor<D>,
}

/// By hand: Burn's derive is for Burn's own crates.
impl<const D: usize> RecordState for OfAUsersState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, "scale", self.scale.to_data());
        out.push_tensor(prefix, "sum", self.sum.to_data());
        out.push_tensor(prefix, "smallest", self.smallest.to_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let mut take = |leaf| source.take_tensor(prefix, leaf);
        Some(Self {
            scale: Tensor::from_data(take("scale")?, device),
            sum: Tensor::from_data(take("sum")?, device),
            smallest: Tensor::from_data(take("smallest")?, device),
        })
    }
}

impl Optimizer for OfAUser {
    type State<const D: usize> = OfAUsersState<D>;

    fn step<const D: usize>(
        &self,
        lr: f64,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let state = state.unwrap_or_else(|| OfAUsersState {
            scale: Tensor::from_data([self.scale], &tensor.device()),
            sum: tensor.zeros_like(),
            smallest: tensor.full_like(f32::INFINITY),
        });
        let scale: f32 = state.scale.clone().into_scalar();
        let tensor = tensor - grad.clone() * (lr * f64::from(scale));
        let sum = state.sum - grad;
        (tensor, Some(OfAUsersState { sum, ..state }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        OfAUsersState {
            scale: state.scale.to_device(device),
            sum: state.sum.to_device(device),
            smallest: state.smallest.to_device(device),
        }
    }
}

#[test]
fn any_optimizers_record_is_taken() {
    let of = |scale| ModuleOptimizer::from(OfAUser { scale });
    let optimizer = of(2.0);
    let (model, mut trained) = trained(&optimizer);
    let loaded = try_load_record(optimizer.clone(), trained.to_record(), &model);
    let mut loaded = loaded.expect("it is whole");
    let expected = model.clone().step(&mut trained, 9).values();
    assert_eq!(model.clone().step(&mut loaded, 9).values(), expected);

    let mut gradients = GradientsParams::new();
    gradients.register(model.first.id, numbers(1, &Device::flex()) * f32::NAN);
    gradients.register(model.second.id, numbers(1, &Device::flex()));
    let model = trained.step(1e-2, model, gradients);
    let error = try_load_record(optimizer.clone(), trained.to_record(), &model).err();
    let text = error.expect("it holds a NaN").to_string();
    assert!(text.ends_with("first: sum holds NaN"), "{text}");

    let mut infinite = of(f32::INFINITY);
    let model = Model::new();
    let _ = model.clone().step(&mut infinite, 1);
    let error = try_load_record(optimizer, infinite.to_record(), &model).err();
    let text = error.expect("0 times infinity").to_string();
    assert!(text.ends_with("a step with it makes weights NaN"), "{text}");
}

#[test]
fn the_record_of_another_model_is_refused() {
    let adamw = || AdamWConfig::new().init();
    let (model, trained) = trained(&adamw());
    let error = |module: &Model| {
        let loaded = try_load_record(adamw(), trained.to_record(), module);
        loaded.err().expect("it is refused").to_string()
    };
    assert!(error(&Model::new()).ends_with("is not in the module"));
    let mut grown = model.clone();
    grown.second = Param::from_tensor(numbers(7, &Device::flex().autodiff()));
    assert!(error(&grown).contains("is not in the module"));
    let mut reshaped = model.clone();
    let turned = numbers(0, &Device::flex().autodiff())
        .reshape([80, 64])
        .detach();
    reshaped.first = Param::initialized(reshaped.first.id, turned.require_grad());
    let text = error(&reshaped);
    assert!(
        text.contains("first: momentum.moment_1 has the shape [64, 80]"),
        "{text}"
    );
}

/// Burn keeps the state of a parameter that is frozen in mid-training.
#[test]
fn a_frozen_parameter_may_have_a_state() {
    let adamw = || AdamWConfig::new().init();
    let (model, trained) = trained(&adamw());
    let frozen = model.no_grad();
    assert!(try_load_record(adamw(), trained.to_record(), &frozen).is_ok());
    assert!(try_load_record(adamw(), adamw().to_record(), &frozen).is_ok());
}

/// Burn's own read a state in the default precision, whatever it was recorded in, and panic in the next step.
#[test]
fn a_state_that_is_read_in_another_precision_is_refused() {
    fn loaded(optimizer: ModuleOptimizer, dtype: DType) -> Result<ModuleOptimizer, LoadError> {
        let device = Device::flex();
        let weights = |seed| numbers(seed, &device).cast(dtype);
        let [first, second] =
            [0, 1].map(|seed| Param::from_tensor(Tensor::from_inner(weights(seed))));
        let model = Model { first, second };
        let mut gradients = GradientsParams::new();
        gradients.register(model.first.id, weights(2));
        gradients.register(model.second.id, weights(3));
        let mut trained = optimizer.clone();
        let model = trained.step(1e-2, model, gradients);
        try_load_record(optimizer, trained.to_record(), &model)
    }
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        let burns = loaded(burn::optim::AdamWConfig::new().init(), dtype);
        match burns {
            Ok(_) => assert_eq!(dtype, DType::F32),
            Err(error) => assert!(error.to_string().ends_with("reads it in F32"), "{error}"),
        }
        for precision in crate::moments::PRECISIONS {
            let ours = AdamWConfig::new().with_moment_precision(precision);
            assert!(
                loaded(ours.init(), dtype).is_ok(),
                "{dtype:?} {precision:?}"
            );
        }
    }
}

#[test]
fn a_parameter_without_a_state_is_named() {
    let adamw = || AdamWConfig::new().init();
    let mut model = Model::new();
    let mut optimizer = adamw();
    let mut gradients = GradientsParams::new();
    gradients.register(model.first.id, numbers(3, &Device::flex()));
    model = optimizer.step(1e-2, model, gradients);
    let error = try_load_record(adamw(), optimizer.to_record(), &model).err();
    let text = error.expect("it is refused").to_string();
    assert!(text.ends_with("second: has no state"), "{text}");
}

/// SGD without momentum has none of a parameter, also in a group, or of biases that do not decay.
#[test]
fn a_parameter_that_needs_no_state_may_have_none() {
    let sgdw = SgdWConfig::new().with_decay_target(DecayTarget::Start);
    let plain = SgdWConfig::new().build();
    let grouped = || {
        let adamw = AdamWConfig::new().init();
        adamw.with_group(ParamGroup::from_path("second"), plain.clone(), None)
    };
    let (model, trained) = trained(&grouped());
    assert!(try_load_record(grouped(), trained.to_record(), &model).is_ok());

    let device = Device::flex().autodiff();
    let mut linear: Linear = LinearConfig::new(3, 2).init(&device);
    let optimizer = || sgdw.clone().with_decay_vectors(false).init();
    let mut trained = optimizer();
    let loss = linear.forward(Tensor::<2>::ones([1, 3], &device)).sum();
    let gradients = GradientsParams::from_grads(loss.backward(), &linear);
    linear = trained.step(0.1, linear, gradients);
    assert!(try_load_record(optimizer(), trained.to_record(), &linear).is_ok());
    // One of a single row fits no matrix of two.
    let adamw = || AdamWConfig::new().init();
    let (mut model, mut trained) = (Model::new(), adamw());
    let row = numbers(0, &device).slice([0..1, 0..80]).detach();
    model.first = Param::initialized(model.first.id, row.require_grad());
    let mut gradients = GradientsParams::new();
    gradients.register(
        model.first.id,
        numbers(1, &Device::flex()).slice([0..1, 0..80]),
    );
    gradients.register(model.second.id, numbers(1, &Device::flex()));
    model = trained.step(0.1, model, gradients);
    let whole = numbers(0, &device).detach().require_grad();
    model.first = Param::initialized(model.first.id, whole);
    let error = try_load_record(adamw(), trained.to_record(), &model).err();
    let text = error.expect("it is refused").to_string();
    assert!(text.contains("has the shape [1, 80]"), "{text}");
}

/// Thousands of flipped bits and cuts: an error, or all of it is read. No panic comes through, no state
/// is lost, and no weight becomes a NaN.
#[test]
fn damage_is_an_error_or_a_number() {
    let cases: u64 = std::env::var("PROPTEST_CASES").map_or(300, |cases| {
        cases.parse().expect("PROPTEST_CASES is a number")
    });
    for (name, optimizer) in optimizers() {
        let (model, mut trained) = trained(&optimizer);
        let whole = trained.into_bytes().expect("it can be written").to_vec();
        let expected = model.clone().step(&mut trained, 9).values();
        let afresh = model.clone().step(&mut optimizer.clone(), 9).values();
        let [mut refused, mut equal, mut other, mut infinite] = [0; 4];
        // What becomes of the same with Burn's `load_record`.
        let [mut panics, mut lost, mut nans] = [0; 3];
        for case in 0..cases {
            let random = |i: u64, below: usize| {
                let bits = (case * 4 + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                ((bits ^ bits >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) as usize % below
            };
            let mut damaged = whole.clone();
            if case % 8 == 0 {
                damaged.truncate(random(0, whole.len()));
            } else if case % 2 == 0 {
                // In the header, which is small beside the numbers.
                damaged[random(0, whole.len().min(1500))] ^= 1 << random(1, 8);
            } else {
                damaged[random(0, whole.len())] ^= 1 << random(1, 8);
            }
            let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(damaged.clone()));
            if let Ok(record) = record {
                let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let mut loaded = optimizer.clone().load_record(record);
                    model.clone().step(&mut loaded, 9).values()
                }));
                match stepped {
                    Err(_) => panics += 1,
                    Ok(weights) if weights == afresh => lost += 1,
                    Ok(weights) => nans += u64::from(weights.iter().any(|it| !it.is_finite())),
                }
            }
            let load = || {
                let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(damaged))?;
                try_load_record(optimizer.clone(), record, &model)
            };
            let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(load));
            let Ok(mut loaded) = loaded.unwrap_or_else(|_| panic!("{name}, {case}: a panic"))
            else {
                refused += 1;
                continue;
            };
            let weights = model.clone().step(&mut loaded, 9).values();
            assert!(
                weights.iter().all(|weight| !weight.is_nan()),
                "{name}, {case}: NaN"
            );
            assert!(weights != afresh, "{name}, {case}: all is lost");
            // A moment that has become as large as 1e38 is a number too.
            infinite += u64::from(weights.iter().any(|weight| weight.is_infinite()));
            if weights == expected {
                equal += 1;
            } else {
                other += 1;
            }
        }
        println!(
            "{name}: {refused} refused, {equal} equal, {other} with another number, {infinite} infinite"
        );
        println!("  by Burn's load_record {panics} panics, {lost} lost, {nans} not finite");
        assert!(refused > cases / 10, "{name}");
    }
}

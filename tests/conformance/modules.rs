//! What a training loop does to a module and its optimizer between steps.

use burn::module::{Module, Param, ParamGroup};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Tensor};
use burn_decay::{AdamL2Config, AdamWConfig, SgdWConfig};

use crate::data::{noise, to_f32};
use crate::forms::{devices, devices_with_f64, tensor, values};

const SHAPE: [usize; 2] = [12, 11];

#[derive(Module, Debug)]
struct Model {
    first: Param<Tensor<2>>,
    second: Param<Tensor<2>>,
}

fn numbers(seed: u64, step: u64, device: &Device) -> Tensor<2> {
    tensor(
        &to_f32(&noise(seed, step, SHAPE[0] * SHAPE[1])),
        SHAPE,
        device,
    )
}

impl Model {
    fn new(device: &Device) -> Self {
        let [first, second] = [1, 2].map(|seed| Param::from_tensor(numbers(seed, 0, device)));
        Self { first, second }
    }

    /// With gradients for those parameters whose names are given.
    fn step(self, optimizer: &mut ModuleOptimizer, step: u64, names: &[&str]) -> Self {
        let mut gradients = GradientsParams::new();
        let parameters = [("first", 3, &self.first), ("second", 4, &self.second)];
        for (name, seed, parameter) in parameters {
            if names.contains(&name) {
                let weight = parameter.val();
                let gradient = numbers(seed, step, &weight.device().inner());
                gradients.register(parameter.id, gradient.cast(weight.dtype()));
            }
        }
        optimizer.step(1e-2, self, gradients)
    }

    fn values(&self) -> [Vec<f64>; 2] {
        [&self.first, &self.second].map(|parameter| values(&parameter.val()))
    }
}

const BOTH: &[&str] = &["first", "second"];

/// A parameter without a gradient stays as it is, and goes on from its own state, as if the steps
/// without had not been.
#[test]
fn a_gradient_that_is_missing_is_a_step_that_is_not_taken() {
    for device in devices() {
        for amsgrad in [false, true] {
            let config = AdamWConfig::new()
                .with_weight_decay(0.1)
                .with_amsgrad(amsgrad);
            let mut optimizer = config.init();
            let mut model = Model::new(&device);
            for step in 1..=4 {
                model = model.step(&mut optimizer, step, BOTH);
            }
            let kept = model.values()[1].clone();
            for step in 5..=9 {
                model = model.step(&mut optimizer, step, &["first"]);
            }
            assert_eq!(model.values()[1], kept, "no gradient, no decay either");
            model = model.step(&mut optimizer, 10, BOTH);

            let mut optimizer = config.init();
            let mut other = Model::new(&device);
            for step in [1, 2, 3, 4, 10] {
                other = other.step(&mut optimizer, step, &["second"]);
            }
            assert_eq!(model.values()[1], other.values()[1]);
        }
    }
}

#[test]
fn a_frozen_parameter_stays_and_goes_on_when_it_is_thawed() {
    for device in devices() {
        let with_loss = |model: Model, optimizer: &mut ModuleOptimizer| {
            let loss = (model.first.val() * model.second.val()).square().mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            optimizer.step(1e-2, model, gradients)
        };
        let mut optimizer = AdamWConfig::new().with_weight_decay(0.1).init();
        let mut model = with_loss(Model::new(&device), &mut optimizer);
        model.first = model.first.set_require_grad(false);
        let [frozen, free] = model.values();
        for _ in 0..3 {
            model = with_loss(model, &mut optimizer);
        }
        assert_eq!(model.values()[0], frozen);
        assert_ne!(model.values()[1], free);
        model.first = model.first.set_require_grad(true);
        model = with_loss(model, &mut optimizer);
        assert_ne!(model.values()[0], frozen);
        assert!(
            model
                .values()
                .concat()
                .iter()
                .all(|value| value.is_finite())
        );
    }
}

#[test]
fn a_record_of_several_groups_resumes_to_the_bit() {
    for device in devices() {
        let new = || {
            let momentum = Some(MomentumConfig::new().with_dampening(0.0));
            let group = ParamGroup::from_path("second");
            let sgdw = SgdWConfig::new().with_momentum(momentum).build();
            AdamL2Config::new().init().with_group(group, sgdw, None)
        };
        let mut optimizer = new();
        let mut model = Model::new(&device);
        for step in 1..=5 {
            model = model.step(&mut optimizer, step, BOTH);
        }
        let bytes = optimizer.into_bytes().expect("the state can be written");
        let mut resumed = new().from_bytes(bytes).expect("and read");
        let mut other = model.clone();
        for step in 6..=10 {
            model = model.step(&mut optimizer, step, BOTH);
            other = other.step(&mut resumed, step, BOTH);
        }
        assert_eq!(model.values(), other.values());
    }
}

/// The moments are widened or rounded to the precision of the parameter's arithmetic.
#[test]
fn a_record_in_another_precision_resumes() {
    for device in devices_with_f64() {
        let train = |mut model: Model, optimizer: &mut ModuleOptimizer, steps: [u64; 2]| {
            for step in steps[0]..=steps[1] {
                model = model.step(optimizer, step, BOTH);
            }
            model
        };
        // The same parameters, by their ids.
        let in_precision = |model: &Model, dtype: DType| {
            let cast = |parameter: &Param<Tensor<2>>| {
                let data = parameter.val().into_data();
                let weight = Tensor::from_data(data, (&device, dtype)).require_grad();
                Param::initialized(parameter.id, weight)
            };
            Model {
                first: cast(&model.first),
                second: cast(&model.second),
            }
        };
        for [from, to] in [[DType::F32, DType::F64], [DType::F64, DType::F32]] {
            let mut first = AdamWConfig::new().init();
            let start = in_precision(&Model::new(&device), from);
            let before = train(start, &mut first, [1, 5]);
            let moved = in_precision(&before, to);
            let mut second = AdamWConfig::new().init().load_record(first.to_record());
            let resumed = train(moved, &mut second, [6, 10]).values();
            let went_on = train(before, &mut first, [6, 10]).values();
            for (resumed, went_on) in resumed.iter().flatten().zip(went_on.iter().flatten()) {
                assert!((resumed - went_on).abs() < 1e-5, "{resumed} and {went_on}");
            }
        }
    }
}

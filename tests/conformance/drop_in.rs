//! Beside Burn's own Adam and AdamW: the same results, as far as theirs are exact, and the same
//! checkpoints.

use burn::module::{Module, Param};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Tensor};
use burn_decay::{AdamL2Config, AdamWConfig};

use crate::data::{distance, noise, to_f32};
use crate::forms::{devices, tensor, values};
use crate::reference::{Adam, Coupling, Momentum, Reference, Rule, Setting, Sgd, Ways};

#[derive(Module, Debug)]
struct Weights {
    matrix: Param<Tensor<2>>,
    vector: Param<Tensor<1>>,
}

const MATRIX: [usize; 2] = [32, 32];
const VECTOR: usize = 512;

impl Weights {
    fn new(values: &[f32], device: &Device) -> Self {
        let (matrix, vector) = values.split_at(MATRIX[0] * MATRIX[1]);
        Self {
            matrix: Param::from_tensor(tensor(matrix, MATRIX, device)),
            vector: Param::from_tensor(tensor(vector, [VECTOR], device)),
        }
    }

    fn step(self, optimizer: &mut ModuleOptimizer, lr: f64, gradient: &[f32]) -> Self {
        let device = self.matrix.val().device().inner();
        let (matrix, vector) = gradient.split_at(MATRIX[0] * MATRIX[1]);
        let mut gradients = GradientsParams::new();
        gradients.register(self.matrix.id, tensor(matrix, MATRIX, &device));
        gradients.register(self.vector.id, tensor(vector, [VECTOR], &device));
        optimizer.step(lr, self, gradients)
    }

    fn values(&self) -> Vec<f64> {
        [values(&self.matrix.val()), values(&self.vector.val())].concat()
    }
}

const COUNT: usize = MATRIX[0] * MATRIX[1] + VECTOR;

/// Two thirds Adam, a third SGD, and half of each with the penalty coupled, as far as Burn has it.
fn settings() -> Vec<Setting> {
    let choose = |seed, of: &[f64]| of[(noise(99, seed, 1)[0].abs() * 1e6) as usize % of.len()];
    let setting = |i: u64| {
        let rule = if i % 3 == 2 {
            let momentum = Momentum {
                momentum: choose(7 * i + 1, &[0.9, 0.5, 0.99]),
                dampening: choose(7 * i + 2, &[0.0, 0.1, 0.5]),
                nesterov: choose(7 * i + 3, &[0.0, 1.0]) == 1.0,
            };
            Rule::Sgd(Sgd {
                momentum: (choose(7 * i + 5, &[0.0, 1.0, 1.0]) == 1.0).then_some(momentum),
            })
        } else {
            Rule::Adam(Adam {
                beta_1: choose(7 * i + 1, &[0.9, 0.9, 0.5, 0.95]),
                beta_2: choose(7 * i + 2, &[0.999, 0.999, 0.99, 0.95, 0.9999]),
                epsilon: choose(7 * i + 3, &[1e-8, 1e-5, 1e-3]),
                amsgrad: choose(7 * i + 5, &[0.0, 0.0, 1.0]) == 1.0,
            })
        };
        Setting {
            coupling: if i.is_multiple_of(2) || matches!(rule, Rule::Sgd(_)) {
                Coupling::L2
            } else {
                Coupling::Decoupled
            },
            lr: choose(7 * i, &[1e-5, 1e-4, 3e-4, 1e-3, 1e-2]),
            weight_decay: choose(7 * i + 4, &[0.0, 1e-4, 1e-2, 1e-1]),
            ways: Ways::default(),
            rule,
        }
    };
    (0..72).map(setting).collect()
}

fn burns(setting: &Setting) -> ModuleOptimizer {
    let penalty = Some(WeightDecayConfig::new(setting.weight_decay as f32));
    match (&setting.rule, setting.coupling) {
        (Rule::Adam(adam), Coupling::L2) => AdamConfig::new()
            .with_beta_1(adam.beta_1 as f32)
            .with_beta_2(adam.beta_2 as f32)
            .with_epsilon(adam.epsilon as f32)
            .with_amsgrad(adam.amsgrad)
            .with_weight_decay(penalty)
            .init(),
        (Rule::Adam(adam), Coupling::Decoupled) => burn::optim::AdamWConfig::new()
            .with_beta_1(adam.beta_1 as f32)
            .with_beta_2(adam.beta_2 as f32)
            .with_epsilon(adam.epsilon as f32)
            .with_amsgrad(adam.amsgrad)
            .with_weight_decay(setting.weight_decay as f32)
            .init(),
        (Rule::Sgd(sgd), Coupling::L2) => SgdConfig::new()
            .with_momentum(sgd.config())
            .with_weight_decay(penalty)
            .init(),
        (Rule::Sgd(_), Coupling::Decoupled) => unreachable!("Burn has no SgdW"),
    }
}

fn ours(setting: &Setting) -> ModuleOptimizer {
    setting.build().into()
}

#[test]
fn follows_burns_own_as_closely_as_those_follow_f64() {
    for device in devices() {
        for (seed, setting) in (1..).zip(settings()) {
            let initial = noise(seed, 0, COUNT);
            let mut reference = Reference::new(&setting, initial.clone());
            let mut models = [ours(&setting), burns(&setting)]
                .map(|optimizer| (optimizer, Weights::new(&to_f32(&initial), &device)));
            for step in 1..=200 {
                let gradient = noise(seed, step, COUNT);
                reference.step(&gradient);
                models = models.map(|(mut optimizer, model)| {
                    let model = model.step(&mut optimizer, setting.lr, &to_f32(&gradient));
                    (optimizer, model)
                });
            }
            let [ours, burns] = models.map(|(_, model)| model.values());
            let apart = distance(&ours, &burns);
            let off = distance(&burns, &reference.parameter);
            assert!(
                apart <= 1.5 * off,
                "{apart:.1e} apart, Burn's {off:.1e} off: {setting:?}"
            );
        }
    }
}

#[test]
fn a_checkpoint_of_either_resumes_in_the_other() {
    for device in devices() {
        let remembers =
            |setting: &Setting| !matches!(setting.rule, Rule::Sgd(Sgd { momentum: None }));
        for (seed, setting) in (1..).zip(settings().into_iter().filter(remembers).take(18)) {
            for [from, to] in [[burns, ours], [ours, burns], [ours, ours]] {
                let initial = to_f32(&noise(seed, 0, COUNT));
                let gradient = |step| to_f32(&noise(seed, step, COUNT));
                let mut optimizer = from(&setting);
                let mut model = Weights::new(&initial, &device);
                for step in 1..=20 {
                    model = model.step(&mut optimizer, setting.lr, &gradient(step));
                }
                let bytes = optimizer.into_bytes().expect("the state can be written");
                let resumed = to(&setting).from_bytes(bytes).expect("and read");
                let halfway = model;
                let go_on = |mut optimizer: ModuleOptimizer| {
                    let steps = (21..=40).fold(halfway.clone(), |model, step| {
                        model.step(&mut optimizer, setting.lr, &gradient(step))
                    });
                    steps.values()
                };
                let [expected, resumed, anew] = [optimizer, resumed, to(&setting)].map(go_on);
                let [apart, forgotten] = [resumed, anew].map(|values| distance(&expected, &values));
                assert!(
                    apart < 0.1 * forgotten,
                    "{apart:e}, and {forgotten:e} anew: {setting:?}"
                );
            }
        }
    }
}

#[test]
fn the_defaults_are_burns() {
    let ours = AdamWConfig::new();
    let burns = serde_json::to_value(burn::optim::AdamWConfig::new()).expect("configs serialize");
    let field = |name: &str| burns[name].as_f64().expect("a number") as f32;
    assert_eq!(ours.beta_1 as f32, field("beta_1"));
    assert_eq!(ours.beta_2 as f32, field("beta_2"));
    assert_eq!(ours.epsilon as f32, field("epsilon"));
    assert_eq!(ours.weight_decay as f32, field("weight_decay"));
    assert_eq!(burns["amsgrad"], ours.amsgrad);
    assert_eq!(burns["cautious_weight_decay"], ours.cautious_weight_decay);

    let ours = AdamL2Config::new();
    let burns = serde_json::to_value(AdamConfig::new()).expect("configs serialize");
    let field = |name: &str| burns[name].as_f64().expect("a number") as f32;
    assert_eq!(ours.beta_1 as f32, field("beta_1"));
    assert_eq!(ours.beta_2 as f32, field("beta_2"));
    assert_eq!(ours.epsilon as f32, field("epsilon"));
}

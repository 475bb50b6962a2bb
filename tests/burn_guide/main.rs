//! The guide of the Burn book, with the optimizer's import swapped.
//!
//! The program in guide/ is examples/guide of Burn 0.22 but for five things: where its files find
//! each other and `AdamConfig`, the digits, that the model's steps stand beside it, which every optimizer
//! shares, that `infer` returns what it prints, and that `train` draws no dashboard, of which a terminal
//! has room for one.

#[path = "guide/data.rs"]
mod data;
mod mnist;
#[path = "guide/model.rs"]
mod model;

use std::fs;
use std::path::Path;

use burn::config::Config;
use burn::data::dataset::Dataset;
use burn::grad_clipping::GradientClippingConfig;
use burn::module::Param;
use burn::nn::LinearConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor};
use burn::train::logger::{FileMetricLogger, MetricLogger};
use burn::train::metric::store::Split;
use burn::train::metric::{AccuracyMetric, LossMetric, Metric, NumericEntry};

use mnist::{MnistDataset, MnistItem};

/// The guide, built with one import of an optimizer's configuration.
macro_rules! guide {
    ($name:ident, use $($config:tt)+) => {
        mod $name {
            pub use $($config)+;

            use crate::{data, model};

            pub mod inference {
                include!("guide/inference.rs");
            }
            pub mod training {
                include!("guide/training.rs");
            }

            use model::ModelConfig;
            use training::TrainingConfig;

            /// The guide's own, but that few digits need more steps, and larger ones.
            pub fn config(optimizer: AdamConfig) -> TrainingConfig {
                TrainingConfig::new(ModelConfig::new(10, 512), optimizer)
                    .with_num_epochs(crate::EPOCHS)
                    .with_batch_size(32)
                    .with_learning_rate(1e-3)
            }

            static TRAINED: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
                let artifact_dir = crate::artifact_dir(stringify!($name));
                let config = config(AdamConfig::new());
                training::train(&artifact_dir, config, burn::tensor::Device::flex());
                artifact_dir
            });

            pub const GUIDE: crate::Guide = crate::Guide {
                name: stringify!($name),
                trained: || &TRAINED,
                infer: |artifact_dir, digit| {
                    inference::infer(artifact_dir, burn::tensor::Device::flex(), digit)
                },
                optimizer: |artifact_dir| {
                    let file = format!("{artifact_dir}/config.json");
                    let config: TrainingConfig = burn::config::Config::load(file)
                        .expect("Config should exist for the model; run train first");
                    config.optimizer.init()
                },
            };
        }
    };
}

guide!(burn_adam, use burn::optim::AdamConfig);
guide!(adam_l2, use burn_decay::AdamL2Config as AdamConfig);
guide!(burn_adamw, use burn::optim::AdamWConfig as AdamConfig);
guide!(adamw, use burn_decay::AdamWConfig as AdamConfig);

/// What there is to a guide, whatever its types.
struct Guide {
    name: &'static str,
    /// The folder of its training, which the first to ask for it waits for.
    trained: fn() -> &'static str,
    infer: fn(&str, MnistItem) -> u8,
    /// The optimizer that the config.json of a folder configures.
    optimizer: fn(&str) -> ModuleOptimizer,
}

const EPOCHS: usize = 2;

/// An empty folder.
fn artifact_dir(name: &str) -> String {
    let tests = Path::new(env!("CARGO_TARGET_TMPDIR")).join("burn_guide");
    let folder = tests.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an earlier run's folder can be removed");
    }
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder.display().to_string()
}

impl Guide {
    fn predictions(&self, artifact_dir: &str) -> Vec<u8> {
        let infer = |digit| (self.infer)(artifact_dir, digit);
        test_digits().map(infer).collect()
    }
}

fn test_digits() -> impl Iterator<Item = MnistItem> {
    let digits = MnistDataset::test();
    (0..50).map(move |i| digits.get(i).expect("a digit"))
}

/// The part of the test digits that is predicted rightly, of 1.
fn accuracy(predictions: &[u8]) -> f64 {
    let right = test_digits().zip(predictions);
    let right = right.filter(|(digit, predicted)| digit.label == **predicted);
    right.count() as f64 / predictions.len() as f64
}

/// A metric over an epoch, as the training logged it.
fn logged(artifact_dir: &str, metric: &impl Metric, epoch: usize, split: Split) -> f64 {
    let mut logs = FileMetricLogger::new(artifact_dir);
    let entries = logs.read_numeric(&metric.name(), epoch, &split);
    let entries = entries.expect("the metric was logged");
    let last = entries
        .iter()
        .rfind(|entry| matches!(entry, NumericEntry::Final(_)));
    last.expect("the epoch has ended").current()
}

fn trains_and_infers(guide: &Guide) {
    let artifact_dir = (guide.trained)();

    let loss = |epoch| logged(artifact_dir, &LossMetric::new(), epoch, Split::Train);
    let [first, last] = [1, EPOCHS].map(loss);
    assert!(last < 0.6 * first, "a loss of {first}, then {last}");
    let percent = logged(artifact_dir, &AccuracyMetric::new(), EPOCHS, Split::Valid);
    assert!(percent > 60.0, "{percent} % right in validation");

    let right = accuracy(&guide.predictions(artifact_dir));
    assert!(right > 0.6, "{right} right in inference");
}

fn infers_what_the_other_trained(guide: &Guide, other: &Guide) {
    let artifact_dir = (other.trained)();
    let expected = other.predictions(artifact_dir);
    assert!(accuracy(&expected) > 0.6, "{} right", accuracy(&expected));
    assert_eq!(guide.predictions(artifact_dir), expected);
}

#[test]
fn adam_l2_trains_and_infers() {
    trains_and_infers(&adam_l2::GUIDE);
}

#[test]
fn adamw_trains_and_infers() {
    trains_and_infers(&adamw::GUIDE);
}

#[test]
fn adam_l2_infers_what_burns_adam_trained() {
    infers_what_the_other_trained(&adam_l2::GUIDE, &burn_adam::GUIDE);
}

#[test]
fn adamw_infers_what_burns_adamw_trained() {
    infers_what_the_other_trained(&adamw::GUIDE, &burn_adamw::GUIDE);
}

#[test]
fn burns_adam_infers_what_adam_l2_trained() {
    infers_what_the_other_trained(&burn_adam::GUIDE, &adam_l2::GUIDE);
}

#[test]
fn burns_adamw_infers_what_adamw_trained() {
    infers_what_the_other_trained(&burn_adamw::GUIDE, &adamw::GUIDE);
}

/// The weights of a layer after a few steps.
fn steps(mut optimizer: ModuleOptimizer) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let waves = |shape: [usize; 2]| {
        let count = shape.iter().product::<usize>() as i64;
        let angles = Tensor::<1, Int>::arange(0..count, &device).float();
        angles.sin().reshape(shape)
    };
    let inputs = waves([4, 16]);
    let mut model = LinearConfig::new(16, 8).with_bias(false).init(&device);
    model.weight = Param::from_tensor(waves([16, 8]));

    for scale in [1.0, 3.0, 0.1, 0.3] {
        let loss = model.forward(inputs.clone()).square().mean() * scale;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-2, model, gradients);
    }
    let weights = model.weight.val().into_data().try_to_vec();
    weights.expect("the weights are f32")
}

/// What Burn's guide saved configures the same steps; each of the settings other ones.
fn reads_every_setting(guide: &Guide, burns: &Guide, settings: &[impl Config]) {
    let farthest = |a: &[f32], b: &[f32]| {
        let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        apart.max_by(f32::total_cmp).expect("weights")
    };
    let mut seen: Vec<Vec<f32>> = Vec::new();
    for setting in settings {
        let artifact_dir = artifact_dir(&format!("{}_settings", guide.name));
        let saved = setting.save(format!("{artifact_dir}/config.json"));
        saved.expect("Config should be saved successfully");

        let expected = steps((burns.optimizer)(&artifact_dir));
        let apart = farthest(&steps((guide.optimizer)(&artifact_dir)), &expected);
        assert!(apart < 1e-5, "{apart:e} apart: {setting:?}");
        for other in &seen {
            let apart = farthest(other, &expected);
            assert!(apart > 1e-4, "{apart:e} from another setting: {setting:?}");
        }
        seen.push(expected);
    }
}

#[test]
fn adam_l2_reads_every_setting_of_burns_adam() {
    let settings = [
        burn_adam::AdamConfig::new(),
        burn_adam::AdamConfig::new().with_beta_1(0.5),
        burn_adam::AdamConfig::new().with_beta_2(0.9),
        burn_adam::AdamConfig::new().with_epsilon(0.1),
        burn_adam::AdamConfig::new()
            .with_beta_2(0.9)
            .with_amsgrad(true),
        burn_adam::AdamConfig::new().with_weight_decay(Some(WeightDecayConfig::new(0.1))),
        burn_adam::AdamConfig::new().with_grad_clipping(CLIPPING),
    ];
    let settings = settings.map(burn_adam::config);
    reads_every_setting(&adam_l2::GUIDE, &burn_adam::GUIDE, &settings);
}

#[test]
fn adamw_reads_every_setting_of_burns_adamw() {
    let decayed = burn_adamw::AdamConfig::new().with_weight_decay(0.1);
    let settings = [
        burn_adamw::AdamConfig::new(),
        burn_adamw::AdamConfig::new().with_beta_1(0.5),
        burn_adamw::AdamConfig::new().with_beta_2(0.9),
        burn_adamw::AdamConfig::new().with_epsilon(0.1),
        burn_adamw::AdamConfig::new()
            .with_beta_2(0.9)
            .with_amsgrad(true),
        burn_adamw::AdamConfig::new().with_grad_clipping(CLIPPING),
        decayed.clone(),
        decayed.with_cautious_weight_decay(true),
    ];
    let settings = settings.map(burn_adamw::config);
    reads_every_setting(&adamw::GUIDE, &burn_adamw::GUIDE, &settings);
}

const CLIPPING: Option<GradientClippingConfig> = Some(GradientClippingConfig::Norm(0.05));

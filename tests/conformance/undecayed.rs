//! Which parameters decay.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig, Lstm, LstmConfig, RmsNorm, RmsNormConfig,
};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use burn_decay::{AdamWConfig, DecaySchedule, SgdL2Config, SgdWConfig, Undecayed};

use crate::forms::{devices, values};

#[derive(Module, Debug)]
struct Everything {
    linear: Linear,
    conv: Conv2d,
    batch_norm: BatchNorm,
    layer_norm: LayerNorm,
    rms_norm: RmsNorm,
    embedding: Embedding,
    lstm: Lstm,
    stack: Vec<Linear>,
}

impl Everything {
    fn new(device: &Device) -> Self {
        Self {
            linear: LinearConfig::new(4, 3).init(device),
            conv: Conv2dConfig::new([2, 3], [3, 3]).init(device),
            batch_norm: BatchNormConfig::new(3).init(device),
            layer_norm: LayerNormConfig::new(3).init(device),
            rms_norm: RmsNormConfig::new(3).init(device),
            embedding: EmbeddingConfig::new(5, 3).init(device),
            lstm: LstmConfig::new(3, 4, true).init(device),
            stack: [2, 3]
                .map(|width| LinearConfig::new(2, width).init(device))
                .into(),
        }
    }
}

/// The paths of all parameters that require gradients, with their values.
#[derive(Default)]
struct Collect {
    path: Vec<String>,
    found: Vec<(String, Vec<f64>)>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let tensor = parameter.val();
        if tensor.is_require_grad() {
            self.gradients
                .register(parameter.id, tensor.clone().inner().zeros_like());
            self.found.push((self.path.join("."), values(&tensor)));
        }
    }

    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

fn collect(model: &Everything) -> Collect {
    let mut collect = Collect::default();
    model.visit(&mut collect);
    collect
}

/// Every value away from 0, so that a decay shows.
struct AwayFromZero;

impl burn::module::ModuleMapper for AwayFromZero {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        parameter.map(|tensor| {
            tensor
                .ones_like()
                .set_require_grad(tensor.is_require_grad())
        })
    }
}

fn is_a_weight(path: &str) -> bool {
    path.ends_with("weight")
}

/// The paths that a step with gradients of zero leaves as they were.
fn left_alone(group: Option<ParamGroup>, device: &Device) -> Vec<String> {
    let mut model = Everything::new(device).map(&mut AwayFromZero);
    let before = collect(&model).found;
    // None of these decays a group that is without.
    let config = AdamWConfig::new()
        .with_weight_decay(0.5)
        .with_l1_decay(0.1)
        .with_decay_schedule(DecaySchedule::Linear { end: 0.9, steps: 1 });
    let mut optimizer = config.init();
    if let Some(group) = group {
        let undecayed = config.without_decay().build();
        optimizer = optimizer.with_group(group, undecayed, None);
    }
    // In the second step the schedule has moved.
    for _ in 0..2 {
        let gradients = collect(&model).gradients;
        model = optimizer.step(0.1, model, gradients);
    }
    let pairs = before.into_iter().zip(collect(&model).found);
    let same = pairs.filter(|(before, after)| before.1 == after.1);
    same.map(|(before, _)| before.0).collect()
}

#[test]
fn the_group_leaves_biases_and_gains_undecayed_and_nothing_else() {
    for device in devices() {
        let model = Everything::new(&device);
        let paths: Vec<String> = collect(&model)
            .found
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert!(paths.len() > 20, "{paths:?}");
        assert!(left_alone(None, &device).is_empty());

        let expected = |embeddings: bool| -> Vec<String> {
            let undecayed =
                |path: &String| !is_a_weight(path) || (embeddings && path == "embedding.weight");
            paths
                .iter()
                .filter(|path| undecayed(path))
                .cloned()
                .collect()
        };
        for embeddings in [false, true] {
            let group = Undecayed::new().with_embeddings(embeddings).group(&model);
            let expected = expected(embeddings);
            assert_eq!(left_alone(Some(group), &device), expected);
            for gain in ["batch_norm.gamma", "layer_norm.gamma", "rms_norm.gamma"] {
                assert!(expected.contains(&gain.into()), "{gain}: {expected:?}");
            }
        }
    }
}

#[test]
fn sgd_leaves_vectors_undecayed_on_request() {
    for device in devices() {
        let w = SgdWConfig::new().with_weight_decay(0.5);
        let l2 = SgdL2Config::new().with_l2_penalty(0.5);
        for decay_vectors in [true, false] {
            for mut optimizer in [
                w.clone().with_decay_vectors(decay_vectors).init(),
                l2.clone().with_decay_vectors(decay_vectors).init(),
            ] {
                let model = Everything::new(&device).map(&mut AwayFromZero);
                let before = collect(&model);
                let model = optimizer.step(0.1, model, before.gradients);
                for ((path, before), (_, after)) in before.found.iter().zip(collect(&model).found) {
                    let decays = decay_vectors || is_a_weight(path);
                    assert_eq!(before != &after, decays, "{path}");
                }
            }
        }
    }
}

//! The same decay written for other libraries: their recorded runs, and ours.

use burn::optim::momentum::MomentumConfig;
use burn::tensor::{DType, Tensor};
use burn_decay::{AdamL2Config, AdamWConfig, DecayScaling, SgdL2Config, SgdWConfig};
use serde::Deserialize;

use crate::data::{distance, noise};
use crate::forms::{Optimizer, Run, forms, values};

#[derive(Deserialize)]
struct Fixtures {
    seed: u64,
    steps: u64,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    /// What stands in the other library's code.
    written: String,
    parameter: Vec<f64>,
}

const MAX_LR: f64 = 1e-2;
const LAMBDA: f64 = 0.1;
const EPSILON: f64 = 1e-12;

/// What stands in ours, and whether the learning rate stays what it is.
fn translated(written: &str) -> (Optimizer, bool) {
    let schedule = DecayScaling::Schedule { max_lr: MAX_LR };
    let momentum = Some(MomentumConfig::new().with_dampening(0.0));
    let adamw = AdamWConfig::new()
        .with_epsilon(EPSILON)
        .with_weight_decay(LAMBDA);
    let adam_l2 = AdamL2Config::new()
        .with_epsilon(EPSILON)
        .with_l2_penalty(LAMBDA);
    let sgdw = SgdWConfig::new()
        .with_weight_decay(LAMBDA)
        .with_momentum(momentum.clone());
    let sgd_l2 = SgdL2Config::new()
        .with_l2_penalty(LAMBDA)
        .with_momentum(momentum);
    match written {
        "torch.optim.AdamW(weight_decay=λ)"
        | "optax.adamw(weight_decay=λ)"
        | "keras.optimizers.AdamW(weight_decay=λ)" => (Optimizer::AdamW(adamw.build()), false),
        "the paper's AdamW, λ" => {
            let adamw = adamw.with_decay_scaling(schedule);
            (Optimizer::AdamW(adamw.build()), false)
        }
        "torch.optim.Adam(weight_decay=λ)"
        | "optax.chain(add_decayed_weights(λ), adam)"
        | "keras.regularizers.L2(λ/2), Adam" => (Optimizer::AdamL2(adam_l2.build()), false),
        "torch.optim.SGD(weight_decay=λ)" | "optax.chain(add_decayed_weights(λ), sgd)" => {
            (Optimizer::SgdL2(sgd_l2.build()), false)
        }
        "optax.chain(trace, add_decayed_weights(λ), scale_by_learning_rate)" => {
            (Optimizer::SgdW(sgdw.build()), false)
        }
        "keras.optimizers.SGD(weight_decay=λ)" => (Optimizer::SgdW(sgdw.build()), true),
        "the paper's SGDW, λ" => {
            let sgdw = sgdw.with_decay_scaling(schedule);
            (Optimizer::SgdW(sgdw.build()), true)
        }
        other => panic!("{other} is not translated"),
    }
}

#[test]
fn the_same_decay_written_for_each_library() {
    let fixtures: Fixtures = serde_json::from_str(include_str!("../fixtures/libraries.json"))
        .expect("the fixtures are valid");
    assert_eq!(fixtures.rows.len(), 12);
    let f64s = |form: &crate::forms::Form| form.dtypes.contains(&DType::F64);
    for form in forms().into_iter().filter(f64s) {
        for row in &fixtures.rows {
            let count = row.parameter.len();
            let numbers = |step| {
                let numbers = noise(fixtures.seed, step, count);
                Tensor::<1>::from_data(numbers.as_slice(), (&form.device, DType::F64))
            };
            let (optimizer, constant) = translated(&row.written);
            let mut run = Run::new(optimizer, MAX_LR, numbers(0));
            for step in 0..fixtures.steps {
                let turn = core::f64::consts::PI * step as f64 / fixtures.steps as f64;
                if !constant {
                    run.lr = MAX_LR * (1.0 + turn.cos()) / 2.0;
                }
                run.step(numbers(step + 1));
            }
            let apart = distance(&values(&run.parameter), &row.parameter);
            assert!(
                apart < 1e-9,
                "{} is {apart:.1e} from {}",
                form.name,
                row.written
            );
        }
    }
}

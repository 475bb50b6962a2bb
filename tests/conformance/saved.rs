//! Configurations as files: Burn's own, those of other versions, and those with mistakes.

use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, SgdConfig};
use burn_decay::{
    AdamL2Config, AdamWConfig, CosineWarmRestartsLrSchedulerConfig, DecayScaling, DecaySchedule,
    DecayTarget, DecayedConfig, MomentPrecision, SgdL2Config, SgdWConfig, TrainingLength,
    normalized_weight_decay,
};
use serde_json::{Map, Value, json};

fn file(config: &impl Config) -> Map<String, Value> {
    let text = serde_json::to_string(config).expect("configs serialize");
    serde_json::from_str(&text).expect("they are objects")
}

fn read<C: Config>(file: Map<String, Value>) -> Result<C, String> {
    serde_json::from_value(Value::Object(file)).map_err(|error| error.to_string())
}

fn clipping() -> Option<GradientClippingConfig> {
    Some(GradientClippingConfig::Norm(2.5))
}

#[test]
fn burns_own_files_load_with_the_same_meaning() {
    let burns = burn::optim::AdamWConfig::new()
        .with_beta_1(0.8)
        .with_beta_2(0.95)
        .with_epsilon(1e-7)
        .with_weight_decay(0.03)
        .with_cautious_weight_decay(true)
        .with_amsgrad(true)
        .with_grad_clipping(clipping());
    let expected = AdamWConfig::new()
        .with_beta_1(0.8)
        .with_beta_2(0.95)
        .with_epsilon(1e-7)
        .with_weight_decay(0.03)
        .with_cautious_weight_decay(true)
        .with_amsgrad(true)
        .with_grad_clipping(clipping());
    assert_eq!(read(file(&burns)), Ok(expected));
    let burns = burn::optim::AdamWConfig::new();
    assert_eq!(read(file(&burns)), Ok(AdamWConfig::new()));

    for penalty in [None, Some(0.02)] {
        let burns = AdamConfig::new()
            .with_beta_1(0.8)
            .with_amsgrad(true)
            .with_weight_decay(penalty.map(WeightDecayConfig::new))
            .with_grad_clipping(clipping());
        let l2_penalty = if penalty.is_some() { 0.02 } else { 0.0 };
        let expected = AdamL2Config::new()
            .with_beta_1(0.8)
            .with_amsgrad(true)
            .with_l2_penalty(l2_penalty)
            .with_grad_clipping(clipping());
        assert_eq!(read(file(&burns)), Ok(expected));

        let momentum = Some(MomentumConfig::new().with_nesterov(true));
        let burns = SgdConfig::new()
            .with_weight_decay(penalty.map(WeightDecayConfig::new))
            .with_momentum(momentum.clone())
            .with_gradient_clipping(clipping());
        let expected = SgdL2Config::new()
            .with_l2_penalty(l2_penalty)
            .with_momentum(momentum)
            .with_grad_clipping(clipping());
        assert_eq!(read(file(&burns)), Ok(expected));
    }
}

/// Burn's Adam and SGD penalize; what decays decoupled does not take their λ for its own.
#[test]
fn a_coupled_penalty_is_not_taken_for_a_decoupled_decay() {
    for penalty in [None, Some(WeightDecayConfig::new(0.02))] {
        let adam = AdamConfig::new().with_weight_decay(penalty.clone());
        assert!(read::<AdamWConfig>(file(&adam)).is_err());
        let sgd = SgdConfig::new().with_weight_decay(penalty);
        assert!(read::<SgdWConfig>(file(&sgd)).is_err());
    }
}

/// Its own derive passes over a misspelt field, and misses one that a file lacks.
#[test]
fn the_fields_of_momentum_are_looked_at_too() {
    let momentum =
        |momentum: Value| read::<SgdWConfig>(Map::from_iter([("momentum".into(), momentum)]));
    let expected = Some(MomentumConfig::new().with_momentum(0.5).with_dampening(0.0));
    let given = json!({"momentum": 0.5, "dampening": 0.0});
    assert_eq!(
        momentum(given),
        Ok(SgdWConfig::new().with_momentum(expected))
    );
    assert_eq!(momentum(Value::Null), Ok(SgdWConfig::new()));
    let error = momentum(json!({"nestrov": true})).expect_err("it has no such field");
    assert!(error.contains("`nestrov`"), "{error}");
}

/// `changed` differs from `default` in every field that a file may lack.
fn a_file_may_lack_any_field<C: Config + PartialEq>(changed: &C, default: &C, required: &[&str]) {
    let (whole, defaults) = (file(changed), file(default));
    assert_eq!(read::<C>(whole.clone()).as_ref(), Ok(changed));
    for field in whole.keys() {
        let mut lacking = whole.clone();
        lacking.remove(field);
        let read = read::<C>(lacking.clone());
        if required.contains(&field.as_str()) {
            let error = read.expect_err("it has no default");
            assert!(error.contains(&format!("`{field}`")), "{error}");
            continue;
        }
        assert_ne!(whole[field], defaults[field], "{field}");
        lacking.insert(field.clone(), defaults[field].clone());
        assert_eq!(read.map(|config| file(&config)), Ok(lacking), "{field}");
    }
    for misspelt in ["weigth_decay", "beta1", "l2", "learning_rate"] {
        let mut more = whole.clone();
        more.insert(misspelt.into(), 0.1.into());
        let error = read::<C>(more).expect_err("no configuration has it");
        assert!(error.contains(&format!("`{misspelt}`")), "{error}");
    }
}

#[test]
fn files_of_other_versions_load_and_misspelt_fields_are_named() {
    macro_rules! all_options {
        ($config:expr) => {
            $config
                .with_decay_schedule(DecaySchedule::Cosine { end: 0.4, steps: 9 })
                .with_decay_target(DecayTarget::Start)
                .with_decay_vectors(false)
                .with_master_weights(false)
                .with_grad_clipping(clipping())
        };
        (decoupled $config:expr) => {
            all_options!($config)
                .with_weight_decay(0.03)
                .with_l1_decay(0.01)
                .with_decay_scaling(DecayScaling::Schedule { max_lr: 3e-4 })
                .with_cautious_weight_decay(true)
        };
        (adam $config:expr) => {
            $config
                .with_beta_1(0.8)
                .with_beta_2(0.95)
                .with_epsilon(1e-7)
                .with_amsgrad(true)
                .with_moment_precision(MomentPrecision::Bf16)
        };
        (sgd $config:expr) => {
            $config
                .with_momentum(Some(MomentumConfig::new()))
                .with_moment_precision(MomentPrecision::Bf16)
        };
    }
    let adamw = all_options!(decoupled AdamWConfig::new()).with_stochastic_rounding(true);
    let adamw = all_options!(adam adamw);
    a_file_may_lack_any_field(&adamw, &AdamWConfig::new(), &[]);
    let adam_l2 = all_options!(AdamL2Config::new()).with_l2_penalty(0.03);
    let adam_l2 = all_options!(adam adam_l2);
    a_file_may_lack_any_field(&adam_l2, &AdamL2Config::new(), &[]);
    let sgdw = all_options!(decoupled SgdWConfig::new()).with_stochastic_rounding(true);
    let sgdw = all_options!(sgd sgdw);
    a_file_may_lack_any_field(&sgdw, &SgdWConfig::new(), &[]);
    let sgd_l2 = all_options!(SgdL2Config::new()).with_l2_penalty(0.03);
    let sgd_l2 = all_options!(sgd sgd_l2);
    a_file_may_lack_any_field(&sgd_l2, &SgdL2Config::new(), &[]);
    let decayed = all_options!(decoupled DecayedConfig::new()).with_stochastic_rounding(false);
    a_file_may_lack_any_field(&decayed, &DecayedConfig::new(), &[]);

    let new = CosineWarmRestartsLrSchedulerConfig::new;
    let restarts = new(0.1, 7)
        .with_min_lr(0.01)
        .with_cycle_factor(2)
        .with_steps_per_epoch(10);
    a_file_may_lack_any_field(&restarts, &new(0.1, 7), &["max_lr", "first_cycle"]);
}

#[test]
fn a_configuration_is_saved_to_a_file_and_shown_as_it() {
    let config = AdamWConfig::new().with_weight_decay(0.1);
    let path = std::env::temp_dir().join(format!("burn-decay-{}.json", std::process::id()));
    config.save(&path).expect("the folder can be written to");
    let text = std::fs::read_to_string(&path).expect("it was written");
    let read = AdamWConfig::load(&path).expect("it was written");
    std::fs::remove_file(&path).expect("it is there");
    assert_eq!(read, config);
    assert_ne!(read, AdamWConfig::new());
    assert_eq!(text, config.to_string());
}

/// A λ that was computed has all the digits of an f64.
#[test]
fn every_number_is_read_as_it_was_saved() {
    for epochs in 1..1000 {
        let run = TrainingLength {
            epochs: f64::from(epochs),
            examples: 50_000,
            batch_size: 128,
        };
        let config = AdamWConfig::new().with_weight_decay(normalized_weight_decay(0.025, run));
        let read = AdamWConfig::load_binary(config.to_string().as_bytes());
        assert_eq!(read.expect("it is a configuration"), config);
    }
}

//! The schedule with warm restarts, beside PyTorch's.

use burn::optim::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn_decay::{CosineWarmRestartsLrScheduler, CosineWarmRestartsLrSchedulerConfig};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixtures {
    every: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    config: Setting,
    rates: Vec<f64>,
}

#[derive(Deserialize, Debug)]
struct Setting {
    max_lr: f64,
    min_lr: f64,
    first_cycle: usize,
    cycle_factor: usize,
    steps_per_epoch: usize,
}

impl Setting {
    fn config(&self) -> CosineWarmRestartsLrSchedulerConfig {
        CosineWarmRestartsLrSchedulerConfig::new(self.max_lr, self.first_cycle)
            .with_min_lr(self.min_lr)
            .with_cycle_factor(self.cycle_factor)
            .with_steps_per_epoch(self.steps_per_epoch)
    }
}

/// The scheduler as it comes out of a checkpoint.
fn saved_and_loaded(
    scheduler: &CosineWarmRestartsLrScheduler,
    config: &CosineWarmRestartsLrSchedulerConfig,
) -> CosineWarmRestartsLrScheduler {
    let bytes = scheduler.to_record().into_bytes();
    let bytes = bytes.expect("the record can be written");
    let record = LrSchedulerRecord::from_bytes(bytes).expect("and read");
    let mut anew = config.build();
    anew.load_record(record);
    anew
}

#[test]
fn the_rates_are_pytorchs_across_checkpoints() {
    let fixtures: Fixtures = serde_json::from_str(include_str!("../fixtures/restarts.json"))
        .expect("the fixtures are valid");
    for case in fixtures.cases {
        let config = case.config.config();
        let mut scheduler = config.build();
        for (i, expected) in case.rates.iter().enumerate() {
            let rates: Vec<f64> = (0..fixtures.every).map(|_| scheduler.step()).collect();
            let tolerance = 1e-10 * case.config.max_lr;
            assert!(
                (rates[0] - expected).abs() < tolerance,
                "step {}: {} and PyTorch's {expected}: {:?}",
                i * fixtures.every,
                rates[0],
                case.config
            );
            if i % 10 == 9 {
                scheduler = saved_and_loaded(&scheduler, &config);
            }
        }
    }
}

#[test]
fn a_cycle_starts_with_the_largest_rate_and_falls() {
    let config = CosineWarmRestartsLrSchedulerConfig::new(1.0, 4).with_cycle_factor(2);
    let mut scheduler = config.build();
    for length in [4, 8, 16, 32] {
        let cycle: Vec<f64> = (0..length).map(|_| scheduler.step()).collect();
        assert_eq!(cycle[0], 1.0);
        assert!((cycle[length / 2] - 0.5).abs() < 1e-12);
        assert!(cycle.is_sorted_by(|a, b| a > b) && cycle[length - 1] > 0.0);
    }
}

#[test]
fn what_is_out_of_range_is_refused_by_name() {
    let config = CosineWarmRestartsLrSchedulerConfig::new;
    for (config, message) in [
        (
            config(f64::NAN, 1),
            "max_lr must be greater than 0 and finite in f32, but is NaN",
        ),
        (
            config(1e308, 1),
            "max_lr must be greater than 0 and finite in f32, but is 1",
        ),
        (
            config(0.1, 1).with_min_lr(0.2),
            "min_lr must be at least 0 and at most max_lr, but is 0.2",
        ),
        (config(0.1, 0), "first_cycle must be at least 1, but is 0"),
        (
            config(0.1, 1).with_cycle_factor(0),
            "cycle_factor must be at least 1, but is 0",
        ),
        (
            config(0.1, 1).with_steps_per_epoch(0),
            "steps_per_epoch must be at least 1, but is 0",
        ),
    ] {
        let error = config.try_init().err().expect("it is out of range");
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

#[test]
fn cycles_too_long_to_count_do_not_overflow() {
    let config = CosineWarmRestartsLrSchedulerConfig::new(1.0, usize::MAX / 2)
        .with_cycle_factor(usize::MAX)
        .with_steps_per_epoch(usize::MAX);
    assert_eq!(config.build().step(), 1.0);
}

#[test]
fn the_largest_step_counts_on() {
    for factor in [1, 2] {
        let config = CosineWarmRestartsLrSchedulerConfig::new(1.0, 10).with_cycle_factor(factor);
        let mut scheduler = config.build();
        let record = LrSchedulerRecord::new().with_scalar("step", usize::MAX);
        scheduler.load_record(record);
        let rates = [scheduler.step(), scheduler.step()];
        assert_eq!(rates[0], rates[1], "it stays where it is");
        assert!((0.0..=1.0).contains(&rates[0]));
    }
}

//! Times until the device is done, and their median.

use std::time::{Duration, Instant};

use burn::optim::ModuleOptimizer;
use burn::tensor::Device;

use crate::common::Parameters;

/// How long work took.
#[derive(Clone, Copy)]
pub struct Times {
    /// Until the call returned.
    #[allow(dead_code, reason = "benches/gpu.rs alone reports it")]
    pub host: Duration,
    /// Until the device was done.
    pub device: Duration,
}

pub fn time(device: &Device, work: impl FnOnce()) -> Times {
    let wait = || device.sync().expect("the device is there");
    wait();
    let start = Instant::now();
    work();
    let host = start.elapsed();
    wait();
    Times {
        host,
        device: start.elapsed(),
    }
}

pub fn time_step(
    model: &mut Parameters,
    gradients: &Parameters,
    optimizer: &mut ModuleOptimizer,
    device: &Device,
) -> Times {
    let gradients = model.gradients(gradients);
    // As in the `Learner`, which keeps its model meanwhile.
    let clone = model.clone();
    let mut stepped = None;
    let times = time(device, || {
        stepped = Some(optimizer.step(1e-3, clone, gradients));
    });
    model.clone_from(&stepped.expect("the step was taken"));
    times
}

#[derive(Clone, Copy)]
pub struct Quarters {
    pub lower: f64,
    pub median: f64,
    pub upper: f64,
}

pub fn quarters(values: impl Iterator<Item = f64>) -> Quarters {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
    Quarters {
        lower: at(0.25),
        median: at(0.5),
        upper: at(0.75),
    }
}

impl std::fmt::Display for Quarters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            lower,
            median,
            upper,
        } = self;
        f.pad(&format!("{median:.3} ({lower:.3}–{upper:.3})"))
    }
}

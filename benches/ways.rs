//! A step in each way to decay beside the plain one, and Burn's other optimizers with a decay of ours
//! beside themselves without one.
//!
//! ```text
//! cargo bench --bench ways                      # flex
//! cargo bench --bench ways --features ndarray   # flex and ndarray
//! ```
//!
//! Eight matrices, 4.2 M parameters in all. In each round every optimizer takes a step in turn; a
//! figure is the median of the rounds, and the quarters around it.

mod common;
#[path = "common/devices.rs"]
mod devices;
#[path = "common/timing.rs"]
mod timing;

use burn::optim::{
    AdaGradConfig, AdanConfig, LionConfig, ModuleOptimizer, MuonConfig, Optimizer, RmsPropConfig,
};
use burn::tensor::Device;
use burn_decay::{AdamWConfig, DecaySchedule, DecayTarget, DecayedConfig};

use common::{Parameters, Shapes};
use devices::devices;
use timing::{quarters, time_step};

const PARAMETERS: usize = 1 << 22;
const ROUNDS: usize = 31;

/// AdamW, the plain one first.
fn ways() -> Vec<(&'static str, ModuleOptimizer)> {
    let adamw = AdamWConfig::new;
    let (end, steps) = (0.4, 1000);
    vec![
        ("AdamW", adamw().init()),
        (
            "a schedule",
            adamw()
                .with_decay_schedule(DecaySchedule::Cosine { end, steps })
                .init(),
        ),
        ("cautious", adamw().with_cautious_weight_decay(true).init()),
        ("L1", adamw().with_l1_decay(1e-3).init()),
        (
            "towards the start",
            adamw().with_decay_target(DecayTarget::Start).init(),
        ),
        (
            "stochastic rounding",
            adamw().with_stochastic_rounding(true).init(),
        ),
    ]
}

/// Itself, and with our decay.
fn pair<O: Optimizer>(inner: O) -> Vec<(&'static str, ModuleOptimizer)> {
    let decayed = DecayedConfig::new().with_weight_decay(0.1);
    let nearest = decayed.clone().with_stochastic_rounding(false);
    vec![
        ("itself", inner.clone().into()),
        ("decayed", decayed.init(inner.clone())),
        ("decayed, to the nearest", nearest.init(inner)),
    ]
}

/// Each one's milliseconds, and the ratio to the first one of the same round.
fn compare(title: &str, device: &Device, optimizers: Vec<(&str, ModuleOptimizer)>) {
    let shapes = Shapes::eight(PARAMETERS);
    let gradients = Parameters::random(&shapes, device);
    let start = Parameters::random(&shapes, device);
    let mut runs: Vec<_> = optimizers
        .into_iter()
        .map(|(name, optimizer)| (name, optimizer, start.clone(), Vec::new()))
        .collect();
    for round in 0..ROUNDS + 2 {
        for (_, optimizer, model, times) in &mut runs {
            let time = time_step(model, &gradients, optimizer, device).device;
            // The first steps make the state.
            if round >= 2 {
                times.push(1e3 * time.as_secs_f64());
            }
        }
    }
    println!("\n{title:25}  ms                        of the first");
    let first = runs[0].3.clone();
    for (name, _, _, times) in &runs {
        let ratios = times.iter().zip(&first).map(|(time, first)| time / first);
        let (times, ratios) = (quarters(times.iter().copied()), quarters(ratios));
        println!("{name:25}  {times:24}  {ratios}");
    }
}

fn main() {
    for (backend, device) in devices() {
        compare(backend, &device, ways());
        compare("Lion", &device, pair(LionConfig::new().build()));
        compare("RMSProp", &device, pair(RmsPropConfig::new().build()));
        compare("AdaGrad", &device, pair(AdaGradConfig::new().build()));
        compare("Adan", &device, pair(AdanConfig::new().build()));
        compare("Muon", &device, pair(MuonConfig::new().build()));
    }
}

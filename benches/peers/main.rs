//! The Rust side of run.py: takes steps on request, in lines of JSON.
//!
//! The first line that it writes has the models, `[[name, shapes], …]`. From then on a line
//! `[contender, name, steps]` is answered by the steps' times in nanoseconds, or by a text that
//! says what is missing.

mod additions;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/devices.rs"]
mod devices;
#[path = "../common/networks.rs"]
mod networks;

use std::time::Duration;

use burn::optim::ModuleOptimizer;
use burn_decay::AdamWConfig;
use serde_json::json;

use additions::Additions;
use common::{Parameters, Shapes};
use devices::devices;
use networks::models;

const WARM_UP: u64 = 3;

fn adamw(contender: &str) -> Option<(&str, ModuleOptimizer)> {
    let (optimizer, backend) = contender.split_once(':')?;
    let optimizer = match optimizer {
        "burn-decay" => AdamWConfig::torch().init(),
        "burn" => burn::optim::AdamWConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay(1e-2)
            .init(),
        _ => return None,
    };
    Some((backend, optimizer))
}

fn steps(contender: &str, shapes: &Shapes, steps: u64) -> Result<Vec<Duration>, String> {
    let mut times = Vec::new();
    if contender == "additions" {
        let mut memory = Additions::new(shapes);
        times.extend((0..WARM_UP + steps).map(|_| memory.pass()));
    } else {
        let (backend, mut optimizer) =
            adamw(contender).ok_or(format!("missing: no contender is called {contender}"))?;
        let device = devices()
            .into_iter()
            .find_map(|(name, device)| (name == backend).then_some(device))
            .ok_or(format!("missing: {backend} is not compiled in"))?;
        let model = Parameters::random(shapes, &device);
        let gradients = Parameters::random(shapes, &device);
        model.time_steps(&gradients, &mut optimizer, WARM_UP + steps, |time| {
            times.push(time)
        });
    }
    Ok(times.split_off(WARM_UP as usize))
}

fn main() {
    let models = models();
    let shapes = models
        .iter()
        .map(|(name, shapes)| json!([name, shapes.all().collect::<Vec<_>>()]));
    println!("{}", json!(shapes.collect::<Vec<_>>()));
    for line in std::io::stdin().lines() {
        let line = line.expect("the standard input can be read");
        let (contender, name, count): (String, String, u64) = serde_json::from_str(&line)
            .unwrap_or_else(|error| {
                panic!("expected [contender, name, steps], not {line}: {error}")
            });
        let (_, shapes) = models
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("no model is called {name}"));
        let answer = match steps(&contender, shapes, count) {
            Ok(times) => times.iter().map(|time| time.as_nanos() as u64).collect(),
            Err(missing) => json!(missing),
        };
        println!("{answer}");
    }
}

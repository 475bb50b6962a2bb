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

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::ModuleOptimizer;
use burn::tensor::{DType, Tensor};
use burn_decay::{AdamWConfig, MomentPrecision};
use serde_json::json;

use additions::Additions;
use common::{Parameters, Shapes};
use devices::devices;
use networks::models;

const WARM_UP: u64 = 3;

/// What `burn-decay:flex` asks for, or `burn-decay:flex:BF16:Bits8:plain`: a backend, the precisions of
/// weights and moments where they are not full ones, and whether there are no master weights.
struct Contender<'a> {
    backend: &'a str,
    weights: DType,
    adamw: ModuleOptimizer,
}

fn contender(name: &str) -> Option<Contender<'_>> {
    let mut parts = name.split(':');
    let (optimizer, backend) = (parts.next()?, parts.next()?);
    let weights = match parts.next() {
        None | Some("F32") => DType::F32,
        Some("BF16") => DType::BF16,
        Some(_) => return None,
    };
    let moments = match parts.next() {
        None | Some("Full") => MomentPrecision::Full,
        Some("Bf16") => MomentPrecision::Bf16,
        Some("Bits8") => MomentPrecision::Bits8,
        Some(_) => return None,
    };
    let has_master = match parts.next() {
        None => true,
        Some("plain") => false,
        Some(_) => return None,
    };
    let adamw = match optimizer {
        "burn-decay" => AdamWConfig::torch()
            .with_moment_precision(moments)
            .with_master_weights(has_master)
            .init(),
        "burn" if name.split(':').count() == 2 => burn::optim::AdamWConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay(1e-2)
            .init(),
        _ => return None,
    };
    Some(Contender {
        backend,
        weights,
        adamw,
    })
}

struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = parameter.consume();
        Param::from_mapped_value(id, tensor.cast(self.0), mapper)
    }
}

fn steps(name: &str, shapes: &Shapes, steps: u64) -> Result<Vec<Duration>, String> {
    let mut times = Vec::new();
    if name == "additions" {
        let mut memory = Additions::new(shapes);
        times.extend((0..WARM_UP + steps).map(|_| memory.pass()));
    } else {
        let Contender {
            backend,
            weights,
            mut adamw,
        } = contender(name).ok_or(format!("missing: no contender is called {name}"))?;
        let device = devices()
            .into_iter()
            .find_map(|(name, device)| (name == backend).then_some(device))
            .ok_or(format!("missing: {backend} is not compiled in"))?;
        let random = || Parameters::random(shapes, &device).map(&mut Cast(weights));
        let (model, gradients) = (random(), random());
        model.time_steps(&gradients, &mut adamw, WARM_UP + steps, |time| {
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

//! The Rust side of run.py: takes steps on request.
//!
//! A line `contender parameters steps` on the standard input is answered by a line with the steps'
//! times in nanoseconds, separated by spaces.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/devices.rs"]
mod devices;

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use burn::optim::ModuleOptimizer;
use burn_decay::AdamWConfig;
use rayon::prelude::*;

use common::{Parameters, Shapes};
use devices::devices;

const TENSORS: usize = 8;
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

fn steps(contender: &str, parameters: usize, steps: u64) -> Result<Vec<Duration>, String> {
    let mut times = Vec::new();
    if contender == "bare" {
        let mut memory = Bare::new(parameters);
        times.extend((0..WARM_UP + steps).map(|_| memory.pass()));
    } else {
        let (backend, mut optimizer) =
            adamw(contender).ok_or(format!("no contender is called {contender}"))?;
        let device = devices()
            .into_iter()
            .find_map(|(name, device)| (name == backend).then_some(device));
        let device = device.ok_or(format!("{backend} is not compiled in"))?;
        let shapes = Shapes::eight(parameters);
        let model = Parameters::random(&shapes, &device);
        let gradients = Parameters::random(&shapes, &device);
        model.time_steps(&gradients, &mut optimizer, WARM_UP + steps, |time| {
            times.push(time)
        });
    }
    Ok(times.split_off(WARM_UP as usize))
}

/// The memory traffic of a step, and next to no arithmetic.
struct Bare {
    theta: Vec<Vec<f32>>,
    gradient: Vec<Vec<f32>>,
    fresh_gradient: Vec<Vec<f32>>,
    moment_1: Vec<Vec<f32>>,
    moment_2: Vec<Vec<f32>>,
}

impl Bare {
    fn new(parameters: usize) -> Self {
        let tensors = || vec![vec![1.0; parameters / TENSORS]; TENSORS];
        Self {
            theta: tensors(),
            gradient: tensors(),
            fresh_gradient: tensors(),
            moment_1: tensors(),
            moment_2: tensors(),
        }
    }

    fn pass(&mut self) -> Duration {
        const CHUNK: usize = 1 << 14;
        for (gradient, fresh) in self.gradient.iter_mut().zip(&self.fresh_gradient) {
            gradient.copy_from_slice(fresh);
        }
        let start = Instant::now();
        let tensors = self.theta.iter().zip(&mut self.gradient);
        let tensors = tensors.zip(self.moment_1.iter_mut().zip(&mut self.moment_2));
        let chunks: Vec<_> = tensors
            .flat_map(|((theta, gradient), (moment_1, moment_2))| {
                let read = theta.chunks(CHUNK).zip(gradient.chunks_mut(CHUNK));
                let moments = moment_1.chunks_mut(CHUNK).zip(moment_2.chunks_mut(CHUNK));
                read.zip(moments)
                    .map(|((theta, gradient), (moment_1, moment_2))| Chunk {
                        theta,
                        gradient,
                        moment_1,
                        moment_2,
                    })
            })
            .collect();
        // All tensors at once: no thread waits between two of them, as an optimizer's must.
        if chunks.len() <= TENSORS {
            chunks.into_iter().for_each(Chunk::pass);
        } else {
            chunks.into_par_iter().for_each(Chunk::pass);
        }
        start.elapsed()
    }
}

struct Chunk<'a> {
    theta: &'a [f32],
    gradient: &'a mut [f32],
    moment_1: &'a mut [f32],
    moment_2: &'a mut [f32],
}

impl Chunk<'_> {
    fn pass(self) {
        let moments = self.moment_1.iter_mut().zip(self.moment_2);
        for ((theta, g), (m, v)) in self.theta.iter().zip(self.gradient).zip(moments) {
            *g += theta;
            *m += 1.0;
            *v += 1.0;
        }
    }
}

fn main() {
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the standard input can be read");
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [contender, parameters, count] = fields[..] else {
            panic!("expected `contender parameters steps`, not `{line}`");
        };
        let number = |text: &str| {
            text.parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"))
        };
        let answer = match steps(contender, number(parameters) as usize, number(count)) {
            Ok(times) => times
                .iter()
                .map(|time| time.as_nanos().to_string())
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("missing: {error}"),
        };
        println!("{answer}");
        std::io::stdout()
            .flush()
            .expect("the standard output can be written");
    }
}

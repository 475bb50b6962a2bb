//! Decay delivered over decay asked for, in f32 and in bf16: burn-decay's AdamW and Burn's own, run
//! here, beside those of other libraries, which peers.py has recorded.
//!
//! ```text
//! cargo run --release --example fidelity
//! ```

#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../../tests/conformance/data.rs"]
mod data;
mod picture;

use burn::optim::Optimizer;
use burn::tensor::{DType, Device, Tensor};
use rayon::prelude::*;

const STEPS: i32 = 2000;
/// The learning rate: PyTorch's default. λ is the lr·λ that is asked for, over this.
const LR: f64 = 1e-3;

/// lr·λ from 1e-9 to 1e-2, two in each decade.
fn asked() -> [f64; 15] {
    std::array::from_fn(|i| 10f64.powf(0.5 * i as f64 - 9.0))
}

/// The share that is delivered of each decay: what a run with it has lost of the initial weights,
/// beside a run without decay on the same gradients.
fn delivered<O: Optimizer>(dtype: DType, count: usize, adamw: impl Fn(f64) -> O) -> Vec<f64> {
    let noise = |step: i32| {
        let noise = data::noise(1, step as u64, count);
        Tensor::<1>::from_data(noise.as_slice(), &Device::flex()).cast(dtype)
    };
    let initial = noise(0);
    let run = |decay| (adamw(decay / LR), initial.clone(), None);
    let mut runs: Vec<_> = [0.0].into_iter().chain(asked()).map(run).collect();
    for step in 1..=STEPS {
        let gradient = noise(step);
        runs.par_iter_mut().for_each(|(adamw, weights, state)| {
            (*weights, *state) = adamw.step(LR, weights.clone(), gradient.clone(), state.take());
        });
    }
    let wide = |weights: &Tensor<1>| weights.clone().cast(DType::F64);
    let along = |weights| -> f64 { (wide(weights) * wide(&initial)).sum().into_scalar() };
    let lost = runs.iter().map(|run| along(&runs[0].1) - along(&run.1));
    let share = |(lost, asked)| lost / along(&initial) / (1.0 - f64::powi(1.0 - asked, STEPS));
    lost.skip(1).zip(asked()).map(share).collect()
}

fn ours(decay: f64) -> burn_decay::AdamW {
    let adamw = burn_decay::AdamWConfig::torch();
    adamw.with_weight_decay(decay).build()
}

fn burns(decay: f64) -> burn::optim::AdamW {
    let adamw = burn::optim::AdamWConfig::new().with_epsilon(1e-8);
    adamw.with_weight_decay(decay as f32).build()
}

/// What peers.py has recorded in a precision: names, and shares.
fn recorded(precision: &str) -> impl Iterator<Item = picture::Curve> {
    include_str!("peers.csv").lines().filter_map(move |line| {
        let mut cells = line.split(',');
        let (row, name) = (cells.next()?, cells.next()?);
        let shares = cells.map(|share| share.parse().expect("a number"));
        (row == precision).then(|| (name, shares.collect()))
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In bf16 the rounding of few weights hides a small decay: it takes many for a mean. What is
    // recorded is of 32,768, so that the noise of stochastic rounding is four times as large.
    let panels = [("f32", DType::F32, 8192), ("bf16", DType::BF16, 524_288)];
    let panels = panels.map(|(precision, dtype, count)| {
        let ours = ("burn-decay", delivered(dtype, count, ours));
        let burns = ("Burn 0.22.1", delivered(dtype, 8192, burns));
        println!("In {precision}, at lr·λ of 1e-9, 1e-8, …, 1e-2:");
        let print = |(name, shares): &(_, Vec<f64>)| {
            let decades: Vec<_> = shares.iter().step_by(2).collect();
            println!("{name:27} {decades:7.3?}");
        };
        let curves = [ours, burns].into_iter().chain(recorded(precision));
        (precision, curves.inspect(print).collect())
    });
    picture::draw(&panels)
}

#[cfg(test)]
#[test]
fn every_decay_is_delivered() {
    let ours = delivered(DType::F32, 8192, ours);
    assert!(ours.iter().all(|share| (share - 1.0).abs() < 0.01));
    assert!(recorded("bf16").all(|(_, shares)| shares.len() == ours.len()));
}

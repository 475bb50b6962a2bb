//! Trains an MNIST classifier under the L2 penalty and under decoupled weight decay, and measures
//! what each does to the weights. The heart of it is training.rs.

mod batches;
#[path = "../overfitting/chart.rs"]
mod chart;
mod checkpoints;
mod digits;
mod files;
mod lines;
mod model;
mod options;
mod training;

use std::{error::Error, fs};

use burn::train::{LearnerSummary, TrainStep};
use burn::{data::dataloader::batcher::Batcher, tensor::Tensor};
use clap::Parser;

use batches::{BATCH_SIZE, Batches};
use chart::{Points, draw, epochs};
use digits::{Digit, Digits};
use files::write_whole;
use model::Classifier;
use options::{Options, Scheme};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let digits = Digits::load(&options.data)?;
    for &scheme in &options.optimizer {
        scheme.optimizer(options.coefficients(scheme).1)?;
    }
    let folder = options.out.join("learner");
    options.prepare(&folder)?;

    let mut runs = Vec::new();
    for &scheme in &options.optimizer {
        let name = format!("{scheme:?}");
        let folder = folder.join(&name);
        let (_, lambda) = options.coefficients(scheme);
        println!("\n{name}, λ = {lambda}\ntrain loss  accuracy  test loss  accuracy");
        let model = scheme.train(&options, &digits, &folder)?;
        let effective = effective_lambda(scheme, lambda, &digits.train, &model);
        let [small, large] = [effective[0].1, effective[9].1];
        println!("effective λ: {small:.4} at the smallest gradients, {large:.4} at the largest");
        let metrics = LearnerSummary::new(folder, &["Loss", "Accuracy"])?.metrics;
        let metrics = [&metrics.train[0], &metrics.valid[0], &metrics.valid[1]];
        let [train, test, accuracy] =
            metrics.map(|metric| epochs(metric.entries.iter().map(|entry| entry.value)));
        runs.push((name, [train, test, accuracy, effective]));
    }

    let panels = [
        ("train loss", false),
        ("test loss", false),
        ("test accuracy (%)", false),
        ("effective λ by size of gradients", true),
    ];
    let curves = panels.map(|panel| panel.0);
    let summary = serde_json::json!({ "curves": curves, "runs": runs }).to_string();
    let file = |name| options.out.join(name);
    write_whole(&file("curves.png"), |path| draw(path, panels, &runs))?;
    write_whole(&file("summary.json"), |path| fs::write(path, summary))?;
    println!("\nwritten to {}", options.out.display());
    Ok(())
}

/// Sorts the first layer's weights by the size (rms) of their gradients over 100 batches. Of each
/// tenth of them, the medians of that size and of the effective λ: the share of a weight that decays
/// in a step of learning rate 1. (Under SGD's L2 penalty, momentum makes it ten times λ.)
fn effective_lambda(scheme: Scheme, lambda: f64, digits: &[Digit], model: &Classifier) -> Points {
    let first = &model.layers[0].weight;
    let batches = digits.chunks(BATCH_SIZE).cycle().take(100);
    let batches = batches.map(|digits| Batches.batch(digits.to_vec(), &first.device()));
    let gradients = batches.map(|batch| model.step(batch).grads);

    // Every step starts from the trained weights; by the last, the moments have settled.
    let stepped = |lambda| {
        let mut optimizer = scheme.optimizer(lambda).expect("a λ that has trained");
        let step = |gradients| optimizer.step(1.0, model.clone(), gradients);
        let last = gradients.clone().map(step).last().expect("digits");
        last.layers[0].weight.val().inner()
    };
    let decay = (stepped(0.0) - stepped(lambda)) / first.val().inner();
    let squares = gradients.filter_map(|gradients| Some(gradients.get::<2>(first.id)?.square()));
    let sum = squares.fold(decay.zeros_like(), |sum, square| sum + square);
    let (rms, order) = (sum / 100).sqrt().flatten::<1>(0, 1).sort_with_indices(0);
    let decay = decay.flatten::<1>(0, 1).gather(0, order);
    let tenths = rms.chunk(10, 0).into_iter().zip(decay.chunk(10, 0));
    let median = |tenth: Tensor<1>| tenth.median(0).into_scalar();
    tenths
        .map(|(rms, decay)| (median(rms), median(decay)))
        .collect()
}

//! Trains an MNIST classifier under the L2 penalty and under decoupled weight decay, and measures
//! what each does to the weights. The heart of it is training.rs.
//!
//! ```text
//! cargo run --release --example mnist
//! cargo run --release --example mnist -- --help
//! ```

mod batches;
#[path = "../overfitting/chart.rs"]
mod chart;
mod decay;
mod digits;
mod files;
mod lines;
mod options;
mod training;

use std::collections::BTreeMap;
use std::{error::Error, fs};

use burn::train::{LearnerSummary, MetricSummary};
use clap::Parser;

use chart::{Panel, Points, draw, plain};
use decay::effective_lambda;
use digits::Digits;
use files::write_whole;
use options::Options;
use training::{learner, train};

/// What the initial weights and the order of the images are drawn from.
const SEED: u64 = 42;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let digits = Digits::load(&options.data)?;
    let folder = options.out.join("learner");
    options.prepare(&folder)?;

    let mut runs = BTreeMap::new();
    for &scheme in &options.optimizer {
        let name = format!("{scheme:?}");
        let folder = folder.join(&name);
        println!("\n{name}, λ = {}", options.coefficients(scheme).1);
        let learner = learner(scheme, &options, digits.train.len())?;
        let model = train(learner, &options, &digits, &folder)?;
        let metrics = LearnerSummary::new(&folder, &["Loss", "Accuracy"])?.metrics;
        let effective = effective_lambda(&model, scheme, &options, &digits.train);
        println!(
            "measured λ: {:.4} of the tenth of the weights with the smallest gradients, {:.4} of that with the largest",
            effective[0].1, effective[9].1
        );
        let epochs = |metric: &MetricSummary| -> Points {
            let entries = metric.entries.iter();
            entries
                .map(|entry| (entry.step as f64, entry.value))
                .collect()
        };
        let curves = BTreeMap::from([
            ("train loss", epochs(&metrics.train[0])),
            ("test loss", epochs(&metrics.valid[0])),
            ("test accuracy", epochs(&metrics.valid[1])),
            ("effective λ", effective),
        ]);
        runs.insert(name, curves);
    }

    let lines = |curve: &str| -> Vec<Points> {
        runs.values().map(|curves| curves[curve].clone()).collect()
    };
    let losses = [lines("test loss"), lines("train loss")].concat();
    let logarithms = lines("effective λ")
        .into_iter()
        .map(|points| {
            points
                .into_iter()
                .map(|(x, y)| (x.log10(), y.log10()))
                .collect()
        })
        .collect();
    let power = |exponent: &f64| format!("{:.0e}", 10f64.powf(*exponent));
    let title = "effective λ by the size (rms) of gradients";
    let panels: [Panel; 3] = [
        ("loss: test, paler: train", losses, [plain, plain]),
        ("test accuracy (%)", lines("test accuracy"), [plain, plain]),
        (title, logarithms, [power, power]),
    ];
    let names: Vec<_> = runs.keys().map(String::as_str).collect();
    let [picture, summary] = ["curves.png", "summary.json"].map(|name| options.out.join(name));
    write_whole(&picture, |path| draw(path, &names, &panels))?;
    let json = serde_json::to_string_pretty(&runs)?;
    write_whole(&summary, |path| fs::write(path, json))?;
    println!(
        "\nwritten to {} and {}",
        picture.display(),
        summary.display()
    );
    Ok(())
}

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
mod report;
mod resume;
mod training;

use std::error::Error;
use std::time::Instant;

use burn::train::{LearnerSummary, MetricSummary};
use clap::Parser;

use options::Options;

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("mnist: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let digits = digits::Digits::load(&options.data)?;
    for scheme in &options.optimizer {
        // Options that make no sense are refused before anything is written.
        scheme.learner(options, digits.train.len())?;
    }
    let folder = options.out.join("learner");
    resume::prepare(&folder, options)?;

    let mut runs = Vec::new();
    for &scheme in &options.optimizer {
        let start = Instant::now();
        let name = format!("{scheme:?}");
        let model = scheme.train(options, &digits, &folder.join(&name))?;
        let metrics = LearnerSummary::new(folder.join(&name), &["Loss", "Accuracy"])?.metrics;
        let epochs = |metric: &MetricSummary| metric.entries.iter().map(|e| e.value).collect();
        let [gradient_rms, effective_lambda] =
            decay::measure(scheme, options, &digits.train, &model);
        runs.push(report::Run {
            optimizer: name,
            lambda: scheme.coefficients(options).1,
            train_loss: epochs(&metrics.train[0]),
            test_loss: epochs(&metrics.valid[0]),
            test_accuracy: epochs(&metrics.valid[1]),
            gradient_rms,
            effective_lambda,
            seconds: start.elapsed().as_secs_f64(),
        });
    }
    report::print(&runs);
    let [picture, summary] = ["curves.png", "summary.json"].map(|name| options.out.join(name));
    files::write_whole(&picture, |path| report::draw(&runs, path))?;
    let json = serde_json::to_string_pretty(&runs)?;
    files::write_whole(&summary, |path| std::fs::write(path, json))?;
    println!(
        "\nwritten to curves.png and summary.json in {}",
        options.out.display()
    );
    Ok(())
}

//! Trains an MNIST classifier under the L2 penalty and under decoupled weight decay, and measures
//! what each does to the weights. Its heart is training.rs.
//!
//! ```text
//! cargo run --release --example mnist
//! cargo run --release --example mnist -- --help
//! ```

mod batches;
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

use burn::train::LearnerSummary;
use clap::Parser;

use options::{Options, Scheme};
use report::Run;

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("mnist: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let digits = digits::Digits::load(&options.data)?;
    for scheme in &options.optimizer {
        // Whether the options make sense, before anything is written.
        scheme.learner(options, digits.train.len())?;
    }
    let learner = options.out.join("learner");
    let failed = |error| format!("--out {}: {error}", options.out.display());
    resume::prepare(&learner, options).map_err(failed)?;

    let run = |scheme: &Scheme| {
        let start = Instant::now();
        let folder = learner.join(format!("{scheme:?}"));
        let model = scheme.train(options, &digits, &folder)?;
        let metrics = LearnerSummary::new(&folder, &["Loss", "Accuracy"])?.metrics;
        let [gradient_rms, effective_lambda] = decay::measure(*scheme, options, &digits, &model);
        Ok::<_, String>(Run {
            optimizer: format!("{scheme:?}"),
            lambda: scheme.coefficients(options).1,
            train_loss: metrics.train[0]
                .entries
                .iter()
                .map(|epoch| epoch.value)
                .collect(),
            test_loss: metrics.valid[0]
                .entries
                .iter()
                .map(|epoch| epoch.value)
                .collect(),
            test_accuracy: metrics.valid[1]
                .entries
                .iter()
                .map(|epoch| epoch.value)
                .collect(),
            gradient_rms,
            effective_lambda,
            seconds: start.elapsed().as_secs_f64(),
        })
    };
    let runs = options
        .optimizer
        .iter()
        .map(run)
        .collect::<Result<Vec<_>, _>>()?;
    report::print(&runs);
    let [picture, summary] = ["curves.png", "summary.json"].map(|name| options.out.join(name));
    files::write_whole(&picture, |path| report::draw(&runs, path))?;
    let json = serde_json::to_string_pretty(&runs)?;
    files::write_whole(&summary, |path| std::fs::write(path, json))?;
    println!(
        "\nwritten to {} and {}",
        picture.display(),
        summary.display()
    );
    Ok(())
}

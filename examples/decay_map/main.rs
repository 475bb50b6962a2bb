//! Draws the map of learning rate and λ that *Decoupled Weight Decay Regularization* argues with,
//! from training runs on real digits.
//!
//! ```text
//! cargo run --release --example decay_map
//! cargo run --release --example decay_map -- --help
//! ```

#[path = "../mnist/digits.rs"]
mod digits;
#[path = "../mnist/files.rs"]
mod files;
mod numbers;
mod options;
mod picture;
mod results;
mod sweep;
mod training;

use std::fs;
use std::process::ExitCode;

use clap::Parser;

use numbers::Finding;
use options::Options;
use results::Results;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decay_map: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let settings = options.settings()?;
    let problem = training::Problem::new(&settings)?;
    fs::create_dir_all(&options.out)
        .map_err(|error| format!("{}: {error}", options.out.display()))?;
    let mut results = Results::open(&options.out.join("runs.jsonl"), &settings)?;
    sweep::run(&settings, &problem, &mut results, options.jobs)?;

    let findings = Finding::of_all(&settings, &results);
    numbers::print(&findings);
    let [csv, png, json] =
        ["decay_map.csv", "decay_map.png", "decay_map.json"].map(|name| options.out.join(name));
    files::write_whole(&csv, |path| fs::write(path, results.csv(&settings)))?;
    picture::draw(&settings, &results, &findings, &png)?;
    let text = serde_json::to_string_pretty(&findings).map_err(|error| error.to_string())?;
    files::write_whole(&json, |path| fs::write(path, text + "\n"))?;
    println!(
        "\nwritten to {}, {} and {}",
        png.display(),
        csv.display(),
        json.display()
    );
    Ok(())
}

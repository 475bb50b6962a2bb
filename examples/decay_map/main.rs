//! Draws the map of learning rate and λ that *Decoupled Weight Decay Regularization* argues with,
//! from training runs on real digits.
//!
//! ```text
//! cargo run --release --example decay_map -- --help
//! ```

#[path = "../mnist/digits.rs"]
mod digits;
#[path = "../mnist/files.rs"]
mod files;
mod findings;
mod options;
mod picture;
mod sweep;
mod training;

use std::fs;

use clap::Parser;

use files::write_whole;
use findings::Finding;
use options::Options;

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("decay_map: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), String> {
    let maps = options.maps()?;
    let out = &options.out;
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let results = sweep::run(&maps, options, &out.join("runs.jsonl"))?;
    let findings: Vec<Finding> = maps.iter().map(|map| Finding::new(map, &results)).collect();
    findings::print(&findings);

    let csv = sweep::csv(&maps, &results);
    write_whole(&out.join("decay_map.csv"), |path| fs::write(path, csv))?;
    let json = serde_json::to_string_pretty(&findings).map_err(|error| error.to_string())?;
    write_whole(&out.join("decay_map.json"), |path| fs::write(path, json))?;
    picture::draw(&findings, options.seeds.get(), &out.join("decay_map.png"))?;
    println!("\ndecay_map.png, .csv and .json are in {}", out.display());
    Ok(())
}

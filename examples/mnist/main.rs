//! Trains an MNIST classifier under the L2 penalty and under decoupled weight decay.
//!
//! ```text
//! cargo run --release --example mnist
//! cargo run --release --example mnist -- --help
//! ```

mod batches;
mod digits;
mod files;
mod lines;
mod metric;
mod model;
mod options;
mod report;
mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::prelude::*;
use clap::Parser;

use digits::{Digits, without_panicking};
use model::Classifier;
use options::{OptimizerName, Options, Settings};
use report::Summary;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mnist: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that can be refused is looked at before anything is written.
fn run(options: &Options) -> Result<(), String> {
    let settings = &options.settings;
    for name in &options.optimizer {
        name.init(settings)?;
    }
    let digits = Digits::load(&settings.data)?;
    let device = without_panicking("BURN_DEVICE", Device::default)?;
    prepare(options)?;

    println!(
        "{} training and {} test digits on {device:?}",
        digits.train.len(),
        digits.test.len()
    );
    device.seed(settings.seed);
    let initial = Classifier::new(settings, &device.clone().autodiff());
    let train = |name: &OptimizerName| training::train(*name, options, &digits, &initial, &device);
    let runs = options
        .optimizer
        .iter()
        .map(train)
        .collect::<Result<Vec<_>, _>>()?;

    let summary = Summary::new(&runs, options);
    summary.print();
    let [curves, json] = results(&options.out);
    report::draw(&runs, &curves)?;
    summary.write(&json)?;
    println!("\nwritten to {} and {}", curves.display(), json.display());
    Ok(())
}

/// The files that a run ends with.
fn results(out: &Path) -> [PathBuf; 2] {
    ["curves.png", "summary.json"].map(|name| out.join(name))
}

/// Makes the folder of --out ready: for a new run, or for one that goes on with the same settings.
fn prepare(options: &Options) -> Result<(), String> {
    let Options { out, settings, .. } = options;
    let file = out.join("settings.json");
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let text = serde_json::to_string_pretty(settings).map_err(|error| error.to_string())?;

    let before = match fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(&file, error)),
    };
    if options.resume {
        let before = before.ok_or(format!(
            "--resume: nothing to go on with in {}",
            out.display()
        ))?;
        // Both as they are read: the parser may take a number's last bit.
        let read = |text: &str| {
            serde_json::from_str::<Settings>(text)
                .map_err(|error| format!("--resume: {}: {error}", file.display()))
        };
        return match read(&before)?.difference(&read(&text)?) {
            Some(option) => Err(format!(
                "--resume: the run in {} has another {option}",
                out.display()
            )),
            None => Ok(()),
        };
    }

    fs::create_dir_all(out).map_err(|error| failed(out, error))?;
    for file in results(out)
        .iter()
        .filter(|_| before.is_some())
        .filter(|file| file.exists())
    {
        fs::remove_file(file).map_err(|error| failed(file, error))?;
    }
    for name in OptimizerName::ALL {
        let folder = out.join(name.as_str());
        if folder.exists() && before.is_none() {
            return Err(format!(
                "--out: {} is there, and no run of this example",
                folder.display()
            ));
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| failed(&folder, error))?;
        }
    }
    files::write_whole(&file, |path| fs::write(path, text + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_with_its_settings_and_no_others() {
        let name = format!("mnist-{}", std::process::id());
        let out = std::env::temp_dir().join(name);
        let options = |learning_rate: &str, more: &[&str]| {
            let out = out.to_str().expect("the folder's name is text");
            let arguments = ["mnist", "--out", out, "--learning-rate", learning_rate];
            Options::parse_from(arguments.iter().chain(more))
        };
        // Read back by a parser that is not exact, it loses its last bit.
        let rate = "0.20426086956521738";
        prepare(&options(rate, &[])).unwrap();
        prepare(&options(rate, &["--resume"])).unwrap();
        let error = prepare(&options("0.2", &["--resume"])).unwrap_err();
        assert!(error.ends_with("has another --learning-rate"), "{error}");
        fs::remove_dir_all(&out).unwrap();
    }
}

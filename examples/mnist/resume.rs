//! What --resume needs.

use std::fs;
use std::path::Path;

use burn::{lr_scheduler::LrSchedulerRecord, optim::OptimizerRecord, store::ModuleRecord};

use crate::options::Options;

/// Makes `folder` ready for a new run, or sees that the run in it has the same options.
pub fn prepare(folder: &Path, options: &Options) -> Result<(), String> {
    let file = folder.join("options.txt");
    let failed = |error| format!("{}: {error}", file.display());
    let now = lines(options);
    if options.resume {
        let before = fs::read_to_string(&file).map_err(|e| format!("--resume: {}", failed(e)))?;
        let mut pairs = before.lines().zip(now.lines());
        return match pairs.find(|(before, now)| before != now) {
            Some((before, now)) => Err(format!("--resume: the run has {before}, not {now}")),
            None => Ok(()),
        };
    }
    if file.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    let made = fs::create_dir_all(folder);
    made.and_then(|()| fs::write(&file, now)).map_err(failed)
}

/// A line for each option with which a run must be resumed.
fn lines(options: &Options) -> String {
    let options = serde_json::to_value(options).expect("they are numbers and text");
    let options = options.as_object().into_iter().flatten();
    options
        .map(|(option, value)| format!("--{option} {value}\n"))
        .collect()
}

/// The last epoch whose checkpoint is whole: a run that was killed may have left half of one.
pub fn last_checkpoint(folder: &Path, epochs: usize) -> Option<usize> {
    let file = |name: &str, epoch: &usize| folder.join(format!("checkpoint/{name}-{epoch}.bpk"));
    (1..=epochs).rev().find(|epoch| {
        ModuleRecord::load(file("model", epoch)).is_ok()
            && OptimizerRecord::load(file("optim", epoch)).is_ok()
            && LrSchedulerRecord::load(file("scheduler", epoch)).is_ok()
    })
}

#[cfg(test)]
#[test]
fn a_run_is_resumed_with_its_own_options() {
    let folder = std::env::temp_dir().join(format!("mnist-{}", std::process::id()));
    let options = |line: &str| clap::Parser::parse_from(line.split(' '));
    prepare(&folder, &options("mnist --seed 1")).unwrap();
    prepare(&folder, &options("mnist --seed 1 --resume")).unwrap();
    let error = prepare(&folder, &options("mnist --seed 1 --epochs 11 --resume")).unwrap_err();
    assert_eq!(error, "--resume: the run has --epochs 10, not --epochs 11");
    fs::remove_dir_all(folder).unwrap();
}

//! What --resume needs.

use std::error::Error;
use std::fs;
use std::path::Path;

use burn::{lr_scheduler::LrSchedulerRecord, optim::OptimizerRecord, store::ModuleRecord};
use serde_json::{Map, Value};

use crate::options::Options;

/// Makes the folder ready for a new run, or sees that the run in it has the same options.
pub fn prepare(folder: &Path, options: &Options) -> Result<(), Box<dyn Error>> {
    let file = folder.join("options.json");
    let now = serde_json::to_string_pretty(options)?;
    if options.resume {
        let before: Map<String, Value> = serde_json::from_str(&fs::read_to_string(file)?)?;
        // Not the options themselves: the parser may round a number's last bit.
        let now: Map<String, Value> = serde_json::from_str(&now)?;
        return match now
            .iter()
            .find(|(option, now)| before.get(*option) != Some(now))
        {
            Some((option, now)) => {
                Err(format!("--{option} was {}, not {now}", before[option]).into())
            }
            None => Ok(()),
        };
    }
    if file.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(fs::write(file, now)?)
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

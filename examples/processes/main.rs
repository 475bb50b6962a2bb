//! Trains mnist's classifier on several processes, of this machine or of others: Burn's servers compute
//! the gradients of a share of each batch, and this program holds them together.
//!
//! ```text
//! cargo run --release --features remote --example processes -- --processes 2
//!
//! processes --serve ws://0.0.0.0:3000       # on a machine of a network that is trusted
//! processes --serve iroh://10.0.0.7:3000    # encrypted, on any other
//! processes --remote ws://10.0.0.5:3000,ws://10.0.0.6:3000
//! ```

#[allow(dead_code, reason = "the order of the digits is another here")]
#[path = "../mnist/batches.rs"]
mod batches;
#[path = "../mnist/checkpoints.rs"]
mod checkpoints;
#[path = "../mnist/digits.rs"]
mod digits;
#[path = "../mnist/files.rs"]
mod files;
#[path = "../mnist/lines.rs"]
mod lines;
#[path = "../mnist/model.rs"]
mod model;
mod servers;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;
use std::{env, fs};

use burn::data::{dataloader::DataLoaderBuilder, dataset::InMemDataset};
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::module::Module;
use burn::remote::IrohIdentity;
use burn::tensor::Device;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::*;
use burn_decay::AdamWConfig;
use clap::{Parser, value_parser};

use batches::{BATCH_SIZE, Batch, Batches};
use checkpoints::{Checkpoints, last_whole};
use digits::{Digit, Digits};
use lines::Lines;
use model::Classifier;
use servers::{Servers, TOKEN, connect, end_with_parent, lost, serve};

/// Train mnist's classifier on several processes. What clients show to a server is in the environment
/// variable PROCESSES_TOKEN.
#[derive(Parser)]
struct Options {
    /// The processes to train on, each on the CPU with a share of every batch; 1 is this one alone
    #[arg(long, default_value = "2", value_parser = value_parser!(u8).range(1..=64))]
    processes: u8,
    /// Servers to train on in place of new processes, as --serve names them
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS")]
    remote: Vec<String>,
    /// Let each process step a share of the parameters, and keep their moments (ZeRO's first stage)
    #[arg(long)]
    sharded: bool,
    /// The passes over the training images
    #[arg(long, default_value = "5", value_parser = value_parser!(u16).range(1..))]
    epochs: u16,
    /// Where checkpoints and logs go
    #[arg(long, default_value = "processes-out", value_name = "DIR")]
    out: PathBuf,
    /// Go on from the last checkpoint in the folder of --out, on whatever devices
    #[arg(long)]
    resume: bool,
    /// Compute for others, at ws://127.0.0.1:PORT (this machine alone), ws://0.0.0.0:PORT or
    /// iroh://IP:PORT (which others find this machine by; it listens on every address)
    #[arg(long, value_name = "ADDRESS")]
    serve: Option<String>,
    #[arg(long, hide = true)]
    child: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    match &options.serve {
        Some(address) if options.child => {
            end_with_parent();
            serve(Device::flex(), address)
        }
        Some(address) => serve(Device::default(), address),
        None => train(&options),
    }
}

fn train(options: &Options) -> Result<(), Box<dyn Error>> {
    let (token, servers, addresses);
    if !options.remote.is_empty() || options.processes == 1 {
        (servers, addresses) = (Servers::default(), options.remote.clone());
        token = env::var(TOKEN).unwrap_or_default();
    } else {
        let random = IrohIdentity::random().to_bytes();
        token = random.map(|byte| format!("{byte:02x}")).concat();
        (servers, addresses) = Servers::start(options.processes.into(), &token)?;
    }
    let devices = addresses.iter().map(|address| connect(address, &token));
    let devices: Vec<Device> = devices.collect::<Result<_, _>>()?;
    let shards = devices.len().max(1);
    if !BATCH_SIZE.is_multiple_of(shards) {
        return Err(format!("a batch of {BATCH_SIZE} has no {shards} equal shares").into());
    }
    servers.watch(&addresses);

    let folder = prepare(options)?;
    let digits = Digits::load(&"embedded".into())?;
    let loader = |digits: Vec<Digit>, batch_size| {
        let builder = DataLoaderBuilder::new(Batches).batch_size(batch_size);
        builder.build(InMemDataset::new(digits))
    };
    let epochs = options.epochs.into();
    let done = last_whole(&folder, epochs)?;
    let [model, optimizer, scheduler] = Checkpoints::all(&folder);
    let train = loader(dealt(&digits.train, shards), BATCH_SIZE / shards);
    let mut training = SupervisedTraining::new(&folder, train, loader(digits.test, 500))
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .with_custom_checkpointers(model, optimizer, scheduler)
        .with_application_logger(None)
        .renderer(Box::new(Lines))
        .num_epochs(epochs);
    if done > 0 {
        training = training.checkpoint(done);
    }
    if !devices.is_empty() {
        let optimize = match options.sharded {
            true => MultiDeviceOptim::OptimSharded,
            false => MultiDeviceOptim::OptimMainDevice,
        };
        let devices = devices.into_iter().map(Device::autodiff).collect();
        training =
            training.with_training_strategy(ExecutionStrategy::multi(devices, optimize).into());
    }

    let classifier = Classifier::new(&Device::default().autodiff());
    let steps = epochs * (digits.train.len() / BATCH_SIZE);
    let schedule = CosineAnnealingLrSchedulerConfig::new(1e-3, steps).init()?;
    let optimizer = AdamWConfig::new().with_weight_decay(0.5).init();
    let learner = Learner::new(Shard { classifier, shards }, optimizer, schedule);
    println!("train loss  accuracy  test loss  accuracy");
    let start = Instant::now();
    // Burn panics where a server that it waits for is gone.
    let result = catch_unwind(AssertUnwindSafe(|| training.launch(learner)));
    let error = match result {
        Ok(result) => match (result.error, result.interrupted) {
            (Some(error), _) => Some(error.to_string()),
            (_, interrupted) => interrupted.map(|_| "interrupted".into()),
        },
        Err(_) => Some("the training has panicked".into()),
    };
    if let Some(error) = error {
        let lost = match &*lost(&addresses) {
            [] => String::new(),
            lost => format!("{} is lost: ", lost.join(", ")),
        };
        let first_line = error.lines().next().unwrap_or_default();
        return Err(
            format!("{lost}{first_line}; --resume goes on from the last checkpoint").into(),
        );
    }
    drop(servers);
    println!(
        "{:.1} s on {}",
        start.elapsed().as_secs_f64(),
        match &*addresses {
            [] => "this process".into(),
            addresses => addresses.join(", "),
        }
    );
    Ok(())
}

/// The folder of the run, made ready for a new one, or seen to hold one of the same schedule.
fn prepare(options: &Options) -> Result<PathBuf, Box<dyn Error>> {
    let folder = options.out.join("learner");
    let (file, epochs) = (folder.join("epochs"), options.epochs.to_string());
    if options.resume {
        let before = fs::read_to_string(&file);
        let before = before.map_err(|error| format!("--resume: {}: {error}", file.display()))?;
        if before != epochs {
            return Err(format!("--resume: the run has --epochs {before}, not {epochs}").into());
        }
        return Ok(folder);
    }
    if file.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(file, epochs)?;
    Ok(folder)
}

/// The digits, so dealt out that the shards' batches together are those that one process takes.
fn dealt(digits: &[Digit], shards: usize) -> Vec<Digit> {
    let batches = digits.chunks_exact(BATCH_SIZE);
    let share = BATCH_SIZE / shards;
    let shard = |i| {
        batches
            .clone()
            .flat_map(move |batch| &batch[i * share..][..share])
    };
    (0..shards).flat_map(shard).cloned().collect()
}

/// The classifier on a share of a batch. Burn adds up what the shards' gradients are, and the sum is to
/// be that of the mean loss.
#[derive(Module, Debug)]
struct Shard {
    classifier: Classifier,
    shards: usize,
}

impl InferenceStep for Shard {
    type Input = Batch;
    type Output = ClassificationOutput;
    fn step(&self, batch: Batch) -> ClassificationOutput {
        InferenceStep::step(&self.classifier, batch)
    }
}

impl TrainStep for Shard {
    type Input = Batch;
    type Output = ClassificationOutput;
    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let output = InferenceStep::step(self, batch);
        let gradients = (output.loss.clone() / self.shards as f64).backward();
        TrainOutput::new(self, gradients, output)
    }
}

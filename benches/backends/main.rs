//! Which backend to take: an AdamW step and an epoch of MNIST on each backend that is compiled in,
//! with burn-decay's AdamW and with Burn's own. Half a minute on flex, some three minutes with a GPU
//! in software.
//!
//! ```text
//! cargo bench --bench backends                                 # flex
//! cargo bench --bench backends --features ndarray,wgpu         # beside ndarray and a GPU
//! cargo bench --bench backends --features ndarray,wgpu,fusion  # with fusion, Burn's default
//! ```
//!
//! All take turns: every optimizer on every backend, in each of the rounds. A figure is the median
//! over the rounds (quartiles), and a time is until the device is done. In a round every epoch starts
//! from the same weights and takes the same batches, made beforehand: the test loss and accuracy after
//! it tell whether the work was the same. The table goes to benches/backends.md too, and a picture of
//! its times to benches/backends.png.

#[allow(dead_code, reason = "the loader is for Burn's `Learner`")]
#[path = "../../examples/mnist/batches.rs"]
mod batches;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/devices.rs"]
mod devices;
#[allow(dead_code, reason = "the MLP here knows the number of classes")]
#[path = "../../examples/mnist/digits.rs"]
mod digits;
#[cfg(feature = "wgpu")]
#[path = "../common/gpu.rs"]
mod gpu;
#[path = "../common/mlp.rs"]
mod mlp;
mod picture;
mod table;
#[path = "../common/timing.rs"]
mod timing;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use burn::data::dataloader::batcher::Batcher;
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use burn_decay::AdamWConfig;

use batches::{BATCH_SIZE, Batch, Batches};
use common::{Parameters, Shapes};
use devices::devices;
use digits::{Digit, Digits};
use mlp::{Mlp, epoch};
use table::{Figures, Table};
use timing::{Quarters, quarters, time, time_step};

/// The steps of a turn, which counts by their median.
const STEPS: usize = 10;

type Backend = (&'static str, Device);

fn main() -> Result<(), Box<dyn Error>> {
    let (backends, about) = backends();
    let digits = Digits::load(&"embedded".into())?;
    let small = steps("AdamW step, 66 k parameters, ms", 1 << 16, &backends);
    let large = steps("AdamW step, 4.2 M parameters, ms", 1 << 22, &backends);
    let [epoch, loss, accuracy] = epochs(&digits, &backends);
    let table = Table {
        about,
        backends: backends.iter().map(|backend| backend.0).collect(),
        times: vec![small, large, epoch],
        scores: vec![loss, accuracy],
    };
    println!("{table}");
    let [text, picture] = ["benches/backends.md", "benches/backends.png"].map(Path::new);
    fs::write(text, table.to_string())?;
    picture::draw(&table, picture)?;
    println!("written to {} and {}", text.display(), picture.display());
    Ok(())
}

/// The backends that are compiled in, and what they run on.
fn backends() -> (Vec<Backend>, Vec<String>) {
    let threads = rayon::current_num_threads();
    let mut about = vec![format!("flex: {threads} threads (`RAYON_NUM_THREADS`)")];
    if cfg!(feature = "ndarray") {
        about.push(
            "ndarray: as many, and for a matrix product one for each physical core, 4 at most \
             (`MATMUL_NUM_THREADS`)"
                .into(),
        );
    }
    #[allow(unused_mut, reason = "where there is no GPU")]
    let mut backends = devices();
    #[cfg(feature = "wgpu")]
    match gpu::gpu() {
        Ok((device, description)) => {
            backends.push(("wgpu", device.autodiff()));
            about.push(format!("wgpu: {description}"));
        }
        Err(error) => about.push(format!("wgpu: {error}")),
    }
    (backends, about)
}

/// Ours, and Burn's.
fn optimizers() -> [ModuleOptimizer; 2] {
    [
        AdamWConfig::new().init(),
        burn::optim::AdamWConfig::new().init(),
    ]
}

/// Lets all contenders take turns, first to warm up and then in 5 to 20 rounds, as many as fit in
/// `limit`. A turn gets the round's number, and gives a figure for each title.
fn rounds<const N: usize>(
    titles: [&str; N],
    mut contenders: Vec<impl FnMut(u64) -> [f64; N]>,
    limit: Duration,
) -> [Figures; N] {
    eprintln!("{}", titles[0]);
    for turn in &mut contenders {
        turn(0);
    }
    let mut turns = vec![Vec::new(); contenders.len()];
    let start = Instant::now();
    for round in (1..=20).take_while(|&round| round <= 5 || start.elapsed() < limit) {
        for (turn, turns) in contenders.iter_mut().zip(&mut turns) {
            turns.push(turn(round));
        }
    }
    std::array::from_fn(|i| {
        let of = |turns: &Vec<[f64; N]>| quarters(turns.iter().map(|turn| turn[i]));
        let figures: Vec<Quarters> = turns.iter().map(of).collect();
        Figures {
            title: format!("{} ({} rounds)", titles[i], turns[0].len()),
            pairs: figures.as_chunks().0.to_vec(),
        }
    })
}

fn steps(title: &str, parameters: usize, backends: &[Backend]) -> Figures {
    let shapes = Shapes::eight(parameters);
    let mut contenders = Vec::new();
    for (_, device) in backends {
        let gradients = Parameters::random(&shapes, device);
        for mut optimizer in optimizers() {
            let (mut model, gradients) = (gradients.clone(), gradients.clone());
            contenders.push(move |_| {
                let mut step = || time_step(&mut model, &gradients, &mut optimizer, device).device;
                let times = [(); STEPS].map(|()| 1e3 * step().as_secs_f64());
                [quarters(times.into_iter()).median]
            });
        }
    }
    let [times] = rounds([title], contenders, Duration::from_secs(10));
    times
}

/// The times, and the test losses and accuracies.
fn epochs(digits: &Digits, backends: &[Backend]) -> [Figures; 3] {
    let titles = [
        "MNIST epoch of an MLP, s",
        "test loss after the epoch",
        "test accuracy after it, %",
    ];
    // Draws the weights for all, as each would draw other numbers, and tests the models of all.
    let first = &backends[0].1;
    let test = Batches.batch(digits.test.clone(), first);
    let mut contenders = Vec::new();
    for (_, device) in backends {
        // Whole batches only: a GPU searches for its kernels anew where a shape is new.
        let chunks = digits.train.chunks_exact(BATCH_SIZE);
        let batch = |digits: &[Digit]| Batches.batch(digits.to_vec(), device);
        let train: Vec<Batch> = chunks.map(batch).collect();
        for optimizer in optimizers() {
            let (train, test) = (train.clone(), test.clone());
            contenders.push(move |round| {
                first.seed(round);
                let weights = Mlp::new(first);
                // Burn draws them when they are used, and elsewhere if no clone shares them.
                let mut model = weights.clone().fork(device);
                // Some batches warm up.
                let batches = if round == 0 { &train[..8] } else { &train };
                let times = time(device, || {
                    model = epoch(model.clone(), optimizer.clone(), batches).0;
                });
                let [loss, accuracy] = score(&model.clone().fork(first), test.clone());
                [times.device.as_secs_f64(), loss, 100.0 * accuracy]
            });
        }
    }
    rounds(titles, contenders, Duration::from_secs(30))
}

/// The loss and the accuracy.
fn score(model: &Mlp, (images, labels): Batch) -> [f64; 2] {
    let (images, labels) = (images.inner(), labels.inner());
    let logits = model.valid().forward(images);
    let loss = CrossEntropyLossConfig::new().init(&logits.device());
    let loss = loss.forward(logits.clone(), labels.clone());
    let right = logits.argmax(1).squeeze_dim(1).equal(labels);
    [loss.into_scalar(), right.float().mean().into_scalar()]
}

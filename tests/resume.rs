//! A run that is killed and goes on from its last checkpoint ends with the same weights, to the bit:
//! with a schedule of λ, a start that it decays towards, stochastic rounding, and moments in 8 bits.
#![cfg(feature = "flex")]

#[allow(dead_code, reason = "the tests of the suite use all of it")]
#[path = "conformance/data.rs"]
mod data;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use burn::module::{Module, Param, ParamGroup, ParamId};
use burn::optim::{GradientsParams, LionConfig, ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor};
use burn_decay::{
    AdamWConfig, DecaySchedule, DecayTarget, DecayedConfig, MomentPrecision, SgdWConfig,
};

const STEPS: u64 = 400;
const SHAPE: [usize; 2] = [128, 128];

#[derive(Module, Debug)]
struct Weights {
    adam: Param<Tensor<2>>,
    lion: Param<Tensor<2>>,
    sgd: Param<Tensor<2>>,
}

fn numbers(step: u64) -> Tensor<2> {
    let numbers = data::noise(6, step, SHAPE[0] * SHAPE[1]);
    Tensor::<1>::from_data(numbers.as_slice(), &Device::flex()).reshape(SHAPE)
}

fn weights() -> Weights {
    let parameter = |id: u64| {
        let start = Tensor::from_data(numbers(0).into_data(), &Device::flex().autodiff());
        Param::initialized(ParamId::from(id), start.require_grad())
    };
    Weights {
        adam: parameter(1),
        lion: parameter(2),
        sgd: parameter(3),
    }
}

/// Each parameter with an optimizer of its own.
fn optimizer() -> ModuleOptimizer {
    let cosine = DecaySchedule::Cosine {
        end: 0.4,
        steps: 300,
    };
    let adamw = AdamWConfig::new()
        .with_weight_decay(0.04)
        .with_decay_schedule(cosine)
        .with_decay_target(DecayTarget::Start)
        .with_moment_precision(MomentPrecision::Bits8);
    let lion = DecayedConfig::new()
        .with_weight_decay(0.01)
        .with_decay_schedule(cosine)
        .with_l1_decay(0.01);
    // Without momentum there is nothing to remember but the time.
    let sgdw = SgdWConfig::new()
        .with_weight_decay(0.0)
        .with_decay_schedule(DecaySchedule::Linear {
            end: 0.1,
            steps: 500,
        })
        .with_stochastic_rounding(true);
    let lion = lion.build(LionConfig::new().build());
    let optimizer = adamw
        .init()
        .with_group(ParamGroup::from_path("lion"), lion, None);
    optimizer.with_group(ParamGroup::from_path("sgd"), sgdw.build(), None)
}

/// The steps up to the last checkpoint.
fn steps_done(folder: &Path) -> u64 {
    let done = fs::read_to_string(folder.join("latest"));
    done.map_or(0, |done| done.parse().expect("a number"))
}

/// Takes the steps that are left in `folder`, with a checkpoint after every tenth.
fn train(folder: &Path) {
    let done = steps_done(folder);
    let mut began = OpenOptions::new();
    let began = began.create(true).append(true).open(folder.join("began"));
    writeln!(began.expect("it can be written to"), "{done}").expect("it can be written to");
    let (mut weights, mut optimizer) = (weights(), optimizer());
    let file = |name: &str, step: u64| folder.join(format!("{name}-{step}.bpk"));
    if done > 0 {
        let record = ModuleRecord::load(file("weights", done)).expect("it is whole");
        weights = weights.load_record(record);
        let record = OptimizerRecord::load(file("optimizer", done)).expect("it is whole");
        optimizer = optimizer.load_record(record);
    }
    for step in done + 1..=STEPS {
        let mut gradients = GradientsParams::new();
        for parameter in [&weights.adam, &weights.lion, &weights.sgd] {
            gradients.register(parameter.id, numbers(step));
        }
        weights = optimizer.step(1e-3, weights, gradients);
        if step % 10 == 0 {
            let written = weights.clone().into_record().save(file("weights", step));
            written.expect("the folder can be written to");
            optimizer
                .save(file("optimizer", step))
                .expect("it can be written to");
            // What is named in the file is whole: it takes the place of the one before at once.
            let unfinished = folder.join("unfinished");
            fs::write(&unfinished, step.to_string()).expect("it can be written to");
            fs::rename(unfinished, folder.join("latest")).expect("it is there");
        }
    }
}

const FOLDER: &str = "BURN_DECAY_RESUME";

/// The same test, told to train.
fn start(folder: &Path) -> std::process::Child {
    Command::new(env::current_exe().expect("a test has a path"))
        .args(["a_killed_run_goes_on_to_the_bit", "--exact"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("a test can be started")
}

#[test]
fn a_killed_run_goes_on_to_the_bit() {
    if let Some(folder) = env::var_os(FOLDER) {
        return train(Path::new(&folder));
    }
    let folder = |name: &str| -> PathBuf {
        let folder = env::temp_dir().join(format!("burn-decay-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("it can be made");
        folder
    };
    let [undisturbed, killed] = ["undisturbed", "killed"].map(folder);
    assert!(start(&undisturbed).wait().expect("it is ours").success());

    // Each time it has come further than the last, and is killed somewhere after a checkpoint.
    for target in [20, 90, 100, 210, 330] {
        let mut run = start(&killed);
        while steps_done(&killed) < target {
            assert!(
                run.try_wait().expect("it is ours").is_none(),
                "the run ended by itself"
            );
            thread::sleep(Duration::from_millis(1));
        }
        run.kill().expect("it is ours");
        run.wait().expect("it is ours");
        assert!(steps_done(&killed) < STEPS, "the run was not killed");
    }
    assert!(start(&killed).wait().expect("it is ours").success());
    // Every run but the first went on from a checkpoint.
    let began = fs::read_to_string(killed.join("began")).expect("the runs wrote it");
    let began: Vec<u64> = began
        .lines()
        .map(|line| line.parse().expect("a step"))
        .collect();
    assert_eq!(began[0], 0);
    assert!(
        began[1..].is_sorted() && began.len() == 6 && began[1] >= 20,
        "{began:?}"
    );

    let of = |folder: &Path| {
        let record = ModuleRecord::load(folder.join(format!("weights-{STEPS}.bpk")));
        let weights = weights().load_record(record.expect("the run came to its end"));
        [weights.adam, weights.lion, weights.sgd].map(|weight| weight.val().into_data())
    };
    assert_eq!(of(&undisturbed), of(&killed));
    for folder in [undisturbed, killed] {
        fs::remove_dir_all(folder).expect("it is there");
    }
}

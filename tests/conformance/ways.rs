//! The further ways to decay, beside recorded runs of other libraries, and what each is for.

use burn::optim::momentum::MomentumConfig;
use burn::tensor::{DType, Tensor};
use burn_decay::{
    AdamL2Config, AdamWConfig, DecayScaling, DecaySchedule, DecayTarget, SgdL2Config, SgdWConfig,
    Timescale, TrainingLength, normalized_weight_decay,
};
use serde::Deserialize;

use crate::data::{distance, noise};
use crate::forms::{Form, Optimizer, Run, forms, tensor, values};

#[derive(Deserialize)]
struct Fixtures {
    seed: u64,
    steps: u64,
    rows: Vec<Row>,
    coefficients: Vec<f64>,
    spread: f64,
    regressions: Vec<Regression>,
}

#[derive(Deserialize)]
struct Row {
    /// What was run.
    written: String,
    /// Of the start and the gradients.
    scale: f64,
    l1: f64,
    parameter: Vec<f64>,
}

/// The solution of a penalized least-squares problem.
#[derive(Deserialize)]
struct Regression {
    written: String,
    l1: f64,
    decay: f64,
    solution: Vec<f64>,
}

fn fixtures() -> Fixtures {
    let fixtures = include_str!("../fixtures/ways.json");
    serde_json::from_str(fixtures).expect("the fixtures are valid")
}

fn forms_with_f64() -> impl Iterator<Item = Form> {
    let forms = forms().into_iter();
    forms.filter(|form| form.dtypes.contains(&DType::F64))
}

fn momentum() -> Option<MomentumConfig> {
    Some(MomentumConfig::new().with_dampening(0.0))
}

const MAX_LR: f64 = 1e-2;
const LAMBDA: f64 = 0.1;
const EPSILON: f64 = 1e-12;

/// What stands in ours.
fn translated(row: &Row) -> Optimizer {
    let adamw = AdamWConfig::new().with_epsilon(EPSILON);
    let adam_l2 = AdamL2Config::new().with_epsilon(EPSILON);
    let sgdw = SgdWConfig::new().with_momentum(momentum());
    let sgd_l2 = SgdL2Config::new().with_momentum(momentum());
    let corrected = DecayScaling::Corrected { max_lr: MAX_LR };
    let (end, steps) = (0.4, 60);
    let cosine = DecaySchedule::Cosine { end, steps };
    let linear = DecaySchedule::Linear { end, steps };
    let start = DecayTarget::Start;
    match row.written.as_str() {
        "timm.create_optimizer_v2(opt=\"adamc\", weight_decay=λ)"
        | "pytorch_optimizer.AdamC({normalized: True}, weight_decay=λ)" => {
            let adamc = adamw
                .with_weight_decay(LAMBDA)
                .with_decay_scaling(corrected);
            Optimizer::AdamW(adamc.build())
        }
        "optax.adamw(weight_decay=cosine_decay_schedule)"
        | "torch.optim.AdamW, weight_decay = CosineScheduler[step]" => {
            let adamw = adamw.with_weight_decay(0.04).with_decay_schedule(cosine);
            Optimizer::AdamW(adamw.build())
        }
        "optax.adamw(weight_decay=linear_schedule)" => {
            let adamw = adamw.with_weight_decay(0.04).with_decay_schedule(linear);
            Optimizer::AdamW(adamw.build())
        }
        "optax.chain(trace, add_decayed_weights(linear_schedule), scale_by_learning_rate)" => {
            let sgdw = sgdw.with_weight_decay(0.04).with_decay_schedule(linear);
            Optimizer::SgdW(sgdw.build())
        }
        "torch.optim.Adam, weight_decay = CosineScheduler[step]" => {
            let adam_l2 = adam_l2.with_l2_penalty(0.04).with_decay_schedule(cosine);
            Optimizer::AdamL2(adam_l2.build())
        }
        "torch.optim.Adam, loss + λ/2·‖θ - start‖²" => {
            let adam_l2 = adam_l2.with_l2_penalty(LAMBDA).with_decay_target(start);
            Optimizer::AdamL2(adam_l2.build())
        }
        "torch.optim.SGD, loss + λ/2·‖θ - start‖²" => {
            let sgd_l2 = sgd_l2.with_l2_penalty(LAMBDA).with_decay_target(start);
            Optimizer::SgdL2(sgd_l2.build())
        }
        "torch.optim.AdamW, θ -= lr·λ·(before - start)" => {
            let adamw = adamw.with_weight_decay(LAMBDA).with_decay_target(start);
            Optimizer::AdamW(adamw.build())
        }
        "torch.optim.SGD, θ -= lr·λ·(before - start)" => {
            let sgdw = sgdw.with_weight_decay(LAMBDA).with_decay_target(start);
            Optimizer::SgdW(sgdw.build())
        }
        "torch.optim.Adam, softshrink(θ, lr·λ₁)" => {
            let adamw = adamw.with_weight_decay(0.0).with_l1_decay(row.l1);
            Optimizer::AdamW(adamw.build())
        }
        "torch.optim.AdamW(weight_decay=λ), softshrink(θ, lr·λ₁)" => {
            let adamw = adamw.with_weight_decay(LAMBDA).with_l1_decay(row.l1);
            Optimizer::AdamW(adamw.build())
        }
        "torch.optim.SGD, softshrink(θ, lr·λ₁)" => {
            let sgdw = sgdw.with_weight_decay(0.0).with_l1_decay(row.l1);
            Optimizer::SgdW(sgdw.build())
        }
        other => panic!("{other} is not translated"),
    }
}

#[test]
fn what_other_libraries_make_of_it() {
    let fixtures = fixtures();
    assert_eq!(fixtures.rows.len(), 14);
    for form in forms_with_f64() {
        for row in &fixtures.rows {
            let numbers = |step| {
                let numbers = noise(fixtures.seed, step, row.parameter.len());
                let numbers: Vec<f64> = numbers.iter().map(|number| row.scale * number).collect();
                Tensor::<1>::from_data(numbers.as_slice(), (&form.device, DType::F64))
            };
            let mut run = Run::new(translated(row), MAX_LR, numbers(0));
            for step in 0..fixtures.steps {
                let turn = core::f64::consts::PI * step as f64 / fixtures.steps as f64;
                run.lr = MAX_LR * (1.0 + turn.cos()) / 2.0;
                run.step(numbers(step + 1));
            }
            let weights = values(&run.parameter);
            let apart = distance(&weights, &row.parameter);
            assert!(
                apart < 1e-11,
                "{} is {apart:.1e} from {}",
                form.name,
                row.written
            );
            for (ours, theirs) in weights.iter().zip(&row.parameter) {
                assert_eq!(
                    *ours == 0.0,
                    *theirs == 0.0,
                    "{}: {}",
                    form.name,
                    row.written
                );
            }
        }
    }
}

/// What the optimizer settles at is the solution of the penalized problem: the lasso's with L1 decay
/// alone, the elastic net's with both.
#[test]
fn l1_decay_solves_the_lasso_and_with_decay_the_elastic_net() {
    let fixtures = fixtures();
    let (rows, columns) = (12, 8);
    let x = noise(fixtures.seed, 0, rows * columns);
    let spread = noise(fixtures.seed, 1, rows);
    let product = |row: &[f64], theta: &[f64]| -> f64 {
        row.iter().zip(theta).map(|(x, theta)| x * theta).sum()
    };
    let examples: Vec<(&[f64], f64)> = x
        .chunks(columns)
        .zip(&spread)
        .map(|(row, noise)| {
            let y = product(row, &fixtures.coefficients) + fixtures.spread * noise;
            (row, y)
        })
        .collect();
    for form in forms_with_f64() {
        for regression in &fixtures.regressions {
            let config = SgdWConfig::new()
                .with_weight_decay(regression.decay)
                .with_l1_decay(regression.l1);
            let zeros = Tensor::<1>::zeros([columns], (&form.device, DType::F64));
            let mut run = Run::new(Optimizer::SgdW(config.build()), 0.5, zeros);
            for _ in 0..800 {
                let theta = values(&run.parameter);
                let mut gradient = vec![0.0; columns];
                for (row, y) in &examples {
                    let error = product(row, &theta) - y;
                    for (gradient, x) in gradient.iter_mut().zip(*row) {
                        *gradient += error * x / rows as f64;
                    }
                }
                run.step(Tensor::from_data(
                    gradient.as_slice(),
                    (&form.device, DType::F64),
                ));
            }
            let solved = values(&run.parameter);
            let apart = distance(&solved, &regression.solution);
            assert!(
                apart < 1e-9,
                "{}: {apart:e} from {}",
                form.name,
                regression.written
            );
            let zeros =
                |theta: &[f64]| -> Vec<bool> { theta.iter().map(|it| *it == 0.0).collect() };
            assert_eq!(zeros(&solved), zeros(&regression.solution));
            assert!(solved.contains(&0.0));
        }
    }
}

/// A layer that a norm follows, fitted to another one from noisy examples: `y = n(W*x) + noise`, where
/// n divides by the root of the mean square. Its loss does not change with the length of W.
struct Normalized {
    weight: Vec<f64>,
    teacher: Vec<f64>,
    drawn: u64,
}

impl Normalized {
    const OUT: usize = 8;
    const IN: usize = 16;
    const BATCH: usize = 4;

    fn new() -> Self {
        let mut layer = Self {
            weight: Vec::new(),
            teacher: Vec::new(),
            drawn: 0,
        };
        let small = 1.0 / (Self::IN as f64).sqrt();
        layer.weight = layer
            .draw(Self::OUT * Self::IN)
            .map(|w| w * small)
            .collect();
        layer.teacher = layer.draw(Self::OUT * Self::IN).collect();
        layer
    }

    fn draw(&mut self, count: usize) -> impl Iterator<Item = f64> + use<> {
        self.drawn += 1;
        noise(23, self.drawn, count).into_iter()
    }

    /// W·x over the root of its mean square, and that root.
    fn normalized(weight: &[f64], x: &[f64]) -> (Vec<f64>, f64) {
        let rows = weight.chunks(Self::IN);
        let z = rows.map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>());
        let z: Vec<f64> = z.collect();
        let root = (z.iter().map(|z| z * z).sum::<f64>() / Self::OUT as f64).sqrt();
        (z.iter().map(|z| z / root).collect(), root)
    }

    /// Of half of the squared error, the mean over new examples.
    fn gradient(&mut self, weight: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; weight.len()];
        for _ in 0..Self::BATCH {
            let x: Vec<f64> = self.draw(Self::IN).collect();
            let (n, root) = Self::normalized(weight, &x);
            let (y, _) = Self::normalized(&self.teacher, &x);
            let noise = self.draw(Self::OUT);
            let error = n.iter().zip(y).zip(noise);
            let error: Vec<f64> = error.map(|((n, y), noise)| n - y - 4.0 * noise).collect();
            let along = n.iter().zip(&error).map(|(n, e)| n * e).sum::<f64>() / Self::OUT as f64;
            for (i, row) in gradient.chunks_mut(Self::IN).enumerate() {
                let of_z = (error[i] - n[i] * along) / root;
                for (gradient, x) in row.iter_mut().zip(&x) {
                    *gradient += of_z * x / Self::BATCH as f64;
                }
            }
        }
        gradient
    }
}

fn norm(numbers: &[f64]) -> f64 {
    numbers
        .iter()
        .map(|number| number * number)
        .sum::<f64>()
        .sqrt()
}

/// What corrected decay is for: under a cosine schedule the gradients of a normalized layer grow at
/// the end of training, and with it they do not; nor without decay, but then the weights grow.
#[test]
fn corrected_decay_keeps_the_gradients_of_a_normalized_layer() {
    const STEPS: usize = 3000;
    const MAX_LR: f64 = 0.1;
    let [form, _] = &crate::forms::pairs()[0];
    // The mean norms of gradients and weights, in the last twentieth over that in the middle.
    let trained = |optimizer: Optimizer| {
        let mut layer = Normalized::new();
        let shape = [Normalized::OUT, Normalized::IN];
        let weight: Vec<f32> = layer.weight.iter().map(|w| *w as f32).collect();
        let mut run = Run::new(optimizer, MAX_LR, tensor(&weight, shape, &form.device));
        let mut norms = Vec::new();
        for step in 0..STEPS {
            let turn = core::f64::consts::PI * step as f64 / STEPS as f64;
            run.lr = MAX_LR * (1.0 + turn.cos()) / 2.0;
            let weight = values(&run.parameter);
            let gradient = layer.gradient(&weight);
            norms.push([norm(&gradient), norm(&weight)]);
            let gradient: Vec<f32> = gradient.iter().map(|g| *g as f32).collect();
            run.step(tensor(&gradient, shape, &form.device));
        }
        let mean = |part: &[[f64; 2]], of: usize| {
            part.iter().map(|norms| norms[of]).sum::<f64>() / part.len() as f64
        };
        let (middle, end) = (
            &norms[STEPS * 9 / 20..STEPS * 11 / 20],
            &norms[STEPS * 19 / 20..],
        );
        [0, 1].map(|of| mean(end, of) / mean(middle, of))
    };
    let corrected = DecayScaling::Corrected { max_lr: MAX_LR };
    let adam = |weight_decay: f64, scaling: DecayScaling| {
        let config = AdamWConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay(weight_decay)
            .with_decay_scaling(scaling);
        trained(Optimizer::AdamW(config.build()))
    };
    let sgd = |weight_decay: f64, scaling: DecayScaling| {
        let momentum = MomentumConfig::new().with_momentum(0.5).with_dampening(0.0);
        let config = SgdWConfig::new()
            .with_momentum(Some(momentum))
            .with_weight_decay(weight_decay)
            .with_decay_scaling(scaling);
        trained(Optimizer::SgdW(config.build()))
    };
    for (name, [plain, corrected, none]) in [
        (
            "AdamW",
            [
                adam(1.0, DecayScaling::LearningRate),
                adam(1.0, corrected),
                adam(0.0, corrected),
            ],
        ),
        (
            "SgdW",
            [
                sgd(1.5, DecayScaling::LearningRate),
                sgd(1.5, corrected),
                sgd(0.0, corrected),
            ],
        ),
    ] {
        println!(
            "{name}: gradients at the end over those in the middle, lr·λ {:.2}, corrected {:.2}, \
             no decay {:.2}; weights {:.2}, {:.2}, {:.2}",
            plain[0], corrected[0], none[0], plain[1], corrected[1], none[1]
        );
        assert!(plain[0] > 1.9, "{name}: {plain:?}");
        assert!(
            (0.75..1.15).contains(&corrected[0]),
            "{name}: {corrected:?}"
        );
        assert!(
            (0.85..1.25).contains(&corrected[1]),
            "{name}: {corrected:?}"
        );
        assert!(plain[1] < 0.6, "{name}: {plain:?}");
        assert!(none[0] < 1.15, "{name}: {none:?}");
    }
}

/// Both rows of an embedding decay towards where they began, the one without gradients too.
#[test]
fn a_decay_towards_the_start_leaves_what_is_there_and_pulls_back_what_has_moved() {
    for form in forms() {
        let config = AdamWConfig::new()
            .with_weight_decay(1.0)
            .with_decay_target(DecayTarget::Start);
        let start = [3.0, -2.0, 0.5, 7.0];
        let parameter = tensor(&start, [2, 2], &form.device);
        let mut run = Run::new(Optimizer::AdamW(config.build()), 0.1, parameter);
        for _ in 0..5 {
            run.step(tensor(&[1.0, -1.0, 0.0, 0.0], [2, 2], &form.device));
        }
        let moved = values(&run.parameter);
        assert_eq!(moved[2..], [0.5, 7.0], "{}", form.name);
        assert!(
            moved[0] < 2.8 && moved[1] > -1.8,
            "{}: {moved:?}",
            form.name
        );
        // Without gradients the moments fade, and the decay brings the weights back.
        for _ in 0..300 {
            run.step(tensor(&[0.0; 4], [2, 2], &form.device));
        }
        let apart = distance(&values(&run.parameter), &[3.0, -2.0, 0.5, 7.0]);
        assert!(apart < 1e-4, "{}: {apart:e}", form.name);
    }
}

/// Twice the data, the epochs or half the batch: the root of a half of the decay.
#[test]
fn the_normalized_decay_falls_with_the_root_of_the_steps() {
    let run = TrainingLength {
        epochs: 100.0,
        examples: 50_000,
        batch_size: 128,
    };
    let base = normalized_weight_decay(0.05, run);
    for longer in [
        TrainingLength {
            batch_size: 64,
            ..run
        },
        TrainingLength {
            examples: 100_000,
            ..run
        },
        TrainingLength {
            epochs: 200.0,
            ..run
        },
    ] {
        let longer = normalized_weight_decay(0.05, longer);
        assert!((longer / base - 0.5f64.sqrt()).abs() < 1e-12);
    }
}

/// Of a weight without a gradient half is left after the half-life.
#[test]
fn a_weight_halves_in_its_half_life() {
    let (lr, timescale) = (0.5, Timescale::from_steps(200.0));
    let config = SgdWConfig::new().with_weight_decay(timescale.weight_decay(lr));
    for form in forms_with_f64() {
        let one = Tensor::<1>::ones([1], (&form.device, DType::F64));
        let zero = one.zeros_like();
        let mut run = Run::new(Optimizer::SgdW(config.build()), lr, one);
        for _ in 0..timescale.half_life().round() as usize {
            run.step(zero.clone());
        }
        let left = values(&run.parameter)[0];
        assert!((left - 0.5).abs() < 0.5 / 200.0, "{}: {left}", form.name);
    }
    let delta = DecayScaling::LearningRate.coefficient(lr, config.weight_decay);
    assert!((Timescale::from_coefficient(delta).steps() - 200.0).abs() < 1e-9);
}

/// Where the update is far larger than the weight, and the L1 decay as large as the update.
#[test]
fn l1_decay_never_takes_a_weight_past_its_target() {
    for stochastic in [false, true] {
        for form in forms() {
            let config = SgdWConfig::new()
                .with_weight_decay(0.0)
                .with_l1_decay(1.0)
                .with_stochastic_rounding(stochastic);
            let random = noise(91, 0, 100_000);
            let weights: Vec<f32> = random.iter().map(|it| *it as f32 * 1e-10).collect();
            let towards = noise(91, 1, 100_000).into_iter().zip(&weights);
            let gradients = towards.map(|(it, weight)| weight.signum() * (it * 1e-7 - 1.0) as f32);
            let gradients: Vec<f32> = gradients.collect();
            let shape = [weights.len()];
            let mut run = Run::new(
                Optimizer::SgdW(config.build()),
                1e-3,
                tensor(&weights, shape, &form.device),
            );
            run.step(tensor(&gradients, shape, &form.device));
            for (before, after) in weights.iter().zip(values(&run.parameter)) {
                let flipped = f64::from(*before) * after < 0.0;
                assert!(!flipped, "{}: {before:e}, {after:e}", form.name);
            }
        }
    }
}

//! The weight decay that you set, in one pass over memory: AdamW, Adam and SGD for
//! [Burn](https://burn.dev) 0.22, in place of Burn's own.
//!
//! A small decay is lost in rounding: Burn and PyTorch multiply the weight by `1 - lr·λ`, rounded
//! to f32, and at a learning rate and a λ of 1e-4 that is 1, so that nothing decays. Here the decay
//! and the update are summed first, and the new weight is rounded once. Decay delivered over decay
//! asked for, after 2,000 steps in f32:
//!
//! ```text
//!   lr     λ    Burn 0.22.1 AdamW      PyTorch 2.15 AdamW     burn-decay AdamW
//!               0       1              0       1              0       1
//!  1e-3  1e-4   █████████▏     1.146   █████████▏     1.146   ████████       1.000
//!  1e-4  1e-4                  0.000                  0.000   ████████       1.001
//!  5e-6  1e-2   █████████████▊ 1.723   █████████████▊ 1.723   ████████       1.000
//!  1e-5  1e-2   █████████▏     1.136   █████████▏     1.136   ████████       1.000
//!  3e-4  1e-1   ████████       0.999   ████████       0.999   ████████       1.000
//! ```
//!
//! [How a decay gets lost](guide::fidelity) explains these figures.
//!
//! # Getting started
//!
//! Turn on the features of the [backends](#backends) that are on in `burn`, and swap one import.
//! The optimizers go into a [`ModuleOptimizer`](burn::optim::ModuleOptimizer), a `Learner` or a loop
//! of your own, and into Burn's [checkpoints](guide::checkpoints).
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::optim::GradientsParams;
//! use burn::prelude::*;
//! use burn_decay::AdamWConfig; // was: use burn::optim::AdamWConfig;
//!
//! let device = Device::default().autodiff();
//! let model: Linear = LinearConfig::new(4, 2).init(&device);
//! let mut optimizer = AdamWConfig::new().with_weight_decay(1e-2).init();
//!
//! let loss = model.forward(Tensor::<2>::ones([8, 4], &device)).square().mean();
//! let gradients = GradientsParams::from_grads(loss.backward(), &model);
//! let model = optimizer.step(1e-3, model, gradients);
//! ```
//!
//! # The optimizers
//!
//! Two pairs, as *Decoupled Weight Decay Regularization* (Loshchilov and Hutter, ICLR 2019,
//! [arXiv 1711.05101](https://arxiv.org/abs/1711.05101)) tells them apart:
//!
//! | | the decay | the step, with `u` the update of Adam or SGD |
//! | --- | --- | --- |
//! | [`AdamW`], [`SgdW`] | decoupled: it bypasses the moments | `θ ← θ - (δθ + u(g))` |
//! | [`AdamL2`], [`SgdL2`] | coupled: the penalty `λ/2·‖θ‖²` is a part of the gradient | `θ ← θ - u(g + λθ)` |
//!
//! Take [`AdamW`] unless you have a reason not to; [Which to take](guide::l2_and_decay#which-to-take)
//! has the reasons. [`AdamL2`] reproduces Adam with `weight_decay` in PyTorch and Burn, and [`SgdL2`]
//! likewise SGD. The defaults are Burn's; [`AdamWConfig::torch`] and its like have PyTorch's, whose λ and ε are
//! others, and PyTorch's momentum is [without dampening](SgdWConfig#structfield.momentum).
//!
//! What goes with them:
//!
//! - [`MomentPrecision`]: moments in bf16 or in 8 bits
//! - [`DecayScaling`], [`DecaySchedule`], [`DecayTarget`]: what λ is multiplied by, how it changes over the
//!   steps, and what the weights decay towards; [every way to decay](guide::ways) in a table
//! - [`Decayed`]: all of these for any other optimizer, such as Lion or Muon
//! - [`normalized_weight_decay`], [`Timescale`]: a λ for runs of any length
//! - [`CosineWarmRestartsLrSchedulerConfig`]: the schedule of AdamWR and SGDWR
//! - [`L2Penalty`] and [`L1Penalty`]: penalties as terms of the loss
//! - [`Undecayed`]: the group of biases, norm weights and, on request, embeddings
//! - [`clip_grad_norm`]: clipping by the norm over all gradients together
//! - [`try_load_record`]: a checkpoint that is damaged, or of something else, as an error
//!
//! The [`guide`] explains each of them, with code that runs.
//!
//! # Backends
//!
//! | feature | Burn's backend | form of the step |
//! | --- | --- | --- |
//! | `flex` | `burn-flex` | one pass: f32, f64, f16, bf16 |
//! | `ndarray` | `burn-ndarray` | one pass: f32, f64 |
//! | `wgpu`, `vulkan`, `metal`, `webgpu`, `cuda`, `rocm`, `cpu` (the last three never built so far) | CubeCL's | one kernel: whichever of f32, f64, f16 and bf16 the device has |
//! | `remote` | devices of a server | one message to a [`remote`] server, and its form |
//! | – | any other | portable: Burn's tensor operations |
//!
//! In one pass a step reads the weight, its gradient and the moments once and writes the new weight
//! into the gradient's memory. After the first step it allocates no buffer of a parameter's size, where
//! the gradient is contiguous, in the parameter's precision, and held by nobody else. A tensor that
//! someone else still holds is copied first, never changed. On a GPU the kernel is queued like
//! Burn's own operations, and nothing waits for the device. Every form gives the same results, up to
//! rounding.
//!
//! No feature is on by default: Cargo unifies features, and a backend that is turned on may become
//! Burn's default device in the whole program. Enable those that are enabled in `burn`. A step that takes the
//! portable form where a feature would have a faster one warns once, through
//! [`log`](https://docs.rs/log). [Backends](guide::backends) has the details, and what has been tested;
//! [Speed](guide::speed) has the measurements.
#![warn(missing_docs)]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adam;
mod adam_l2;
mod adamw;
mod clip;
mod config;
mod decay;
mod decayed;
#[cfg(any(doc, doctest))]
pub mod guide;
mod loading;
mod moment_precision;
mod options;
mod parameters;
mod penalty;
mod record;
#[cfg(feature = "remote")]
pub mod remote;
mod schedule;
mod sgd;
mod sgd_l2;
mod sgdw;
mod step;
mod undecayed;

pub use adam::AdamState;
pub use adam_l2::{AdamL2, AdamL2Config};
pub use adamw::{AdamW, AdamWConfig};
pub use clip::{NonFiniteNorm, clip_grad_norm, try_clip_grad_norm};
pub use config::ConfigError;
pub use decay::{
    DecayScaling, DecaySchedule, DecayTarget, Timescale, TrainingLength, normalized_weight_decay,
};
pub use decayed::{Decayed, DecayedConfig, DecayedState};
pub use loading::{LoadError, try_load_record};
pub use moment_precision::MomentPrecision;
pub use penalty::{L1Penalty, L2Penalty};
pub use schedule::{CosineWarmRestartsLrScheduler, CosineWarmRestartsLrSchedulerConfig};
pub use sgd::SgdState;
pub use sgd_l2::{SgdL2, SgdL2Config};
pub use sgdw::{SgdW, SgdWConfig};
pub use undecayed::Undecayed;

/// The trait that the optimizers implement, under the name that it had in Burn up to 0.21.
///
/// Burn 0.22 renamed `SimpleOptimizer` to [`Optimizer`](burn::optim::Optimizer). It is the same
/// trait; code that is written against the old name finds it here.
pub use burn::optim::Optimizer as SimpleOptimizer;

/// The code in README runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! Weight decay that is exact, and fast, for people who train neural networks with
//! [Burn](https://burn.dev).
//!
//! Two families of optimizers, as *Decoupled Weight Decay Regularization* (Loshchilov and Hutter,
//! ICLR 2019, [arXiv 1711.05101](https://arxiv.org/abs/1711.05101)) tells them apart:
//!
//! | | the decay | the step, with `u` the update of Adam or SGD |
//! | --- | --- | --- |
//! | [`AdamL2`], [`SgdL2`] | coupled: the penalty `λ/2·‖θ‖²` is a part of the gradient | `θ ← θ - u(g + λθ)` |
//! | [`AdamW`], [`SgdW`] | decoupled: it goes past the moments | `θ ← θ - (δθ + u(g))` |
//!
//! They are Burn optimizers: they go into a [`ModuleOptimizer`](burn::optim::ModuleOptimizer), a
//! `Learner` or a loop of your own, and into Burn's checkpoints.
//!
//! ```
//! use burn::module::Module;
//! use burn::nn::{Linear, LinearConfig};
//! use burn::optim::GradientsParams;
//! use burn::tensor::{Device, Tensor};
//! use burn_decay::AdamWConfig; // in place of burn::optim::AdamWConfig
//!
//! let device = Device::default().autodiff();
//! let mut model: Linear = LinearConfig::new(4, 2).init(&device);
//! let mut optimizer = AdamWConfig::new().with_weight_decay(1e-2).init();
//!
//! let loss = model.forward(Tensor::<2>::ones([8, 4], &device)).square().mean();
//! let gradients = GradientsParams::from_grads(loss.backward(), &model);
//! model = optimizer.step(1e-3, model, gradients);
//! ```
//!
//! # What is different here
//!
//! *The decay you set is the decay you get.* Elsewhere a step multiplies the weight by `1 - lr·λ`,
//! rounded to f32: at a learning rate and a λ of 1e-4 that is 1, and nothing decays at all. Here
//! decay and update are summed first, and the new weight is rounded once, so that a decay far
//! below the weight's last bit counts, on average, in full.
//!
//! *One pass over memory.* On the CPU backends a step reads the weight, its gradient and the
//! moments once, and writes the new weight into the gradient's memory: nothing is allocated. A
//! tensor that someone else still holds is copied first, never changed.
//!
//! # What goes with them
//!
//! - [`DecayScaling`]: whether the learning rate scales the decay, or the schedule alone, and
//!   [`normalized_weight_decay`] for runs of any length
//! - [`CosineWarmRestartsLrSchedulerConfig`]: the schedule with warm restarts, for AdamWR and SGDWR
//! - [`L2Penalty`] and [`L1Penalty`]: penalties as terms of the loss
//! - [`Undecayed`]: the group of parameters that one leaves undecayed
//! - [`clip_grad_norm`]: clipping by the norm over all gradients
//!
//! The [`guide`] has a page for each topic.
//!
//! # Backends
//!
//! | feature | backend | form of the step |
//! | --- | --- | --- |
//! | `flex` | `burn-flex` | one pass: f32, f64, f16, bf16 |
//! | `ndarray` | `burn-ndarray` | one pass: f32, f64 |
//! | `wgpu`, `vulkan`, `metal`, `webgpu`, `cuda`, `rocm`, `cpu` | CubeCL's runtimes | one kernel: what the device has of f32, f64, f16, bf16 |
//! | – | any other that is on in Burn | portable: Burn's tensor operations |
//!
//! With `fusion` (one of Burn's defaults) the kernel is an operation of Burn's fusion stream, and else
//! launched at once; nothing waits for the device. Every form gives the same results, up to
//! rounding. Parameters of half precision are updated in f32, in which their moments are kept.
//!
//! No feature is on by default: a backend that is turned on may become Burn's default device, in the
//! whole program. Name those that are on in `burn`; a step that takes the portable form where a
//! feature would have a faster one warns once, through [`log`](https://docs.rs/log).
#![warn(missing_docs)]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adam;
mod adam_l2;
mod adamw;
mod clip;
mod config;
mod decay;
pub mod guide;
mod options;
mod parameters;
mod penalty;
mod record;
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
pub use decay::{DecayScaling, normalized_weight_decay};
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

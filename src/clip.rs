use core::fmt;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::parameters::{Place, Sum, Visit, in_full_precision, walk};

/// Added to the norm that the bound is divided by, as in PyTorch.
const EPSILON: f64 = 1e-6;

/// Scales all gradients of `module` by one factor, so that the norm over all of them together is at
/// most `max_norm`, and returns the norm that they had: `g ← g · min(1, max_norm / (‖g‖ + 1e-6))`
/// with `‖g‖² = Σ g²` over every gradient of every parameter.
///
/// Burn's own [`GradientClipping`](burn::grad_clipping::GradientClipping) bounds each tensor's norm
/// by itself, which turns the direction of the step; this one keeps it
/// ([On the difficulty of training recurrent neural networks](https://arxiv.org/abs/1211.5063),
/// algorithm 1). The results are those of `torch.nn.utils.clip_grad_norm_`, but for a norm that is
/// infinite or no number: the gradients are then left as they are. [`try_clip_grad_norm`] makes an
/// error of it.
///
/// Nothing waits for the device. The norm is one number, in f32, or in f64 where there are
/// gradients in f64.
///
/// ```
/// use burn::module::Module;
/// use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
/// use burn::optim::{GradientsParams, ModuleOptimizer};
/// use burn_decay::clip_grad_norm;
///
/// // The body of `TrainStep::optimize`, for one.
/// fn optimize<M: Module>(
///     model: M,
///     optimizer: &mut ModuleOptimizer,
///     lr: ModuleLearningRate,
///     mut gradients: GradientsParams,
/// ) -> M {
///     clip_grad_norm(&model, &mut gradients, 1.0);
///     optimizer.step(lr, model, gradients)
/// }
/// ```
///
/// # Panics
///
/// Panics where `max_norm` is not a number greater than 0.
#[track_caller]
pub fn clip_grad_norm<M: Module>(
    module: &M,
    gradients: &mut GradientsParams,
    max_norm: f64,
) -> Tensor<1> {
    check(max_norm);
    let norm = norm(module, gradients);
    let finite = norm.clone().is_finite();
    let factor = ((norm.clone() + EPSILON).recip() * max_norm).clamp_max(1.0);
    let factor = factor.ones_like().mask_where(finite, factor);
    walk(module, &mut Scale { gradients, factor });
    norm
}

/// [`clip_grad_norm`], with an error for a norm that is infinite or no number. It waits for the
/// device once, to read the norm, and scales only what is to be scaled.
///
/// # Errors
///
/// The norm is not finite; the gradients are as they were.
///
/// # Panics
///
/// Panics where `max_norm` is not a number greater than 0.
#[track_caller]
pub fn try_clip_grad_norm<M: Module>(
    module: &M,
    gradients: &mut GradientsParams,
    max_norm: f64,
) -> Result<f64, NonFiniteNorm> {
    check(max_norm);
    let norm = norm(module, gradients);
    let value: f64 = norm.clone().into_scalar();
    if !value.is_finite() {
        return Err(NonFiniteNorm { norm: value });
    }
    if value + EPSILON > max_norm {
        let factor = (norm + EPSILON).recip() * max_norm;
        walk(module, &mut Scale { gradients, factor });
    }
    Ok(value)
}

/// The norm over all gradients is infinite or no number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NonFiniteNorm {
    norm: f64,
}

impl NonFiniteNorm {
    /// The norm: infinite or no number.
    pub fn norm(&self) -> f64 {
        self.norm
    }
}

impl fmt::Display for NonFiniteNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the norm of the gradients must be finite, but is {}",
            self.norm
        )
    }
}

impl std::error::Error for NonFiniteNorm {}

#[track_caller]
fn check(max_norm: f64) {
    assert!(
        max_norm > 0.0,
        "max_norm must be greater than 0, but is {max_norm}"
    );
}

/// ‖g‖
fn norm<M: Module>(module: &M, gradients: &GradientsParams) -> Tensor<1> {
    let mut squares = Squares {
        gradients,
        sum: Sum::default(),
    };
    walk(module, &mut squares);
    squares.sum.or_zero(module).sqrt()
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: Sum,
}

impl Visit for Squares<'_> {
    fn parameter<const D: usize>(&mut self, _place: &Place, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(parameter.id) {
            self.sum.add(in_full_precision(gradient).square().sum());
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: Tensor<1>,
}

impl Visit for Scale<'_> {
    fn parameter<const D: usize>(&mut self, _place: &Place, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(parameter.id) else {
            return;
        };
        let dtype = gradient.dtype();
        let gradient = in_full_precision(gradient);
        let factor = self.factor.clone().to_device(&gradient.device());
        let factor = factor.cast(gradient.dtype());
        let scaled = gradient * factor.reshape([1; D]);
        self.gradients.register(parameter.id, scaled.cast(dtype));
    }
}

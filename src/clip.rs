use core::fmt;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};

use crate::parameters::{Counted, Place, Sum, Visit, in_full_precision, walk};

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
/// infinite or NaN: the gradients are then left as they are. [`try_clip_grad_norm`] makes an error of
/// it. (A square above 3.4e38 is infinite in f32, so that this happens from gradients of 1.8e19 on.)
///
/// A parameter that stands in two places of the module, as tied weights do, counts once. Nothing
/// waits for the device. The norm is one number, in f32, or in f64 where there are gradients in f64,
/// squares and all.
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
/// Panics where `max_norm` is NaN or not greater than 0.
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
    scale(module, gradients, factor);
    norm
}

/// [`clip_grad_norm`], with an error for a norm that is infinite or NaN. It waits for the
/// device once, to read the norm, and scales only what is to be scaled.
///
/// # Errors
///
/// The norm is not finite; the gradients are as they were.
///
/// # Panics
///
/// Panics where `max_norm` is NaN or not greater than 0.
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
        scale(module, gradients, factor);
    }
    Ok(value)
}

/// The norm over all gradients is infinite or NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NonFiniteNorm {
    norm: f64,
}

impl NonFiniteNorm {
    /// The norm: infinite or NaN.
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
    let mut precision = Precision {
        gradients,
        any_f64: false,
    };
    walk(module, &mut precision);
    let mut squares = Squares {
        gradients,
        in_f64: precision.any_f64,
        counted: Counted::default(),
        sum: Sum::default(),
    };
    walk(module, &mut squares);
    squares.sum.or_zero(module).sqrt()
}

struct Precision<'a> {
    gradients: &'a GradientsParams,
    any_f64: bool,
}

impl Visit for Precision<'_> {
    fn parameter<const D: usize>(&mut self, _place: &Place, parameter: &Param<Tensor<D>>) {
        let gradient = self.gradients.get::<D>(parameter.id);
        self.any_f64 |= gradient.is_some_and(|gradient| gradient.dtype() == DType::F64);
    }
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    in_f64: bool,
    counted: Counted,
    sum: Sum,
}

impl Visit for Squares<'_> {
    fn parameter<const D: usize>(&mut self, _place: &Place, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(parameter.id) else {
            return;
        };
        if !self.counted.is_new(parameter.id) {
            return;
        }
        let mut gradient = in_full_precision(gradient);
        // Widened before it is squared, which may overflow.
        if self.in_f64 && gradient.device().supports_dtype(DType::F64) {
            gradient = gradient.cast(DType::F64);
        }
        self.sum.add(gradient.square().sum());
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    counted: Counted,
    factor: Tensor<1>,
}

impl Visit for Scale<'_> {
    fn parameter<const D: usize>(&mut self, _place: &Place, parameter: &Param<Tensor<D>>) {
        if !self.counted.is_new(parameter.id) {
            return;
        }
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

fn scale<M: Module>(module: &M, gradients: &mut GradientsParams, factor: Tensor<1>) {
    let counted = Counted::default();
    let mut scale = Scale {
        gradients,
        counted,
        factor,
    };
    walk(module, &mut scale);
}

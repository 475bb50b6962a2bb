//! What the configurations share: their error, their checks and their constructors.

use core::fmt;

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::{ModuleOptimizer, Optimizer};

/// A value out of its range, in the configuration of an optimizer or a scheduler or in a penalty:
/// which field, what it held, and what it must be.
///
/// ```
/// use burn_decay::AdamWConfig;
///
/// let error = AdamWConfig::new().with_weight_decay(-0.1).try_build().unwrap_err();
/// assert_eq!(error.field(), "weight_decay");
/// assert_eq!(
///     error.to_string(),
///     "weight_decay must be at least 0 and finite in f32, but is -0.1"
/// );
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError {
    field: &'static str,
    found: &'static str,
    value: f64,
    requirement: &'static str,
}

impl ConfigError {
    /// The path of the field in the configuration, such as `weight_decay` or `decay_schedule.end`;
    /// `lambda` for a penalty's λ, `inner` for the optimizer that
    /// [`DecayedConfig`](crate::DecayedConfig) wraps.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// The value that the field held, or by how much an optimizer's update changes with the weight.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// What the value must be, as in "at least 0 and less than 1".
    pub fn requirement(&self) -> &'static str {
        self.requirement
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            found,
            value,
            requirement,
        } = self;
        write!(f, "{field} must be {requirement}, but {found} ")?;
        // Not hundreds of digits.
        if (1e-5..1e16).contains(&value.abs()) || *value == 0.0 || !value.is_finite() {
            write!(f, "{value}")
        } else {
            write!(f, "{value:e}")
        }
    }
}

impl std::error::Error for ConfigError {}

/// The decay rate of a moving average: 1 would ignore every gradient.
pub(crate) fn in_unit_interval(field: &'static str, value: f64) -> Result<(), ConfigError> {
    let requirement = "at least 0 and less than 1";
    require((0.0..1.0).contains(&value), field, value, requirement)
}

/// Most parameters are in f32, where a larger number is infinite.
const LARGEST: f64 = f32::MAX as f64;

pub(crate) fn positive(field: &'static str, value: f64) -> Result<(), ConfigError> {
    let holds = value > 0.0 && value <= LARGEST;
    require(holds, field, value, "greater than 0 and finite in f32")
}

/// A learning rate that others are divided by.
pub(crate) fn base_rate(field: &'static str, value: f64) -> Result<(), ConfigError> {
    let holds = (f64::from(f32::MIN_POSITIVE)..=LARGEST).contains(&value);
    require(
        holds,
        field,
        value,
        "greater than 0, and normal and finite in f32",
    )
}

pub(crate) fn not_negative(field: &'static str, value: f64) -> Result<(), ConfigError> {
    let holds = (0.0..=LARGEST).contains(&value);
    require(holds, field, value, "at least 0 and finite in f32")
}

/// Between 0 and the value of a field that has been checked, both included.
pub(crate) fn within(field: &'static str, value: f64, max_lr: f64) -> Result<(), ConfigError> {
    let holds = (0.0..=max_lr).contains(&value);
    require(holds, field, value, "at least 0 and at most max_lr")
}

pub(crate) fn at_least_one(field: &'static str, value: usize) -> Result<(), ConfigError> {
    require(value >= 1, field, value as f64, "at least 1")
}

fn require(
    holds: bool,
    field: &'static str,
    value: f64,
    requirement: &'static str,
) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError {
            field,
            found: "is",
            value,
            requirement,
        })
    }
}

/// An optimizer whose update changes with the weight by this much.
pub(crate) fn depends_on_the_weight(change: f64) -> ConfigError {
    ConfigError {
        field: "inner",
        found: "its update changes by",
        value: change,
        requirement: "an optimizer whose update does not depend on the weight, with its own weight decay off",
    }
}

/// An optimizer of a whole module, which clips each parameter's gradient as configured.
pub(crate) fn module_optimizer(
    optimizer: impl Optimizer,
    grad_clipping: Option<&GradientClippingConfig>,
) -> Result<ModuleOptimizer, ConfigError> {
    let optimizer = ModuleOptimizer::from(optimizer);
    let Some(grad_clipping) = grad_clipping else {
        return Ok(optimizer);
    };

    let (GradientClippingConfig::Value(threshold) | GradientClippingConfig::Norm(threshold)) =
        grad_clipping;
    positive("grad_clipping", f64::from(*threshold))?;
    Ok(optimizer.with_grad_clipping(grad_clipping.init()))
}

/// The constructors that follow from a configuration's `try_build`: of what is built, and of what
/// a whole module takes.
macro_rules! constructors {
    ($config:ident => $built:ident, $whole:ty, $what:literal, $try_init:expr) => {
        impl $config {
            #[doc = $what]
            ///
            /// # Errors
            ///
            /// Names the first field that is out of its range.
            pub fn try_init(&self) -> Result<$whole, $crate::ConfigError> {
                $try_init(self)
            }

            /// [`try_build`](Self::try_build) for a configuration that is known to be valid.
            ///
            /// # Panics
            ///
            /// Panics with the error of `try_build`.
            #[track_caller]
            pub fn build(&self) -> $built {
                self.try_build().unwrap_or_else(|error| panic!("{error}"))
            }

            /// [`try_init`](Self::try_init) for a configuration that is known to be valid.
            ///
            /// # Panics
            ///
            /// Panics with the error of `try_init`.
            #[track_caller]
            pub fn init(&self) -> $whole {
                self.try_init().unwrap_or_else(|error| panic!("{error}"))
            }
        }
    };
}
pub(crate) use constructors;

/// An optimizer that wraps a rule with its way to decay, and the constructors of its configuration.
macro_rules! optimizer {
    ($config:ident => $optimizer:ident, $state:ident) => {
        impl $config {
            /// The bare optimizer, which
            /// [`ModuleOptimizer::with_group`](burn::optim::ModuleOptimizer::with_group) takes for
            /// one group of parameters. Gradient clipping is the group's own there.
            ///
            /// # Errors
            ///
            /// Names the first field that is out of its range.
            pub fn try_build(&self) -> Result<$optimizer, $crate::ConfigError> {
                self.rule().check().map($optimizer)
            }
        }

        $crate::config::constructors!(
            $config => $optimizer,
            burn::optim::ModuleOptimizer,
            "The optimizer of a whole module, with its gradient clipping.",
            |config: &$config| {
                let clipping = config.grad_clipping.as_ref();
                $crate::config::module_optimizer(config.try_build()?, clipping)
            }
        );

        impl burn::optim::Optimizer for $optimizer {
            type State<const D: usize> = $state<D>;

            /// One step of one parameter: the new parameter, and the state for the next step. A
            /// first step has no state.
            ///
            /// The gradient has the parameter's shape and is on its device. Where its precision
            /// differs, the step is computed in the wider one. Other holders of the tensors'
            /// memory are not affected.
            ///
            /// # Panics
            ///
            /// Panics where the learning rate is negative, not finite, or so large that the size of the
            /// step or its decay has a square that overflows in the precision that it is computed in,
            /// where the gradient's shape or the state's is not the parameter's, and where the device
            /// does not have the precision of the parameter or the gradient.
            fn step<const D: usize>(
                &self,
                lr: burn::optim::LearningRate,
                tensor: burn::tensor::Tensor<D>,
                grad: burn::tensor::Tensor<D>,
                state: Option<Self::State<D>>,
            ) -> (burn::tensor::Tensor<D>, Option<Self::State<D>>) {
                self.0.step(lr, tensor, grad, state)
            }

            fn to_device<const D: usize>(
                state: Self::State<D>,
                device: &burn::tensor::Device,
            ) -> Self::State<D> {
                state.moved_to(device)
            }
        }
    };
}
pub(crate) use optimizer;

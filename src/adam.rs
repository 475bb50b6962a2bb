//! What AdamL2 and AdamW share: their hyperparameters, their state, and the way from both to a step.

use burn::optim::{LearningRate, RecordState, StateSink, StateSource, join_path};
use burn::tensor::{DType, Device, Tensor};

use crate::config::{ConfigError, in_unit_interval, not_negative, positive};
use crate::decay::DecayScaling;
use crate::step::{self, Average, Coefficients, Moments};

/// Adam with one of the two ways to decay.
#[derive(Debug, Clone)]
pub(crate) struct Adam {
    pub beta_1: f64,
    pub beta_2: f64,
    pub epsilon: f64,
    pub amsgrad: bool,
    pub decay: Decay,
    pub decay_vectors: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Decay {
    /// Coupled: λθ is added to the gradient, and the moments see it.
    L2 { penalty: f64 },
    /// Decoupled: δθ is taken from the weight, past the moments.
    Decoupled {
        weight_decay: f64,
        scaling: DecayScaling,
        cautious: bool,
    },
}

impl Adam {
    pub(crate) fn check(self) -> Result<Self, ConfigError> {
        in_unit_interval("beta_1", self.beta_1)?;
        in_unit_interval("beta_2", self.beta_2)?;
        positive("epsilon", self.epsilon)?;
        match &self.decay {
            Decay::L2 { penalty } => not_negative("l2_penalty", *penalty)?,
            Decay::Decoupled {
                weight_decay,
                scaling,
                ..
            } => {
                not_negative("weight_decay", *weight_decay)?;
                scaling.check()?;
            }
        }
        Ok(self)
    }

    pub(crate) fn step<const D: usize>(
        &self,
        lr: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, AdamState<D>) {
        assert!(
            lr >= 0.0 && lr.is_finite(),
            "the learning rate must be finite and not negative, but is {lr}"
        );
        let (time, moments) = match state {
            Some(state) => (state.time + 1, Some(state.moments)),
            None => (1, None),
        };
        let coefficients = self.coefficients(lr, time, D);
        let (parameter, moments) = step::adam(parameter, gradient, moments, &coefficients);

        (parameter, AdamState { time, moments })
    }

    /// The scalars of step `time` for a parameter of rank `rank`.
    fn coefficients(&self, lr: f64, time: usize, rank: usize) -> Coefficients<f64> {
        let decays = self.decay_vectors || rank > 1;
        let (l2_penalty, decay, cautious) = match &self.decay {
            _ if !decays => (0.0, 0.0, false),
            Decay::L2 { penalty } => (*penalty, 0.0, false),
            Decay::Decoupled {
                weight_decay,
                scaling,
                cautious,
            } => (0.0, scaling.coefficient(lr, *weight_decay), *cautious),
        };
        let bias_correction = |beta: f64| 1.0 - beta.powf(time as f64);
        let root_of_bias_correction_2 = bias_correction(self.beta_2).sqrt();

        Coefficients {
            l2_penalty,
            average_1: Average::new(self.beta_1),
            average_2: Average::new(self.beta_2),
            step_size: lr * root_of_bias_correction_2 / bias_correction(self.beta_1),
            epsilon: self.epsilon * root_of_bias_correction_2,
            decay,
            cautious,
            amsgrad: self.amsgrad,
        }
    }
}

/// What Adam remembers of one parameter from step to step.
///
/// It is recorded under the names that Burn's own `Adam` and `AdamW` use (`momentum.time`,
/// `momentum.moment_1`, `momentum.moment_2`, `momentum.max_moment_2`), so that a checkpoint of
/// one resumes in the other. The moments are of the parameter's shape and keep the precision they
/// were recorded in.
#[derive(Debug, Clone)]
pub struct AdamState<const D: usize> {
    time: usize,
    moments: Moments<Tensor<D>>,
}

impl<const D: usize> AdamState<D> {
    /// The number of steps taken, t.
    pub fn time(&self) -> usize {
        self.time
    }

    /// The moving average of the gradient, m.
    pub fn moment_1(&self) -> &Tensor<D> {
        &self.moments.moment_1
    }

    /// The moving average of the squared gradient, v.
    pub fn moment_2(&self) -> &Tensor<D> {
        &self.moments.moment_2
    }

    /// The largest `moment_2` so far, v̄, which AMSGrad keeps.
    pub fn max_moment_2(&self) -> Option<&Tensor<D>> {
        self.moments.max_moment_2.as_ref()
    }

    pub(crate) fn moved_to(self, device: &Device) -> Self {
        Self {
            time: self.time,
            moments: self.moments.map(|moment| moment.to_device(device)),
        }
    }
}

/// By hand, since Burn's derive reads every tensor into the device's default precision: the
/// moments of an f64 parameter would come back rounded to f32.
impl<const D: usize> RecordState for AdamState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let prefix = momentum(prefix);
        let Moments {
            moment_1,
            moment_2,
            max_moment_2,
        } = &self.moments;
        out.push_scalar(&prefix, "time", self.time.into());
        out.push_tensor(&prefix, "moment_1", moment_1.to_data());
        out.push_tensor(&prefix, "moment_2", moment_2.to_data());
        if let Some(max_moment_2) = max_moment_2 {
            out.push_tensor(&prefix, "max_moment_2", max_moment_2.to_data());
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let prefix = momentum(prefix);
        let time = source.take_scalar(&prefix, "time")?.try_into().ok()?;
        let mut take = |leaf| {
            let data = source.take_tensor(&prefix, leaf)?;
            let dtype = if device.supports_dtype(data.dtype()) {
                data.dtype()
            } else {
                DType::F32
            };
            Some(Tensor::from_data(data, (device, dtype)))
        };
        let moments = Moments {
            moment_1: take("moment_1")?,
            moment_2: take("moment_2")?,
            max_moment_2: take("max_moment_2"),
        };
        Some(Self { time, moments })
    }
}

/// Burn nests the moments in a field of this name.
fn momentum(prefix: &str) -> String {
    join_path(prefix, "momentum")
}

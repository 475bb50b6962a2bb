//! What AdamL2 and AdamW share: their hyperparameters, their state, and the way from both to a step.

use burn::optim::{LearningRate, RecordState, StateSink, StateSource, join_path};
use burn::tensor::{Device, Tensor};

use crate::config::{ConfigError, in_unit_interval, positive};
use crate::decay::Decay;
use crate::record::{MOMENTUM, recorded};
use crate::step::{self, Average, Coefficients};

/// Adam with one of the two ways to decay.
#[derive(Debug, Clone)]
pub(crate) struct Adam {
    pub beta_1: f64,
    pub beta_2: f64,
    pub epsilon: f64,
    pub amsgrad: bool,
    pub decay: Decay,
}

impl Adam {
    pub(crate) fn check(self) -> Result<Self, ConfigError> {
        in_unit_interval("beta_1", self.beta_1)?;
        in_unit_interval("beta_2", self.beta_2)?;
        positive("epsilon", self.epsilon)?;
        self.decay.check()?;
        Ok(self)
    }

    pub(crate) fn step<const D: usize>(
        &self,
        lr: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let time = state.as_ref().map_or(1, |state| state.time + 1);
        let (m, v, max_v) = match state {
            Some(state) => (
                Some(state.moment_1),
                Some(state.moment_2),
                state.max_moment_2,
            ),
            None => (None, None, None),
        };
        let coefficients = self.coefficients(lr, time, D);
        let (parameter, moment_1, moment_2, max_moment_2) = if self.amsgrad {
            let averages = [m, v, max_v];
            let (parameter, [m, v, max_v]) =
                step::step(parameter, gradient, averages, &coefficients);
            (parameter, m, v, Some(max_v))
        } else {
            let (parameter, [m, v]) = step::step(parameter, gradient, [m, v], &coefficients);
            (parameter, m, v, max_v)
        };
        let state = AdamState {
            time,
            moment_1,
            moment_2,
            max_moment_2,
        };
        (parameter, Some(state))
    }

    /// The scalars of step `time` for a parameter of rank `rank`.
    fn coefficients(
        &self,
        lr: f64,
        time: usize,
        rank: usize,
    ) -> Coefficients<f64, step::Adam<f64>> {
        let bias_correction = |beta: f64| 1.0 - beta.powf(time as f64);
        let root_of_bias_correction_2 = bias_correction(self.beta_2).sqrt();

        Coefficients {
            decay: self.decay.at(lr, rank),
            step_size: lr * root_of_bias_correction_2 / bias_correction(self.beta_1),
            rule: step::Adam {
                average_1: Average::new(self.beta_1),
                average_2: Average::new(self.beta_2),
                epsilon: self.epsilon * root_of_bias_correction_2,
            },
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
    moment_1: Tensor<D>,
    moment_2: Tensor<D>,
    max_moment_2: Option<Tensor<D>>,
}

impl<const D: usize> AdamState<D> {
    /// The number of steps taken, t.
    pub fn time(&self) -> usize {
        self.time
    }

    /// The moving average of the gradient, m.
    pub fn moment_1(&self) -> &Tensor<D> {
        &self.moment_1
    }

    /// The moving average of the squared gradient, v.
    pub fn moment_2(&self) -> &Tensor<D> {
        &self.moment_2
    }

    /// The largest `moment_2` so far, v̄, which AMSGrad keeps.
    pub fn max_moment_2(&self) -> Option<&Tensor<D>> {
        self.max_moment_2.as_ref()
    }

    pub(crate) fn moved_to(self, device: &Device) -> Self {
        Self {
            time: self.time,
            moment_1: self.moment_1.to_device(device),
            moment_2: self.moment_2.to_device(device),
            max_moment_2: self.max_moment_2.map(|moment| moment.to_device(device)),
        }
    }
}

/// By hand, since Burn's derive does not keep the moments' precision.
impl<const D: usize> RecordState for AdamState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let prefix = join_path(prefix, MOMENTUM);
        out.push_scalar(&prefix, "time", self.time.into());
        out.push_tensor(&prefix, "moment_1", self.moment_1.to_data());
        out.push_tensor(&prefix, "moment_2", self.moment_2.to_data());
        if let Some(max_moment_2) = &self.max_moment_2 {
            out.push_tensor(&prefix, "max_moment_2", max_moment_2.to_data());
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let prefix = join_path(prefix, MOMENTUM);
        Some(Self {
            time: source.take_scalar(&prefix, "time")?.try_into().ok()?,
            moment_1: recorded(source, &prefix, "moment_1", device)?,
            moment_2: recorded(source, &prefix, "moment_2", device)?,
            max_moment_2: recorded(source, &prefix, "max_moment_2", device),
        })
    }
}

//! What AdamL2 and AdamW share: their hyperparameters, their state, and the way from both to a step.

use burn::optim::{LearningRate, RecordState, StateSink, StateSource, join_path};
use burn::tensor::{Device, Tensor};

use crate::MomentPrecision;
use crate::config::{ConfigError, in_unit_interval, positive};
use crate::decay::Decay;
use crate::record::{MOMENTUM, ParameterId, Record, Values, check_shape};
use crate::step::{self, Average, Coefficients, Kind, Moment, Storage, WeightState};

/// Adam with one of the two ways to decay.
#[derive(Debug, Clone)]
pub(crate) struct Adam {
    pub beta_1: f64,
    pub beta_2: f64,
    pub epsilon: f64,
    pub amsgrad: bool,
    pub moment_precision: MomentPrecision,
    pub master_weights: bool,
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
        let mut state = state.unwrap_or_else(AdamState::new);
        state.check_shape(&parameter);
        state.time += 1;
        let coefficients = self.coefficients(lr, state.time, D);
        let AdamState {
            moment_1: m,
            moment_2: v,
            max_moment_2: max_v,
            weights,
            ..
        } = &mut state;
        let storage = Storage {
            moments: self.moment_precision,
            master_weights: self.master_weights,
            weights,
        };
        let parameter = if self.amsgrad {
            step::step(parameter, gradient, [m, v, max_v], storage, &coefficients)
        } else {
            *max_v = None;
            step::step(parameter, gradient, [m, v], storage, &coefficients)
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
            time,
            decay: self.decay.at(lr, time, rank),
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
/// one resumes in the other. Beside them stand the
/// [master weights](crate::guide::fidelity#half-precision) of a parameter in half precision
/// (`momentum.master_weights`), and the starting value of one that decays
/// [towards it](crate::DecayTarget::Start) (`momentum.start`). Moments of
/// [8 bits](crate::MomentPrecision::Bits8) are recorded under names of their own, as
/// `momentum.moment_1_codes` and `momentum.moment_1_scales`. The moments are of the parameter's shape and
/// keep the precision they were recorded in until the next step.
///
/// A record is checked while it is loaded. Where it holds none of these for a parameter (it is of
/// another kind of optimizer), that parameter's state starts from zero, with a warning through
/// `log`; if only `max_moment_2` is missing, it starts from zero. Anything else that is invalid
/// panics and names the parameter and the field: one of the first three that is missing, a time
/// that is not a count of steps, moments of different shapes, not in floating point, or with
/// values that are not finite, a second moment that is negative, master weights that are not in f32
/// or i16. (An infinite second moment is valid: a square overflowed, and its element gets no further
/// updates.)
#[derive(Debug, Clone)]
pub struct AdamState<const D: usize> {
    time: usize,
    /// There from the first step on, as the next one is.
    moment_1: Option<Moment<D>>,
    moment_2: Option<Moment<D>>,
    max_moment_2: Option<Moment<D>>,
    weights: WeightState<D>,
    /// The id in the record that it was read from.
    parameter_id: Option<ParameterId>,
}

impl<const D: usize> AdamState<D> {
    /// Before the first step.
    fn new() -> Self {
        Self {
            time: 0,
            moment_1: None,
            moment_2: None,
            max_moment_2: None,
            weights: WeightState::none(),
            parameter_id: None,
        }
    }

    /// The number of steps taken, t.
    pub fn time(&self) -> usize {
        self.time
    }

    /// The first moment, m: the moving average of the gradient. Where it is kept in fewer bytes, its
    /// numbers in f32, as those of the others.
    pub fn moment_1(&self) -> Tensor<D> {
        self.moment_1.as_ref().expect(STEPPED).to_tensor()
    }

    /// The second moment, v: the moving average of the squared gradient.
    pub fn moment_2(&self) -> Tensor<D> {
        self.moment_2.as_ref().expect(STEPPED).to_tensor()
    }

    /// Where the parameter started, if it [decays towards there](crate::DecayTarget::Start).
    pub fn start(&self) -> Option<Tensor<D>> {
        self.weights.start.as_deref().cloned()
    }

    /// The largest `moment_2` so far, v̄, which AMSGrad keeps.
    pub fn max_moment_2(&self) -> Option<Tensor<D>> {
        self.max_moment_2.as_ref().map(|max_v| max_v.to_tensor())
    }

    pub(crate) fn moved_to(self, device: &Device) -> Self {
        let moved = |moment: Option<Moment<D>>| moment.map(|moment| moment.moved_to(device));
        Self {
            moment_1: moved(self.moment_1),
            moment_2: moved(self.moment_2),
            max_moment_2: moved(self.max_moment_2),
            weights: self.weights.moved_to(device),
            ..self
        }
    }

    fn check_shape(&self, parameter: &Tensor<D>) {
        if let Some(moment_1) = &self.moment_1 {
            check_shape(MOMENT_1, moment_1.shape(), parameter, self.parameter_id);
        }
        self.weights.check_shape(parameter, self.parameter_id);
    }
}

/// By hand: Burn's derive neither keeps the moments' precision nor checks what it reads.
impl<const D: usize> RecordState for AdamState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let prefix = join_path(prefix, MOMENTUM);
        out.push_scalar(&prefix, TIME, self.time.into());
        let moments = [&self.moment_1, &self.moment_2, &self.max_moment_2];
        for (leaf, moment) in MOMENTS.into_iter().zip(moments) {
            if let Some(moment) = moment {
                moment.record(&prefix, leaf, out);
            }
        }
        self.weights.record(&prefix, out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let mut record = Record::new(prefix, MOMENTUM, source, device);
        let time = record.scalar(TIME);
        let [m, v, max_v] = MOMENTS.map(|moment| record.recorded::<D>(moment));
        if time.is_none() && m.is_none() && v.is_none() {
            record.warn_of_fresh_start();
            return None;
        }
        let time = record.time(TIME, time);
        let [m, v] = [(MOMENT_1, m), (MOMENT_2, v)].map(|(leaf, data)| record.required(leaf, data));
        let shape = m.shape().clone();
        let weights = record.weights(Some(&shape));
        let moment = |which: usize, data, allowed| {
            record.moment(MOMENTS[which], Kind::of_index(which), data, &shape, allowed)
        };
        Some(Self {
            time,
            moment_1: Some(moment(0, m, Values::Finite)),
            moment_2: Some(moment(1, v, Values::NotNegative)),
            max_moment_2: max_v.map(|max_v| moment(2, max_v, Values::NotNegative)),
            weights,
            parameter_id: record.parameter_id(),
        })
    }
}

const STEPPED: &str = "a state is what a step leaves";
const TIME: &str = "time";
const MOMENT_1: &str = "moment_1";
const MOMENT_2: &str = "moment_2";
const MAX_MOMENT_2: &str = "max_moment_2";
const MOMENTS: [&str; 3] = [MOMENT_1, MOMENT_2, MAX_MOMENT_2];

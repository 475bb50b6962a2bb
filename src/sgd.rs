//! What SgdL2 and SgdW share: their hyperparameters, their state, and the way from both to a step.

use burn::optim::momentum::MomentumConfig;
use burn::optim::{LearningRate, RecordState, StateSink, StateSource, join_path};
use burn::tensor::{Device, Tensor};

use crate::MomentPrecision;
use crate::config::{ConfigError, in_unit_interval};
use crate::decay::Decay;
use crate::record::{MOMENTUM, ParameterId, Record, Recorded, Values, check_shape};
use crate::step::{self, Coefficients, Kind, Moment, Storage, WeightState};

/// SGD with one of the two ways to decay.
#[derive(Debug, Clone)]
pub(crate) struct Sgd {
    pub momentum: Option<MomentumConfig>,
    pub moment_precision: MomentPrecision,
    pub master_weights: bool,
    pub decay: Decay,
}

impl Sgd {
    pub(crate) fn check(self) -> Result<Self, ConfigError> {
        if let Some(momentum) = &self.momentum {
            in_unit_interval("momentum.momentum", momentum.momentum)?;
            in_unit_interval("momentum.dampening", momentum.dampening)?;
        }
        self.decay.check()?;
        Ok(self)
    }

    pub(crate) fn step<const D: usize>(
        &self,
        lr: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<SgdState<D>>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        let mut state = state.unwrap_or_else(SgdState::new);
        state.check_shape(&parameter);
        state.time += 1;
        let SgdState {
            time,
            velocity,
            weights,
            ..
        } = &mut state;
        if self.momentum.is_some() && velocity.is_none() && *time > 1 {
            log::warn!("the loaded state has no velocity: SGD's momentum starts from zero");
        }
        let coefficients = Coefficients {
            time: *time,
            decay: self.decay.at(lr, *time, D),
            step_size: lr,
            rule: self.rule(velocity.is_none()),
        };
        let storage = Storage {
            moments: self.moment_precision,
            master_weights: self.master_weights,
            weights,
        };
        let parameter = if self.momentum.is_some() {
            step::step(parameter, gradient, [velocity], storage, &coefficients)
        } else {
            *velocity = None;
            step::step(parameter, gradient, [], storage, &coefficients)
        };
        let remembers =
            state.velocity.is_some() || !state.weights.is_none() || self.decay.has_a_clock();
        (parameter, remembers.then_some(state))
    }

    /// The velocity starts at the first gradient.
    fn rule(&self, first: bool) -> step::Sgd<f64> {
        let mut rule = step::Sgd::PLAIN;
        if let Some(momentum) = &self.momentum {
            if !first {
                rule.keep = momentum.momentum;
                rule.take = 1.0 - momentum.dampening;
            }
            rule.look_ahead = momentum.nesterov.then_some(momentum.momentum);
        }
        rule
    }
}

/// What SGD remembers of one parameter from step to step: with momentum the velocity, with a schedule or
/// stochastic rounding the number of steps, where it decays towards its start that value, and in half
/// precision the [master weights](crate::guide::fidelity#half-precision).
///
/// It is recorded under the name that Burn's own `Sgd` uses (`momentum.velocity`), so that a
/// checkpoint of one resumes in the other, and with it the number of steps (`momentum.steps`), from
/// 0 where it is missing. The velocity is of the parameter's shape and keeps the precision it was
/// recorded in until the next step. In [8 bits](crate::MomentPrecision::Bits8) it is recorded as
/// `momentum.velocity_codes` and `momentum.velocity_scales`.
///
/// A record is checked while it is loaded. Where it holds no velocity for a parameter, that
/// parameter's starts at its next gradient, with a warning through `log` if there is something else.
/// A velocity that is invalid (not of the
/// parameter's shape, not in floating point, with values that are not finite) panics
/// and names the parameter.
#[derive(Debug, Clone)]
pub struct SgdState<const D: usize> {
    time: usize,
    velocity: Option<Moment<D>>,
    weights: WeightState<D>,
    /// The id in the record that it was read from.
    parameter_id: Option<ParameterId>,
}

impl<const D: usize> SgdState<D> {
    /// Before the first step.
    fn new() -> Self {
        Self {
            time: 0,
            velocity: None,
            weights: WeightState::none(),
            parameter_id: None,
        }
    }

    /// The number of steps taken, t; 0 of a record of Burn's own, which has none.
    pub fn time(&self) -> usize {
        self.time
    }

    /// The velocity, v: the decaying sum of the gradients, PyTorch's `momentum_buffer`. None without
    /// momentum.
    pub fn velocity(&self) -> Option<Tensor<D>> {
        self.velocity.as_ref().map(|velocity| velocity.to_tensor())
    }

    /// Where the parameter started, if it [decays towards there](crate::DecayTarget::Start).
    pub fn start(&self) -> Option<Tensor<D>> {
        self.weights.start.as_deref().cloned()
    }

    pub(crate) fn moved_to(self, device: &Device) -> Self {
        Self {
            velocity: self.velocity.map(|velocity| velocity.moved_to(device)),
            weights: self.weights.moved_to(device),
            ..self
        }
    }

    fn check_shape(&self, parameter: &Tensor<D>) {
        if let Some(velocity) = &self.velocity {
            check_shape(VELOCITY, velocity.shape(), parameter, self.parameter_id);
        }
        self.weights.check_shape(parameter, self.parameter_id);
    }
}

/// By hand: Burn's derive neither keeps the velocity's precision nor checks what it reads.
impl<const D: usize> RecordState for SgdState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let prefix = join_path(prefix, MOMENTUM);
        if let Some(velocity) = &self.velocity {
            velocity.record(&prefix, VELOCITY, out);
        }
        if self.time > 0 {
            out.push_scalar(&prefix, TIME, self.time.into());
        }
        self.weights.record(&prefix, out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let mut record = Record::new(prefix, MOMENTUM, source, device);
        let velocity = record.recorded::<D>(VELOCITY);
        let weights = record.weights(velocity.as_ref().map(Recorded::shape));
        let time = record.scalar(TIME);
        if velocity.is_none() && time.is_none() {
            // Of another optimizer: without momentum there may be nothing to record.
            if record.holds_anything() {
                record.warn_of_fresh_start();
            }
            if weights.is_none() {
                return None;
            }
        }
        let moment = |velocity: Recorded| {
            let shape = velocity.shape().clone();
            record.moment(VELOCITY, Kind::First, velocity, &shape, Values::Finite)
        };
        Some(Self {
            // Burn's own has no clock.
            time: time.map_or(0, |time| record.time(TIME, Some(time))),
            velocity: velocity.map(moment),
            weights,
            parameter_id: record.parameter_id(),
        })
    }
}

/// Not as Adam's, whose state it would be taken for.
const TIME: &str = "steps";
const VELOCITY: &str = "velocity";

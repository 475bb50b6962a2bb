//! Any optimizer, with decoupled weight decay.

use burn::optim::{
    LearningRate, ModuleOptimizer, Optimizer, RecordState, StateSink, StateSource, join_path,
};
use burn::tensor::{DType, Device, Tensor};

use crate::MomentPrecision;
use crate::config::{ConfigError, depends_on_the_weight, module_optimizer};
use crate::decay::{Decay, DecayScaling, DecaySchedule, DecayTarget};
use crate::options::config;
use crate::record::{MOMENTUM, ParameterId, Record, cpus};
use crate::step::{self, Coefficients, Sgd, Storage, WeightState};

config! {
    /// Configuration of [`Decayed`]: the decay of any optimizer.
    ///
    /// ```
    /// use burn::optim::LionConfig;
    /// use burn_decay::DecayedConfig;
    ///
    /// let optimizer = DecayedConfig::new()
    ///     .with_weight_decay(0.1)
    ///     .init(LionConfig::new().build());
    /// ```
    pub struct DecayedConfig: decoupled stochastic;
}

/// Another optimizer, with decoupled weight decay in place of its own.
///
/// ```text
/// u = what the inner optimizer takes from a weight of 0
/// θ ← θ - (δθ + u)         δ = lr·λ, or what DecayScaling says
/// ```
///
/// Burn's Lion, Muon and Adan multiply the weight by `1 - lr·λ`, and lose a small decay as its
/// AdamW does; its RMSProp and AdaGrad have the penalty in the gradient alone. Here decay and update
/// are summed before they meet the weight, which is rounded once, with every option of the decay that
/// [`AdamW`](crate::AdamW) has. Without decay the step is the inner one's, to the bit in f32 and f64.
///
/// New weights are [rounded stochastically](crate::guide::fidelity#what-one-rounding-cannot-do) by
/// default, since updates such as Lion's are all of one size.
///
/// The inner optimizer's update must not depend on the weight: Lion, Muon, RMSProp, AdaGrad, Adan and
/// any Adam or SGD qualify, with their own weight decay off (that of AdamW, and of all of this crate, is on
/// by default). LAMB, and Adafactor with `scale_parameter`, multiply the update by the weight's norm and are
/// refused. `lr` in δ is the rate that the optimizer is given; one that makes its own of it (Adafactor's
/// `relative_step`, AdaGrad's `lr_decay`, Muon's adjustment to a matrix's shape) does so for its update alone.
///
/// The state is the inner one's with what the decay needs, and is recorded so: a record of the inner
/// optimizer resumes here, and one of this resumes there. (Burn's optimizers read a record in the default
/// precision, so that of an f64 parameter, or of one in half precision without master weights, it does not
/// resume, here as there. The inner one must not itself be a `Decayed`, which records under the same names.)
/// Its gradients keep their precision from step to step, since the inner optimizer's state has it: most of
/// Burn's panic where it changes.
/// A parameter in half precision has [master weights](crate::guide::fidelity#half-precision), of 4 bytes a
/// parameter in memory, and the inner optimizer then steps in f32. A gradient in a wider precision than its
/// parameter's is not narrowed.
///
/// ```
/// use burn::module::ParamGroup;
/// use burn::optim::{ModuleOptimizer, MuonConfig};
/// use burn_decay::{AdamWConfig, DecayedConfig};
///
/// // Muon for the matrices of the hidden layers, AdamW for the rest.
/// let optimizer: ModuleOptimizer = AdamWConfig::new().with_weight_decay(0.1).init();
/// let muon = DecayedConfig::new().with_weight_decay(0.1).build(MuonConfig::new().build());
/// let matrices = ParamGroup::from_predicates(vec!["hidden", "weight"]);
/// let optimizer = optimizer.with_group(matrices, muon, None);
/// ```
///
/// Configured by [`DecayedConfig`].
#[derive(Debug, Clone)]
pub struct Decayed<O> {
    inner: O,
    decay: Decay,
    master_weights: bool,
}

impl DecayedConfig {
    /// The bare optimizer, which
    /// [`ModuleOptimizer::with_group`](burn::optim::ModuleOptimizer::with_group) takes for one group
    /// of parameters. Gradient clipping is the group's own there.
    ///
    /// It takes four steps of the inner optimizer on four numbers, on a CPU's device where one is
    /// compiled in and else on the default one, to see that its update does not depend on the weight. (What
    /// it does not see is a decay of its own below 1e-5 a step, or one that a schedule begins with 0.)
    ///
    /// # Errors
    ///
    /// Names the first field that is out of its range: `inner` where its update depends on the weight.
    ///
    /// # Panics
    ///
    /// Panics where the inner optimizer does in these steps, because it takes no matrices or no f32, say.
    pub fn try_build<O: Optimizer>(&self, inner: O) -> Result<Decayed<O>, ConfigError> {
        let decayed = self.try_build_without_trial(inner)?;
        check_independence(&decayed.inner)?;
        Ok(decayed)
    }

    /// [`try_build`](Self::try_build) without the four steps of the inner optimizer: for one whose updates
    /// are random, or that must not take a step beforehand.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of its range.
    pub fn try_build_without_trial<O: Optimizer>(
        &self,
        inner: O,
    ) -> Result<Decayed<O>, ConfigError> {
        let decay = self.decay();
        decay.check()?;
        Ok(Decayed {
            inner,
            decay,
            master_weights: self.master_weights,
        })
    }

    /// The optimizer of a whole module, with its gradient clipping.
    ///
    /// # Errors
    ///
    /// As [`try_build`](Self::try_build), and where `grad_clipping` is out of its range.
    pub fn try_init<O: Optimizer>(&self, inner: O) -> Result<ModuleOptimizer, ConfigError> {
        module_optimizer(self.try_build(inner)?, self.grad_clipping.as_ref())
    }

    /// [`try_build`](Self::try_build) for a configuration that is known to be valid.
    ///
    /// # Panics
    ///
    /// Panics with the error of `try_build`.
    #[track_caller]
    pub fn build<O: Optimizer>(&self, inner: O) -> Decayed<O> {
        self.try_build(inner)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`try_init`](Self::try_init) for a configuration that is known to be valid.
    ///
    /// # Panics
    ///
    /// Panics with the error of `try_init`.
    #[track_caller]
    pub fn init<O: Optimizer>(&self, inner: O) -> ModuleOptimizer {
        self.try_init(inner)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Takes two steps from elsewhere and twice one from 0, as [`Decayed`] does, at a rate at which a decay as
/// small as 1e-5 shows. The first step of an adaptive optimizer has the gradient's sign alone, with a penalty
/// or without, and one that decays towards its start decays from the second step on.
fn check_independence<O: Optimizer>(inner: &O) -> Result<(), ConfigError> {
    // A GPU may be compiled in and not there.
    let device = cpus().into_iter().next().unwrap_or_default();
    let tensor = |numbers: [[f32; 2]; 2]| Tensor::<2>::from_data(numbers, (&device, DType::F32));
    let first = |weight| inner.step(1.0, weight, tensor([[0.5, -1.0], [0.25, 2.0]]), None);
    let second = |weight, state| inner.step(1.0, weight, tensor([[-1.0, 0.5], [1.0, 0.75]]), state);
    let (there, zero) = ([[1.0, -2.0], [-4.0, 8.0]], [[0.0; 2]; 2]);
    let (from_there, state) = first(tensor(there));
    let (from_there, _) = second(from_there, state);
    let rounding: f32 = from_there.clone().abs().max().into_scalar();
    let (from_zero, state) = first(tensor(zero));
    let (again, _) = second(tensor(zero), state);
    let apart = from_zero + again - (from_there - tensor(there));
    let change: f32 = apart.abs().max().into_scalar();
    // A few roundings of the largest number on the way, of which the last is as large as any.
    if change <= 16.0 * f32::EPSILON * rounding.max(8.0) {
        Ok(())
    } else {
        Err(depends_on_the_weight(change.into()))
    }
}

impl<O: Optimizer> Optimizer for Decayed<O> {
    type State<const D: usize> = DecayedState<O::State<D>, D>;

    /// One step of one parameter: the new parameter, and the state for the next step. A first step
    /// has no state.
    ///
    /// The gradient has the parameter's shape and is on its device.
    ///
    /// # Panics
    ///
    /// Panics where the learning rate is negative, not finite, or so large that the decay overflows
    /// in the precision that it is computed in, where the state's shape is not the parameter's, where the
    /// device does not have the precision of the parameter or the gradient, and where the inner optimizer
    /// panics.
    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let mut state = state.unwrap_or_else(DecayedState::new);
        state.weights.check_shape(&tensor, state.parameter_id);
        state.time += 1;
        let decay = self.decay.at(lr, state.time, D);
        let kept = tensor.dtype();
        let kept = if self.master_weights && step::is_half(kept) {
            DType::F32
        } else {
            kept
        };
        let mut gradient = grad;
        let common = step::common(kept, gradient.dtype());
        step::cast(&mut gradient, common);
        let (minus_update, inner) =
            self.inner
                .step(lr, zeros_like(&gradient), gradient, state.inner);
        state.inner = inner;
        let coefficients = Coefficients {
            time: state.time,
            decay,
            step_size: -1.0,
            rule: Sgd::PLAIN,
        };
        let storage = Storage {
            moments: MomentPrecision::Full,
            master_weights: self.master_weights,
            weights: &mut state.weights,
        };
        let updated = step::step(tensor, minus_update, [], storage, &coefficients);
        (updated, Some(state))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        DecayedState {
            inner: state.inner.map(|inner| O::to_device(inner, device)),
            weights: state.weights.moved_to(device),
            ..state
        }
    }
}

/// A single 0, expanded to the tensor's shape.
fn zeros_like<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    if tensor.shape().num_elements() == 0 {
        return tensor.zeros_like();
    }
    let zero = Tensor::<D>::zeros([1; D], (&tensor.device(), tensor.dtype()));
    zero.expand(tensor.shape())
}

/// What [`Decayed`] remembers of one parameter from step to step: the inner optimizer's state, and
/// what the decay needs.
///
/// The inner state is recorded as it is, under its own names, and the rest beside it: the number of
/// steps (`decay.steps`, from 0 where it is missing), the start of a
/// [decay towards it](crate::DecayTarget::Start) (`decay.start`), and of a parameter in half precision
/// the [master weights](crate::guide::fidelity#half-precision) (`decay.master_weights`). Where the
/// latter are invalid, loading panics and names the parameter and the field.
#[derive(Debug, Clone)]
pub struct DecayedState<S, const D: usize> {
    inner: Option<S>,
    time: usize,
    weights: WeightState<D>,
    /// The id in the record that it was read from.
    parameter_id: Option<ParameterId>,
}

impl<S, const D: usize> DecayedState<S, D> {
    /// Before the first step.
    fn new() -> Self {
        Self {
            inner: None,
            time: 0,
            weights: WeightState::none(),
            parameter_id: None,
        }
    }

    /// The number of steps taken, t.
    pub fn time(&self) -> usize {
        self.time
    }

    /// The inner optimizer's state, where it has one.
    pub fn inner(&self) -> Option<&S> {
        self.inner.as_ref()
    }

    /// Where the parameter started, if it decays towards there.
    pub fn start(&self) -> Option<Tensor<D>> {
        self.weights.start.as_deref().cloned()
    }
}

impl<S: RecordState, const D: usize> RecordState for DecayedState<S, D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        if let Some(inner) = &self.inner {
            inner.state_flatten(prefix, out);
        }
        let prefix = join_path(prefix, DECAY);
        // Of a record of the inner optimizer that has been loaded, and not stepped yet, there is none.
        if self.time > 0 {
            out.push_scalar(&prefix, TIME, self.time.into());
        }
        self.weights.record(&prefix, out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let inner = S::state_unflatten(prefix, source, device);
        let mut record = Record::new(prefix, DECAY, source, device);
        let weights = record.weights(None);
        let time = record.scalar(TIME);
        if inner.is_none() && (time.is_none() || record.holds(MOMENTUM)) {
            record.warn_of_fresh_start();
        }
        if inner.is_none() && weights.is_none() && time.is_none() {
            return None;
        }
        Some(Self {
            inner,
            // A record of the inner optimizer has no clock of ours.
            time: time.map_or(0, |time| record.time(TIME, Some(time))),
            weights,
            parameter_id: record.parameter_id(),
        })
    }
}

const DECAY: &str = "decay";
const TIME: &str = "steps";

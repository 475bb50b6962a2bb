//! Loading an optimizer's record that may be damaged, or of something else.

use core::any::Any;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::{Module, Param};
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::store::RecordError;
use burn::tensor::{Bytes, Shape, Tensor, TensorData};
use burn_pack::Reader;

use crate::parameters::{Place, Visit, walk};
use crate::record::ParameterId;

/// Loads a record into an optimizer of `module`, as
/// [`ModuleOptimizer::load_record`](burn::optim::ModuleOptimizer::load_record) does, if all of it is
/// read and fits.
///
/// Burn's `load_record` passes over what it cannot use: with the record of another model or of another
/// kind of optimizer every state starts from zero without a word, and what is damaged panics or does the
/// same. Here it is an error that names the parameter. It works for Burn's own optimizers too, and for
/// groups of them.
///
/// What it cannot see is a number that became another finite number: Burn's format has no checksum.
///
/// Of an optimizer that is neither Burn's nor this crate's it does not know what the numbers of a state are: it
/// refuses a NaN, and what the optimizer refuses.
///
/// It takes a step of 0 with gradients of 0 on a copy of each parameter, and holds several copies of the record
/// meanwhile.
///
/// An optimizer refuses a state by a panic, since Burn gives it no other way, and this function catches it:
/// the panic's message is printed nevertheless, and a program that is compiled with `panic = "abort"` ends.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::optim::GradientsParams;
/// use burn::tensor::{Device, Tensor};
/// use burn_decay::{AdamWConfig, SgdWConfig, try_load_record};
///
/// let device = Device::default().autodiff();
/// let model: Linear = LinearConfig::new(4, 2).init(&device);
/// let mut optimizer = AdamWConfig::new().init();
/// let loss = model.forward(Tensor::<2>::ones([8, 4], &device)).square().mean();
/// let gradients = GradientsParams::from_grads(loss.backward(), &model);
/// let model = optimizer.step(1e-3, model, gradients);
///
/// let resumed = try_load_record(AdamWConfig::new().init(), optimizer.to_record(), &model)?;
/// let error = try_load_record(SgdWConfig::new().init(), optimizer.to_record(), &model).err().unwrap();
/// assert!(error.to_string().ends_with("momentum.moment_1 is not of this optimizer"), "{error}");
/// # Ok::<(), burn_decay::LoadError>(())
/// ```
///
/// # Errors
///
/// - Burn cannot read the record.
/// - It has a state of a parameter that the module has not (it is of another model).
/// - It lacks that of one that the module has, that requires gradients, and of which the optimizer would
///   have a state after a step. (A parameter that has had no gradient yet has none: freeze it, or use
///   Burn's `load_record`. So has every parameter before the first step, but a flipped bit in a record's
///   header can make Burn read nothing at all, too.)
/// - A parameter has another path in the module than in the record. (Burn goes by the record's where it chooses
///   a parameter group, so that a bias that was renamed could begin to decay.)
/// - A state is not of its parameter's shape, holds a NaN, an infinity that is not of a second moment, or a
///   second moment that is negative, is refused by the optimizer, or makes a weight NaN.
/// - The optimizer does not take a part of it (it is of another kind of optimizer), or not in its precision
///   (Burn's own read every state in the default one, and do not resume in f64 or half precision). The number
///   of steps that this crate's SGD and [`Decayed`](crate::Decayed) record may be left over: Burn's SGD and the
///   inner optimizer count none.
pub fn try_load_record<M: Module>(
    optimizer: ModuleOptimizer,
    record: OptimizerRecord,
    module: &M,
) -> Result<ModuleOptimizer, LoadError> {
    let bytes = record.into_bytes()?;
    let recorded = States::read(bytes.clone())?;
    let mut parameters = Parameters::default();
    walk(module, &mut parameters);
    parameters.check(&recorded)?;

    let record = OptimizerRecord::from_bytes(bytes)?;
    let loaded = caught(|| optimizer.clone().load_record(record))?;
    let taken = States::read(loaded.into_bytes()?)?;
    for (id, state) in &recorded.states {
        let taken = taken.states.get(id);
        let lost = |leaf: &&String| taken.is_none_or(|taken| !taken.contains_key(*leaf));
        let matters = |leaf: &&String| !CLOCKS.contains(&leaf.as_str());
        if let Some(leaf) = state.keys().filter(lost).find(matters) {
            return Err(parameters.error(*id, format!("{leaf} is not of this optimizer")));
        }
    }

    // Some optimizers need no state: SGD without momentum.
    let lacking = parameters.lacking(&taken);
    if !lacking.is_empty() {
        let (stepped, _) = trial_step(&optimizer, module, &lacking)?;
        let needed = States::read(stepped.into_bytes()?)?;
        for id in lacking {
            let needed = needed.states.get(&id);
            if !taken.states.contains_key(&id) && needed.is_some() {
                return Err(parameters.error(id, "has no state".into()));
            }
            if let Some(leaf) = needed.and_then(|needed| needed.keys().find(|it| is_moment(it))) {
                return Err(parameters.error(id, format!("{leaf} is missing")));
            }
        }
    }
    let ids: Vec<ParameterId> = recorded.states.keys().copied().collect();
    let stepped = trial_step(&loaded, module, &ids);
    if let Ok((_, stepped)) = &stepped {
        let [before, after] = [module, stepped].map(with_nan);
        if let Some(id) = after.difference(&before).next() {
            return Err(parameters.error(*id, "a step with it makes weights NaN".into()));
        }
    } else {
        for id in ids {
            if let Err(error) = trial_step(&loaded, module, &[id]) {
                // Some optimizers do not take what is in another precision than the default one.
                let taken = taken.states.get(&id);
                let recorded = &recorded.states[&id];
                let what = taken.and_then(|taken| in_another_precision(recorded, taken));
                return Err(parameters.error(id, what.unwrap_or_else(|| error.to_string())));
            }
        }
    }
    Ok(loaded)
}

/// Which number of a state was recorded in a precision that the optimizer does not read it in.
fn in_another_precision(recorded: &State, taken: &State) -> Option<String> {
    recorded.iter().find_map(|(leaf, data)| {
        let [recorded, read] = [data.as_ref()?, taken.get(leaf)?.as_ref()?].map(TensorData::dtype);
        (read != recorded)
            .then(|| format!("{leaf} is in {recorded:?}, and this optimizer reads it in {read:?}"))
    })
}

/// What `work` returns, or what it panics with as an error.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| LoadError::of_panic(&*panic))
}

/// Why a record was not loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// Burn cannot read it.
    Unreadable(RecordError),
    /// It is not what the optimizer and the module need: a text that names the parameter.
    Unfit(String),
}

impl LoadError {
    fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
        Self::Unfit(text.unwrap_or_else(|| "the optimizer refuses it".into()))
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "the optimizer's record cannot be read: {error}"),
            Self::Unfit(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Unfit(_) => None,
        }
    }
}

impl From<RecordError> for LoadError {
    fn from(error: RecordError) -> Self {
        Self::Unreadable(error)
    }
}

/// A step of 0 with gradients of 0, of some parameters.
fn trial_step<M: Module>(
    optimizer: &ModuleOptimizer,
    module: &M,
    ids: &[ParameterId],
) -> Result<(ModuleOptimizer, M), LoadError> {
    let mut zeros = Zeros {
        ids,
        gradients: GradientsParams::new(),
    };
    walk(module, &mut zeros);
    let mut optimizer = optimizer.clone();
    let stepped = caught(|| optimizer.step(0.0, module.clone(), zeros.gradients))?;
    Ok((optimizer, stepped))
}

/// The parameters that hold a NaN.
fn with_nan<M: Module>(module: &M) -> BTreeSet<ParameterId> {
    let mut nans = Nans(BTreeSet::new());
    walk(module, &mut nans);
    nans.0
}

struct Nans(BTreeSet<ParameterId>);

impl Visit for Nans {
    fn parameter<const D: usize>(&mut self, _place: &Place, parameter: &Param<Tensor<D>>) {
        if parameter.val().inner().contains_nan().into_scalar() {
            self.0.insert(parameter.id.val());
        }
    }
}

struct Zeros<'a> {
    ids: &'a [ParameterId],
    gradients: GradientsParams,
}

impl Visit for Zeros<'_> {
    fn parameter<const D: usize>(&mut self, _place: &Place, parameter: &Param<Tensor<D>>) {
        if self.ids.contains(&parameter.id.val()) {
            let weight = parameter.val().inner();
            self.gradients.register(parameter.id, weight.zeros_like());
        }
    }
}

/// The steps that our SGD and `Decayed` count, and the optimizers whose states they take do not.
const CLOCKS: [&str; 2] = ["momentum.steps", "decay.steps"];

/// What our decay needs beside what an optimizer learns.
const BESIDE_MOMENTS: [&str; 6] = [
    "momentum.steps",
    "momentum.start",
    "momentum.master_weights",
    "decay.steps",
    "decay.start",
    "decay.master_weights",
];

fn is_moment(leaf: &str) -> bool {
    !BESIDE_MOMENTS.contains(&leaf)
}

/// What the numbers of a tensor are.
#[derive(Clone, Copy)]
enum Numbers {
    Finite,
    /// Averages and sums of squares, which may have overflowed.
    Squares,
    /// Of an optimizer that is not known, or RMSProp's variance, a difference of squares.
    NotNan,
}

impl Numbers {
    /// Of a tensor that Burn's optimizers or ours record under this name, and whether it has the
    /// parameter's shape. (Adafactor's factors have one of its rows, and one of its columns.)
    fn recorded_as(leaf: &str) -> (Self, bool) {
        match leaf {
            "momentum"
            | "moment_1"
            | "momentum.moment_1"
            | "momentum.velocity"
            | "momentum.buf"
            | "momentum.exp_avg"
            | "momentum.exp_avg_diff"
            | "momentum.neg_pre_grad"
            | "centered.grad_avg"
            | "momentum.start"
            | "momentum.master_weights"
            | "decay.start"
            | "decay.master_weights" => (Self::Finite, true),
            "moment_2"
            | "momentum.moment_2"
            | "momentum.max_moment_2"
            | "momentum.exp_avg_sq"
            | "square_avg.square_avg"
            | "lr_decay.sum" => (Self::Squares, true),
            "second_moment" | "column_second_moment" => (Self::Squares, false),
            "centered.avg" => (Self::NotNan, true),
            _ => (Self::NotNan, false),
        }
    }

    fn include(self, number: f64) -> bool {
        match self {
            Self::Finite => number.is_finite(),
            Self::Squares => number >= 0.0,
            Self::NotNan => !number.is_nan(),
        }
    }
}

/// What is recorded of a parameter by name: tensors, and scalars, which have no data here.
type State = BTreeMap<String, Option<TensorData>>;

/// What is recorded of each parameter, and where it stood in its module.
struct States {
    states: BTreeMap<ParameterId, State>,
    paths: BTreeMap<ParameterId, String>,
}

impl States {
    fn read(bytes: Bytes) -> Result<Self, LoadError> {
        let reader = Reader::from_bytes(bytes).map_err(RecordError::from)?;
        let path = |(id, path): (&String, &String)| Some((id.parse().ok()?, path.clone()));
        let mut states = Self {
            states: BTreeMap::new(),
            paths: reader.metadata().iter().filter_map(path).collect(),
        };
        for name in reader.scalars().keys() {
            states.insert(name, None)?;
        }
        for tensor in reader.into_tensors().map_err(RecordError::from)? {
            let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(RecordError::from)?;
            states.insert(&name, Some(TensorData::from_bytes(bytes, shape, dtype)))?;
        }
        Ok(states)
    }

    /// Under the parameter's id, with which Burn begins every name.
    fn insert(&mut self, name: &str, value: Option<TensorData>) -> Result<(), LoadError> {
        let parts = name.split_once('.');
        let parts = parts.and_then(|(id, leaf)| Some((id.parse().ok()?, leaf)));
        let Some((id, leaf)) = parts else {
            let what = format!("the optimizer's record holds {name}, which is of no parameter");
            return Err(LoadError::Unfit(what));
        };
        let state = self.states.entry(id).or_default();
        // Burn's own, of every state.
        if leaf != "__rank" {
            state.insert(leaf.into(), value);
        }
        Ok(())
    }
}

/// The parameters of a module by id.
#[derive(Default)]
struct Parameters(BTreeMap<ParameterId, Described>);

struct Described {
    /// Tied weights have several.
    paths: Vec<String>,
    shape: Shape,
    /// Whether it requires gradients. One that was frozen in mid-training has a state too.
    learns: bool,
}

impl Visit for Parameters {
    fn parameter<const D: usize>(&mut self, place: &Place, parameter: &Param<Tensor<D>>) {
        let described = || Described {
            paths: Vec::new(),
            shape: parameter.shape(),
            learns: parameter.val().is_require_grad(),
        };
        let described = self.0.entry(parameter.id.val()).or_insert_with(described);
        described.paths.push(place.path());
    }
}

impl Parameters {
    /// Those that learn, and of which there is no moment.
    fn lacking(&self, states: &States) -> Vec<ParameterId> {
        let learning = self.0.iter().filter(|(_, parameter)| parameter.learns);
        let has_moment = |state: &State| state.keys().any(|leaf| is_moment(leaf));
        let lacking = learning.filter(|(id, _)| !states.states.get(id).is_some_and(has_moment));
        lacking.map(|(id, _)| *id).collect()
    }

    fn check(&self, states: &States) -> Result<(), LoadError> {
        for (id, state) in &states.states {
            let Some(Described { shape, paths, .. }) = self.0.get(id) else {
                return Err(self.error(*id, "is not in the module".into()));
            };
            if let Some(path) = states.paths.get(id).filter(|path| !paths.contains(path)) {
                let what = format!("it was {path}, by which Burn chooses its parameter group");
                return Err(self.error(*id, what));
            }
            for (leaf, data) in state {
                let Some(data) = data else {
                    continue;
                };
                let found = data.shape();
                let (right, is_whole) = Numbers::recorded_as(leaf);
                if is_whole && found != shape {
                    let what = format!("{leaf} has the shape {found}, but the parameter {shape}");
                    return Err(self.error(*id, what));
                }
                if !data.dtype().is_float() {
                    continue;
                }
                // In memory of their own: a record's may be at any address.
                let bytes = data.as_bytes().to_vec();
                let numbers = TensorData::from_bytes_vec(bytes, found.clone(), data.dtype());
                let wrong = |number: &f64| !right.include(*number);
                if let Some(number) = numbers.iter::<f64>().find(wrong) {
                    return Err(self.error(*id, format!("{leaf} holds {number}")));
                }
            }
        }
        Ok(())
    }

    fn error(&self, id: ParameterId, what: String) -> LoadError {
        let path = self.0.get(&id).map(|it| format!(", {}", it.paths[0]));
        let path = path.unwrap_or_default();
        LoadError::Unfit(format!(
            "the optimizer's record of parameter {id}{path}: {what}"
        ))
    }
}

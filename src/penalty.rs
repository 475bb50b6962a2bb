use core::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use burn::module::{Module, Param, ParamGroup, ParamId};
use burn::tensor::Tensor;

use crate::config::{ConfigError, not_negative};
use crate::parameters::{Counted, Place, Sum, Visit, in_full_precision, walk};

/// The L2 penalty as a term of the loss: `λ/2 · Σw²`, or `λ/2 · Σ(w - w₀)²` with
/// [`towards`](Self::towards).
///
/// Its gradient is λw, which [`SgdL2`](crate::SgdL2) and [`AdamL2`](crate::AdamL2) add by
/// themselves, without a forward and a backward pass over the parameters: prefer them, unless the
/// loss has to include the penalty. Do not use both.
///
/// Only parameters that require gradients count: the running statistics of a norm, frozen
/// parameters and the model on a device without autodiff add nothing. A parameter that stands in two
/// places of the module, as tied weights do, counts once.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use burn_decay::{L1Penalty, L2Penalty};
///
/// # let device = Device::default().autodiff();
/// # let model: Linear = LinearConfig::new(4, 2).init(&device);
/// # let data_loss = Tensor::<1>::zeros([1], &device);
/// // An elastic net: the sum of the two.
/// let loss = L2Penalty::new(1e-3).add_to(data_loss, &model);
/// let loss = L1Penalty::new(1e-5).add_to(loss, &model);
/// # loss.backward();
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct L2Penalty(Penalty);

/// The L1 penalty as a term of the loss: `λ · Σ|w|`, or `λ · Σ|w - w₀|` with
/// [`towards`](Self::towards).
///
/// It pulls every weight towards 0 by the same amount, and so makes many of them 0 or nearly so.
/// At 0 its gradient counts as 0. What counts as a weight is told as for [`L2Penalty`], and an
/// elastic net is the sum of the two.
#[derive(Debug, Clone)]
#[must_use]
pub struct L1Penalty(Penalty);

macro_rules! penalty {
    ($penalty:ident, $over_examples:literal, $of_tensor:expr) => {
        impl $penalty {
            /// A penalty with the coefficient λ, over biases and the parameters of norms too.
            ///
            /// # Panics
            ///
            /// Panics where λ is negative or not finite in f32, with the error of
            /// [`try_new`](Self::try_new).
            #[track_caller]
            pub fn new(lambda: f64) -> Self {
                Self::try_new(lambda).unwrap_or_else(|error| panic!("{error}"))
            }

            /// [`new`](Self::new), for a λ that comes from outside.
            ///
            /// # Errors
            ///
            /// λ is negative or not finite in f32.
            pub fn try_new(lambda: f64) -> Result<Self, ConfigError> {
                Penalty::try_new(lambda).map(Self)
            }

            #[doc = concat!("Divides λ by the number of examples: `", $over_examples, "`,")]
            /// for a loss that is the mean over `examples` examples of the whole set, so that λ
            /// weighs the same against more data.
            ///
            /// # Panics
            ///
            /// Panics where there are no examples.
            #[track_caller]
            pub fn per_example(self, examples: usize) -> Self {
                Self(self.0.per_example(examples))
            }

            /// Whether parameters of rank 0 and 1 (biases, the scales of norms) count; they do by
            /// default.
            pub fn with_vectors(mut self, vectors: bool) -> Self {
                self.0.vectors = vectors;
                self
            }

            /// Penalizes the distance from the weights of `start`, in place of that from 0: for
            /// fine-tuning, towards a clone of what was loaded
            /// ([L2-SP](https://arxiv.org/abs/1802.01483), equation 2).
            ///
            /// A parameter is matched by its id, as a clone has it, or else by its path in the
            /// module. One that `start` has not, as that of a new head, is penalized towards 0; a new
            /// head in an old one's place has its path, so leave it out of the
            /// [group](Self::with_group). `start` is kept as it is now.
            pub fn towards<M: Module>(mut self, start: &M) -> Self {
                let mut starts = Starts::default();
                walk(start, &mut starts);
                self.0.start = Some(Arc::new(starts));
                self
            }

            /// Counts the parameters of `group` only. (The group of [`Undecayed`](crate::Undecayed)
            /// is that of the others.)
            pub fn with_group(mut self, group: ParamGroup) -> Self {
                self.0.group = group;
                self
            }

            /// The penalty for the parameters of `module`: one number, in f32, or in f64 where
            /// there are parameters in f64, on the device of the first that counts. Where none
            /// does it is 0, on the module's device, or for a module without parameters on the
            /// default device.
            ///
            /// # Panics
            ///
            /// Panics where a parameter and its start are of different shapes, and where none of the
            /// parameters that count has a start in the module that was given.
            pub fn of<M: Module>(&self, module: &M) -> Tensor<1> {
                let sum = self.0.sum(module, $of_tensor);
                sum.or_zero(module) * self.0.lambda
            }

            /// The loss with the penalty for the parameters of `module` added to it, on the loss's
            /// device and in its precision: to each number of it, so give it the mean. Where no parameter
            /// counts it is the loss as it was.
            ///
            /// # Panics
            ///
            /// Panics as [`of`](Self::of).
            pub fn add_to<M: Module>(&self, loss: Tensor<1>, module: &M) -> Tensor<1> {
                let Some(sum) = self.0.sum(module, $of_tensor).get() else {
                    return loss;
                };
                let penalty = (sum * self.0.lambda).to_device(&loss.device());
                let dtype = loss.dtype();
                loss + penalty.cast(dtype)
            }
        }
    };
}

penalty!(L2Penalty, "λ/(2m) · Σw²", Term::HalfSquare);
penalty!(L1Penalty, "λ/m · Σ|w|", Term::Magnitude);

#[derive(Debug, Clone)]
struct Penalty {
    lambda: f64,
    vectors: bool,
    group: ParamGroup,
    start: Option<Arc<Starts>>,
}

/// The weights that are penalized towards: tensors of any rank, by id and by path.
#[derive(Debug, Default)]
struct Starts {
    by_id: HashMap<ParamId, Start>,
    by_path: HashMap<String, Start>,
}

type Start = Arc<dyn Any + Send + Sync>;

impl Visit for Starts {
    fn parameter<const D: usize>(&mut self, place: &Place, parameter: &Param<Tensor<D>>) {
        let start: Start = Arc::new(parameter.val().detach());
        self.by_id.insert(parameter.id, start.clone());
        self.by_path.insert(place.path(), start);
    }
}

impl Starts {
    /// That of a parameter.
    fn of<const D: usize>(&self, place: &Place, parameter: &Param<Tensor<D>>) -> Option<Tensor<D>> {
        let by_path = || self.by_path.get(&place.path());
        let start = self.by_id.get(&parameter.id).or_else(by_path)?;
        let shape = parameter.shape();
        let start = start.downcast_ref::<Tensor<D>>();
        let start = start.filter(|start| start.shape() == shape).cloned();
        Some(start.unwrap_or_else(|| {
            let path = place.path();
            panic!("{path} has the shape {shape}, and its start another")
        }))
    }
}

impl Penalty {
    fn try_new(lambda: f64) -> Result<Self, ConfigError> {
        not_negative("lambda", lambda)?;
        Ok(Self {
            lambda,
            vectors: true,
            group: ParamGroup::all(),
            start: None,
        })
    }

    #[track_caller]
    fn per_example(mut self, examples: usize) -> Self {
        assert!(examples > 0, "examples must be at least 1, but is 0");
        self.lambda /= examples as f64;
        self
    }

    /// Without λ.
    fn sum<M: Module>(&self, module: &M, term: Term) -> Sum {
        let mut terms = Terms {
            penalty: self,
            term,
            counted: Counted::default(),
            sum: Sum::default(),
            matched: self.start.is_none(),
        };
        walk(module, &mut terms);
        let counts = !terms.counted.is_empty();
        assert!(
            terms.matched || !counts,
            "the penalty is towards a module that has none of this one's parameters"
        );
        terms.sum
    }
}

/// What one weight adds to the sum.
#[derive(Clone, Copy)]
enum Term {
    HalfSquare,
    Magnitude,
}

struct Terms<'a> {
    penalty: &'a Penalty,
    term: Term,
    counted: Counted,
    sum: Sum,
    /// Whether a parameter has a start, if there are any.
    matched: bool,
}

impl Visit for Terms<'_> {
    fn parameter<const D: usize>(&mut self, place: &Place, parameter: &Param<Tensor<D>>) {
        let Penalty {
            vectors,
            group,
            start,
            ..
        } = self.penalty;
        let counts = (*vectors || D > 1) && group.matches(&parameter.id, Some(&place.path()));
        let weight = parameter.val();
        if !counts || !weight.is_require_grad() || !self.counted.is_new(parameter.id) {
            return;
        }
        let mut distance = in_full_precision(weight);
        if let Some(starts) = start
            && let Some(start) = starts.of(place, parameter)
        {
            let (device, dtype) = (distance.device(), distance.dtype());
            distance = distance - start.to_device(&device).cast(dtype);
            self.matched = true;
        }
        self.sum.add(match self.term {
            Term::HalfSquare => distance.square().sum() * 0.5,
            Term::Magnitude => distance.abs().sum(),
        });
    }
}

use burn::module::{Module, Param, ParamGroup};
use burn::tensor::Tensor;

use crate::parameters::{Place, Visit, walk};

/// The parameters that one usually leaves undecayed: biases, the weights of norms and, on request,
/// embeddings.
///
/// A bias only shifts, and the weights after a norm can undo the scale that its gain sets, so making
/// either small makes no model simpler. An embedding would decay in every step, but learns only in
/// those where its token occurs.
///
/// What counts: every parameter of rank 0 or 1, which Burn's biases and norm weights are, and whatever a
/// module calls `bias`. For those of rank 0 and 1 alone, `with_decay_vectors(false)` does the same
/// without a group.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::Device;
/// use burn_decay::{AdamWConfig, Undecayed};
///
/// # let device = Device::default().autodiff();
/// # let model: Linear = LinearConfig::new(4, 2).init(&device);
/// let config = AdamWConfig::new().with_weight_decay(1e-2);
/// let undecayed = Undecayed::new().with_embeddings(true).group(&model);
/// let clipping = config.grad_clipping.as_ref().map(|clipping| clipping.init());
/// let optimizer = config
///     .init()
///     .with_group(undecayed, config.without_decay().build(), clipping);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Undecayed {
    embeddings: bool,
}

impl Undecayed {
    /// Biases and the weights of norms.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the weights of Burn's `Embedding` are left undecayed too; they are not by default.
    pub fn with_embeddings(mut self, embeddings: bool) -> Self {
        self.embeddings = embeddings;
        self
    }

    /// The group of the undecayed parameters of `module`, by their paths, so that it holds for the
    /// module after its record is loaded too.
    pub fn group<M: Module>(&self, module: &M) -> ParamGroup {
        let mut paths = Paths {
            undecayed: self,
            paths: Vec::new(),
        };
        walk(module, &mut paths);
        ParamGroup::from_paths(paths.paths)
    }
}

struct Paths<'a> {
    undecayed: &'a Undecayed,
    paths: Vec<String>,
}

impl Visit for Paths<'_> {
    fn parameter<const D: usize>(&mut self, place: &Place, _parameter: &Param<Tensor<D>>) {
        let bias = place.name() == Some("bias");
        let embedding = place.container() == Some("Struct:Embedding");
        if D <= 1 || bias || (embedding && self.undecayed.embeddings) {
            self.paths.push(place.path());
        }
    }
}

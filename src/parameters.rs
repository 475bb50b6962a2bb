//! A walk over the parameters of a module, with the path that Burn's optimizers know each by, and
//! sums over them.

use std::collections::HashSet;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor};

/// What is done with a parameter, at each place that it has in the module.
pub(crate) trait Visit {
    fn parameter<const D: usize>(&mut self, place: &Place, parameter: &Param<Tensor<D>>);
}

/// Where a parameter stands in the module: its field's name, below those of the modules around it.
#[derive(Default)]
pub(crate) struct Place {
    names: Vec<String>,
    containers: Vec<String>,
}

impl Place {
    /// `encoder.norm.gamma`, as [`ParamGroup`](burn::module::ParamGroup) matches it.
    pub(crate) fn path(&self) -> String {
        self.names.join(".")
    }

    /// The field's own name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.names.last().map(String::as_str)
    }

    /// The type that has the field, as Burn tells it: `Struct:LayerNorm`.
    pub(crate) fn container(&self) -> Option<&str> {
        self.containers.last().map(String::as_str)
    }
}

/// The parameters that have been counted: one that stands in two places, as tied weights do, counts
/// once.
#[derive(Default)]
pub(crate) struct Counted(HashSet<ParamId>);

impl Counted {
    pub(crate) fn is_new(&mut self, id: ParamId) -> bool {
        self.0.insert(id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) fn walk<M: Module>(module: &M, visit: &mut impl Visit) {
    let place = Place::default();
    module.visit(&mut Walk { place, visit });
}

struct Walk<'a, V> {
    place: Place,
    visit: &'a mut V,
}

impl<V: Visit> ModuleVisitor for Walk<'_, V> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.visit.parameter(&self.place, parameter);
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.names.push(name.into());
        self.place.containers.push(container.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.place.names.pop();
        self.place.containers.pop();
    }
}

/// A sum over parameters on one device or on several: on the first one's, in its precision, or in
/// f64 where there are terms in f64.
#[derive(Default)]
pub(crate) struct Sum(Option<Tensor<1>>);

impl Sum {
    pub(crate) fn add(&mut self, term: Tensor<1>) {
        let Some(sum) = self.0.take() else {
            self.0 = Some(term);
            return;
        };
        let term = term.to_device(&sum.device());
        self.0 = Some(match (sum.dtype(), term.dtype()) {
            (DType::F64, DType::F32) => sum + term.cast(DType::F64),
            (DType::F32, DType::F64) => sum.cast(DType::F64) + term,
            _ => sum + term,
        });
    }

    pub(crate) fn get(self) -> Option<Tensor<1>> {
        self.0
    }

    /// The sum, or a zero on the module's device.
    pub(crate) fn or_zero<M: Module>(self, module: &M) -> Tensor<1> {
        self.0.unwrap_or_else(|| {
            let device = module.devices().into_iter().next().unwrap_or_default();
            Tensor::zeros([1], &device)
        })
    }
}

/// A sum in half precision would stop growing at some thousands.
pub(crate) fn in_full_precision<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    match tensor.dtype() {
        DType::F16 | DType::BF16 => tensor.cast(DType::F32),
        _ => tensor,
    }
}

//! Models of nothing but parameters, and steps on them as the `Learner` takes them.

use std::time::{Duration, Instant};

use burn::module::{Module, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Distribution, Tensor};

#[derive(Module, Debug)]
pub struct Parameters {
    vectors: Vec<Param<Tensor<1>>>,
    matrices: Vec<Param<Tensor<2>>>,
    kernels: Vec<Param<Tensor<4>>>,
}

/// The shapes of a model's parameters, by rank.
#[derive(Default, Clone)]
pub struct Shapes {
    pub vectors: Vec<[usize; 1]>,
    pub matrices: Vec<[usize; 2]>,
    pub kernels: Vec<[usize; 4]>,
}

impl Shapes {
    /// Eight matrices of `parameters` numbers in all.
    pub fn eight(parameters: usize) -> Self {
        Self {
            matrices: vec![[64, parameters / 8 / 64]; 8],
            ..Self::default()
        }
    }

    /// Every tensor's shape.
    pub fn all(&self) -> impl Iterator<Item = &[usize]> {
        fn slices<const D: usize>(shapes: &[[usize; D]]) -> impl Iterator<Item = &[usize]> {
            shapes.iter().map(|shape| shape.as_slice())
        }
        slices(&self.vectors)
            .chain(slices(&self.matrices))
            .chain(slices(&self.kernels))
    }

    #[allow(dead_code, reason = "not every benchmark counts them")]
    pub fn tensors(&self) -> usize {
        self.all().count()
    }

    #[allow(dead_code, reason = "not every benchmark counts them")]
    pub fn parameters(&self) -> usize {
        self.all()
            .map(|shape| shape.iter().product::<usize>())
            .sum()
    }
}

impl Parameters {
    pub fn random(shapes: &Shapes, device: &Device) -> Self {
        fn random<const D: usize>(shapes: &[[usize; D]], device: &Device) -> Vec<Param<Tensor<D>>> {
            let normal = Distribution::Normal(0.0, 1.0);
            let tensor = |shape: &[usize; D]| Tensor::random(*shape, normal, device);
            shapes
                .iter()
                .map(|shape| Param::from_tensor(tensor(shape)))
                .collect()
        }
        Self {
            vectors: random(&shapes.vectors, device),
            matrices: random(&shapes.matrices, device),
            kernels: random(&shapes.kernels, device),
        }
    }

    /// Gradients with the values of `from`, in memory of their own, as the backward pass leaves
    /// them.
    pub fn gradients(&self, from: &Self) -> GradientsParams {
        let mut gradients = GradientsParams::new();
        fn register<const D: usize>(
            gradients: &mut GradientsParams,
            parameters: &[Param<Tensor<D>>],
            from: &[Param<Tensor<D>>],
        ) {
            for (parameter, from) in parameters.iter().zip(from) {
                gradients.register(parameter.id, from.val().inner() * 1.0);
            }
        }
        register(&mut gradients, &self.vectors, &from.vectors);
        register(&mut gradients, &self.matrices, &from.matrices);
        register(&mut gradients, &self.kernels, &from.kernels);
        gradients
    }

    /// Takes `steps` steps, with a clone of the model alive, as in the `Learner`, and hands each
    /// step's time to `record`.
    #[allow(dead_code, reason = "benches/gpu.rs times in its own way")]
    pub fn time_steps(
        &self,
        gradients: &Self,
        optimizer: &mut ModuleOptimizer,
        steps: u64,
        mut record: impl FnMut(Duration),
    ) {
        let mut model = self.clone();
        for _ in 0..steps {
            let gradients = model.gradients(gradients);
            let kept = model.clone();
            let start = Instant::now();
            model = optimizer.step(1e-3, model, gradients);
            record(start.elapsed());
            drop(kept);
        }
    }
}

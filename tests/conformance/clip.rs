//! Clipping by the norm over all gradients, beside PyTorch's.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use burn_decay::{clip_grad_norm, try_clip_grad_norm};
use serde::Deserialize;

use crate::data::{noise, to_f32};
use crate::forms::{devices, tensor, values};

#[derive(Deserialize)]
struct Fixtures {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    seed: u64,
    shapes: Vec<Vec<usize>>,
    scale: f64,
    max_norm: f64,
    norm: f64,
    norm_after: f64,
    /// The first values of each clipped gradient.
    clipped: Vec<Vec<f64>>,
}

/// Parameters of any shapes; those of fewer than four dimensions have ones in front.
#[derive(Module, Debug)]
struct Parameters {
    all: Vec<Param<Tensor<4>>>,
}

impl Case {
    fn model(&self, device: &Device) -> (Parameters, GradientsParams) {
        let mut gradients = GradientsParams::new();
        let parameter = |(i, shape): (usize, &Vec<usize>)| {
            let mut dims = [1; 4];
            dims[4 - shape.len()..].copy_from_slice(shape);
            let parameter = Param::from_tensor(Tensor::zeros(dims, device));
            let values = noise(self.seed, i as u64, shape.iter().product());
            let values: Vec<f64> = values.iter().map(|value| self.scale * value).collect();
            let gradient = tensor(&to_f32(&values), dims, &device.clone().inner());
            gradients.register(parameter.id, gradient);
            parameter
        };
        let parameters = self.shapes.iter().enumerate().map(parameter).collect();
        (Parameters { all: parameters }, gradients)
    }
}

fn all(model: &Parameters, gradients: &GradientsParams) -> Vec<Vec<f64>> {
    let of = |parameter: &Param<Tensor<4>>| gradients.get::<4>(parameter.id);
    let gradients = model.all.iter().map(of);
    gradients
        .map(|gradient| values(&gradient.expect("every parameter has a gradient")))
        .collect()
}

fn norm(gradients: &[Vec<f64>]) -> f64 {
    let squares = gradients.iter().flatten().map(|value| value * value);
    squares.sum::<f64>().sqrt()
}

/// A few roundings of an f32.
fn assert_close(actual: f64, expected: f64, scale: f64) {
    let apart = (actual - expected).abs();
    assert!(apart <= 2e-6 * scale, "{actual} and PyTorch's {expected}");
}

#[test]
fn norms_and_gradients_are_pytorchs() {
    let fixtures: Fixtures = serde_json::from_str(include_str!("../fixtures/clip.json"))
        .expect("the fixtures are valid");
    assert_eq!(fixtures.cases.len(), 50);
    for device in devices() {
        for case in &fixtures.cases {
            for waits in [false, true] {
                let (model, mut gradients) = case.model(&device);
                let before = if waits {
                    try_clip_grad_norm(&model, &mut gradients, case.max_norm)
                        .expect("the norm is finite")
                } else {
                    let norm = clip_grad_norm(&model, &mut gradients, case.max_norm);
                    norm.into_scalar::<f64>()
                };
                let after = all(&model, &gradients);
                assert_close(before, case.norm, case.norm);
                assert_close(norm(&after), case.norm_after, case.norm_after);
                assert!(norm(&after) <= case.max_norm * (1.0 + 1e-6));
                for (actual, expected) in after.iter().zip(&case.clipped) {
                    for (actual, expected) in actual.iter().zip(expected) {
                        assert_close(*actual, *expected, case.norm_after);
                    }
                }
            }
        }
    }
}

fn two_gradients(second: f32, device: &Device) -> (Parameters, GradientsParams) {
    let case = Case {
        seed: 1,
        shapes: vec![vec![3], vec![1]],
        scale: 1.0,
        max_norm: 1.0,
        norm: 0.0,
        norm_after: 0.0,
        clipped: Vec::new(),
    };
    let (model, mut gradients) = case.model(device);
    let gradient = tensor(&[second], [1; 4], &device.clone().inner());
    gradients.register(model.all[1].id, gradient);
    (model, gradients)
}

#[test]
fn a_norm_that_is_not_finite_leaves_the_gradients_alone() {
    for device in devices() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (model, mut gradients) = two_gradients(bad, &device);
            let before = all(&model, &gradients);
            let error = try_clip_grad_norm(&model, &mut gradients, 1.0).expect_err("not finite");
            assert!(!error.norm().is_finite());
            let message = error.to_string();
            assert!(message.starts_with("the norm of the gradients must be finite, but is "));

            let norm: f64 = clip_grad_norm(&model, &mut gradients, 1.0).into_scalar();
            assert!(!norm.is_finite());
            let after = all(&model, &gradients);
            assert_eq!(format!("{before:?}"), format!("{after:?}"));
        }
    }
}

#[test]
fn gradients_within_the_bound_are_kept_to_the_bit() {
    for device in devices() {
        let (model, mut gradients) = two_gradients(0.25, &device);
        let before = all(&model, &gradients);
        clip_grad_norm(&model, &mut gradients, 1e3);
        try_clip_grad_norm(&model, &mut gradients, 1e3).expect("the norm is finite");
        assert_eq!(before, all(&model, &gradients));
    }
}

#[test]
fn a_model_without_gradients_has_the_norm_zero() {
    for device in devices() {
        let (model, _) = two_gradients(0.0, &device);
        let mut none = GradientsParams::new();
        assert_eq!(try_clip_grad_norm(&model, &mut none, 1.0), Ok(0.0));
        let norm: f64 = clip_grad_norm(&model, &mut none, 1.0).into_scalar();
        assert_eq!(norm, 0.0);
        assert!(none.is_empty());
    }
}

/// In half precision the squares of these would be infinite.
#[test]
fn half_precision_is_measured_in_f32_and_stays_half() {
    for device in devices() {
        for dtype in [DType::F16, DType::BF16] {
            if !device.supports_dtype(dtype) {
                continue;
            }
            let (model, mut gradients) = two_gradients(0.0, &device);
            let large = tensor(&[3e4], [1; 4], &device.clone().inner()).cast(dtype);
            gradients.register(model.all[1].id, large);
            let norm = try_clip_grad_norm(&model, &mut gradients, 2.0).expect("the norm is finite");
            assert!((norm - 3e4).abs() < 100.0);
            let clipped = gradients
                .get::<4>(model.all[1].id)
                .expect("it was registered");
            assert_eq!(clipped.dtype(), dtype);
            assert!((values(&clipped)[0] - 2.0).abs() < 0.02);
        }
    }
}

#[test]
#[should_panic(expected = "max_norm must be greater than 0, but is -1")]
fn an_invalid_bound_is_refused() {
    let device = devices().next().expect("there is a device");
    let (model, mut gradients) = two_gradients(0.0, &device);
    clip_grad_norm(&model, &mut gradients, -1.0);
}

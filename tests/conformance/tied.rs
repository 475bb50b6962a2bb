//! Clipping and penalties where a parameter stands in two places, stands nowhere, or is beside one
//! in another precision.

use burn::module::{Module, Param, ParamGroup};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use burn_decay::{L1Penalty, L2Penalty, clip_grad_norm, try_clip_grad_norm};

use crate::forms::{devices, devices_with_f64, tensor, values};

#[derive(Module, Debug)]
struct Tied {
    embedding: Param<Tensor<2>>,
    output: Param<Tensor<2>>,
}

impl Tied {
    /// Of four twos.
    fn new(device: &Device) -> Self {
        let embedding = Param::from_tensor(tensor(&[2.0; 4], [2, 2], device));
        let output = embedding.clone();
        Self { embedding, output }
    }
}

#[derive(Module, Debug)]
struct Empty {
    #[module(skip)]
    name: String,
}

#[test]
fn a_tied_parameter_is_clipped_once() {
    for device in devices() {
        for waits in [false, true] {
            let model = Tied::new(&device);
            let mut gradients = GradientsParams::new();
            let gradient = tensor(&[3.0; 4], [2, 2], &device.clone().inner());
            gradients.register(model.embedding.id, gradient);
            let norm: f64 = if waits {
                try_clip_grad_norm(&model, &mut gradients, 3.0).expect("it is finite")
            } else {
                clip_grad_norm(&model, &mut gradients, 3.0).into_scalar()
            };
            let clipped = gradients.get::<2>(model.embedding.id).expect("it has one");
            assert_eq!(norm, 6.0);
            for value in values(&clipped) {
                assert!((value - 1.5).abs() < 1e-6, "{value}");
            }
        }
    }
}

#[test]
fn a_tied_parameter_is_penalized_once() {
    for device in devices() {
        let model = Tied::new(&device);
        let value = |penalty: Tensor<1>| -> f64 { penalty.into_scalar() };
        assert_eq!(value(L2Penalty::new(1.0).of(&model)), 8.0);
        assert_eq!(value(L1Penalty::new(1.0).of(&model)), 8.0);
        // Also where only the second of its places is in the group.
        let second = ParamGroup::from_path("output");
        assert_eq!(
            value(L2Penalty::new(1.0).with_group(second).of(&model)),
            8.0
        );
    }
}

#[test]
fn a_penalty_is_added_on_the_losss_device_and_in_its_precision() {
    let empty = Empty {
        name: "none".into(),
    };
    for device in devices() {
        let loss = || tensor(&[3.0], [1], &device);
        let added = L2Penalty::new(1.0).add_to(loss(), &empty);
        assert_eq!(
            (values(&added), added.device()),
            (vec![3.0], device.clone())
        );
        let added = L2Penalty::new(1.0).add_to(loss(), &Tied::new(&device));
        assert_eq!(values(&added), [11.0]);
        // A model on another device, or in another precision.
        for elsewhere in devices_with_f64() {
            let mut model = Tied::new(&elsewhere);
            let weight = tensor(&[2.0; 4], [2, 2], &elsewhere).cast(DType::F64);
            model.embedding = Param::from_tensor(weight);
            let added = L1Penalty::new(0.5).add_to(loss(), &model);
            assert_eq!((values(&added), added.dtype()), (vec![11.0], DType::F32));
        }
    }
}

/// The squares overflow in f32, so that they are taken in f64.
#[test]
fn a_norm_in_f64_is_one_all_the_way() {
    for device in devices_with_f64() {
        let model = Tied {
            embedding: Param::from_tensor(Tensor::zeros([2, 2], &device)),
            output: Param::from_tensor(Tensor::zeros([2, 2], (&device, DType::F64))),
        };
        let inner = device.clone().inner();
        let mut gradients = GradientsParams::new();
        let large = tensor(&[1e20, 0.0, 0.0, 0.0], [2, 2], &inner);
        gradients.register(model.embedding.id, large);
        let small = tensor(&[1.0; 4], [2, 2], &inner).cast(DType::F64);
        gradients.register(model.output.id, small);
        let norm: f64 = clip_grad_norm(&model, &mut gradients, 1.0).into_scalar();
        assert!((norm / 1e20 - 1.0).abs() < 1e-6, "{norm:e}");
        let clipped = gradients.get::<2>(model.embedding.id).expect("it has one");
        assert!((values(&clipped)[0] - 1.0).abs() < 1e-6);
    }
}

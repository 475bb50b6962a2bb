//! Faults of Burn 0.22.1 that stand in this crate's way, each as a small program that uses Burn alone.
//! A test that fails says that Burn has mended its fault, and what this crate does about it can go.
//!
//! ```text
//! cargo test --test upstream
//! cargo test --test upstream --features wgpu
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::{Module, Param};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, OptimizerRecord, SgdConfig};
use burn::tensor::{Bytes, DType, Device, Tensor};
use burn_pack::{Reader, Writer};

#[derive(Module, Debug)]
struct Model {
    weight: Param<Tensor<1>>,
}

fn model(dtype: DType) -> Model {
    let ones = Tensor::<1>::ones([4], &Device::flex().autodiff());
    Model {
        weight: Param::from_tensor(ones.cast(dtype)),
    }
}

fn step(model: Model, optimizer: &mut ModuleOptimizer, gradient: f64) -> Model {
    let weight = model.weight.val().inner();
    let mut gradients = GradientsParams::new();
    gradients.register(model.weight.id, weight.full_like(gradient));
    optimizer.step(0.1, model, gradients)
}

fn values(model: &Model) -> Vec<f64> {
    model.weight.val().into_data().iter::<f64>().collect()
}

fn panics<T>(f: impl FnOnce() -> T) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(f)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
}

/// `ModuleOptimizer::load_record` passes over the states of another kind of optimizer: a checkpoint of
/// AdamW, loaded into SGD with momentum, is a fresh start, and nothing says so.
#[test]
fn a_record_of_another_optimizer_is_silently_a_fresh_start() {
    let mut adamw = AdamWConfig::new().init();
    let trained = step(model(DType::F32), &mut adamw, 1.0);
    let sgd = || {
        SgdConfig::new()
            .with_momentum(Some(MomentumConfig::new()))
            .init()
    };
    let mut loaded = sgd().load_record(adamw.to_record());
    let mut fresh = sgd();
    let [loaded, fresh] = [&mut loaded, &mut fresh].map(|sgd| step(trained.clone(), sgd, 0.5));
    assert_eq!(values(&loaded), values(&fresh));
}

/// A record has no checksum: a bit that flips in a second moment makes it negative, `load_record` takes
/// it, and the weight is NaN after the next step.
#[test]
fn a_flipped_bit_becomes_nan() {
    let mut optimizer = AdamWConfig::new().init();
    let trained = step(model(DType::F32), &mut optimizer, 1.0);
    let mut bytes = optimizer.into_bytes().expect("it is written").to_vec();
    // v = (1-β₂)g², as it stands in the record.
    let second_moment = (1.0f32 - 0.999).to_le_bytes();
    let place = bytes.windows(4).position(|window| window == second_moment);
    bytes[place.expect("it is there") + 3] ^= 0x80;
    let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes));
    let mut loaded = AdamWConfig::new()
        .init()
        .load_record(record.expect("it is read"));
    let stepped = step(trained, &mut loaded, 0.0);
    assert!(values(&stepped)[0].is_nan());
}

/// States are read in the default floating-point type, whatever they were written in: the moments of an
/// f64 model lose 29 bits in a checkpoint, so that a resumed run is another.
#[test]
fn a_record_in_f64_is_read_in_f32() {
    let mut optimizer = AdamWConfig::new().init();
    let trained = step(model(DType::F64), &mut optimizer, 0.1);
    let mut resumed = AdamWConfig::new().init().load_record(optimizer.to_record());
    // Its moments are in f32, and the next step adds to them what is in f64.
    let panic = panics(|| step(trained.clone(), &mut resumed, 0.2)).expect("it panics");
    assert!(panic.contains("type") || panic.contains("F32"), "{panic}");
}

/// A record whose tensor lacks the number of its parameter, as one of another program may, is read, and
/// `load_record` panics without a word about which.
#[test]
fn a_tensor_without_an_id_is_a_panic_without_a_name() {
    let mut optimizer = AdamWConfig::new().init();
    step(model(DType::F32), &mut optimizer, 1.0);
    let bytes = optimizer.into_bytes().expect("it is written");
    let reader = Reader::from_bytes(bytes).expect("it is read");
    let (metadata, scalars) = (reader.metadata().clone(), reader.scalars().clone());
    let mut tensors = reader.into_tensors().expect("they are read");
    tensors.iter_mut().for_each(|tensor| tensor.param_id = None);
    let mut writer = Writer::new(tensors);
    for (key, value) in &metadata {
        writer = writer.with_metadata(key, value);
    }
    for (key, value) in scalars {
        writer = writer.with_scalar(&key, value);
    }
    let bytes = writer.into_bytes().expect("it is written");
    let record = OptimizerRecord::from_bytes(bytes).expect("it is read");
    let panic = panics(|| AdamWConfig::new().init().load_record(record));
    let panic = panic.expect("it panics");
    assert!(!panic.contains("weight"), "{panic}");
}

#[derive(Module, Debug)]
struct Tied {
    embedding: Param<Tensor<1>>,
    output: Param<Tensor<1>>,
}

/// One parameter in two fields, as tied weights are: only the first is stepped, and the two are no longer
/// one.
#[test]
fn of_two_fields_with_one_parameter_one_is_stepped() {
    let embedding = model(DType::F32).weight;
    let tied = Tied {
        output: embedding.clone(),
        embedding,
    };
    let mut gradients = GradientsParams::new();
    gradients.register(tied.embedding.id, Tensor::<1>::ones([4], &Device::flex()));
    let tied = SgdConfig::new().init().step(0.1, tied, gradients);
    let [embedding, output] = [tied.embedding, tied.output].map(|weight| weight.val().into_data());
    assert_ne!(embedding, output);
}

/// Whether an empty tensor of two dimensions may be written to underflows: `shape - 1` of 0.
#[cfg(all(feature = "wgpu", not(feature = "fusion"), debug_assertions))]
#[test]
fn an_empty_tensor_on_a_gpu_underflows() {
    use burn_cubecl::CubeBackend;
    let device = Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    let empty = Tensor::<2>::zeros([0, 3], &device);
    let empty = empty.try_into_primitive::<CubeBackend>();
    let empty = empty.expect("it is there");
    assert!(panics(|| empty.is_nonoverlapping()).is_some());
}

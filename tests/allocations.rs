//! After the first step, a step allocates nothing that grows with the parameters.

mod devices;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::{Module, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Tensor};
use burn_decay::{AdamL2Config, AdamWConfig, MomentPrecision};

use devices::devices;

/// Counts what all threads allocate, those that help with a step among them.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: likewise, and `pointer` came from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Module, Debug)]
struct Weights {
    matrix: Param<Tensor<2>>,
    vector: Param<Tensor<1>>,
}

/// The bytes that the third step of a model with `2 * size` parameters allocates, with a clone of
/// the model alive, as in the `Learner`.
fn allocated_by_a_step(
    mut optimizer: ModuleOptimizer,
    dtype: DType,
    size: usize,
    device: &Device,
) -> usize {
    let ones = || Tensor::<1>::ones([size], device).cast(dtype);
    let mut model = Weights {
        matrix: Param::from_tensor(Tensor::from_inner(ones().reshape([size / 8, 8]))),
        vector: Param::from_tensor(Tensor::from_inner(ones())),
    };
    let mut allocated = 0;
    for _ in 0..3 {
        let mut gradients = GradientsParams::new();
        gradients.register::<2>(model.matrix.id, ones().reshape([size / 8, 8]));
        gradients.register(model.vector.id, ones());
        let kept = model.clone();
        let before = ALLOCATED.load(Ordering::Relaxed);
        model = optimizer.step(1e-3, model, gradients);
        allocated = ALLOCATED.load(Ordering::Relaxed) - before;
        drop(kept);
    }
    allocated
}

#[test]
fn a_steady_step_allocates_nothing_that_grows() {
    let optimizers = [
        || AdamL2Config::new().init(),
        || {
            AdamWConfig::new()
                .with_cautious_weight_decay(true)
                .with_amsgrad(true)
                .init()
        },
        || {
            AdamWConfig::new()
                .with_moment_precision(MomentPrecision::Bf16)
                .init()
        },
        || {
            AdamWConfig::new()
                .with_moment_precision(MomentPrecision::Bits8)
                .init()
        },
    ];
    for device in devices() {
        let dtypes = [DType::F32, DType::F16, DType::BF16];
        let dtypes = dtypes
            .into_iter()
            .filter(|dtype| device.supports_dtype(*dtype));
        for (dtype, optimizer) in dtypes.flat_map(|dtype| optimizers.map(|it| (dtype, it))) {
            let [small, large] = [1 << 8, 1 << 18]
                .map(|size| allocated_by_a_step(optimizer(), dtype, size, &device));
            let said = format!(
                "{device:?}, {dtype:?}: {small} bytes for 512 parameters, {large} for 524,288"
            );
            println!("{said}");
            // Handing a large tensor to the threads takes a few words.
            assert!(large < small + 4096, "{said}");
        }
    }
}

//! The shapes of the parameters that the benchmarks take steps on.

use crate::common::Shapes;

/// What a step on the CPU is timed on: four sizes in 8 tensors, and networks that people have.
#[allow(dead_code, reason = "benches/gpu.rs chooses its own")]
pub fn models() -> [(&'static str, Shapes); 6] {
    [
        ("66 k", Shapes::eight(1 << 16)),
        ("1.05 M", Shapes::eight(1 << 20)),
        ("4.2 M", Shapes::eight(1 << 22)),
        ("16.8 M", Shapes::eight(1 << 24)),
        ("transformer", transformer()),
        ("ResNet-50", resnet_50()),
    ]
}

/// The 148 tensors of a GPT-2 of 12 layers, 256 wide, over 8,192 tokens.
pub fn transformer() -> Shapes {
    const WIDTH: usize = 256;
    let mut shapes = Shapes::default();
    for _ in 0..12 {
        for [inputs, outputs] in [[1, 3], [1, 1], [1, 4], [4, 1]] {
            shapes.matrices.push([inputs * WIDTH, outputs * WIDTH]);
            shapes.vectors.push([outputs * WIDTH]);
        }
        shapes.vectors.extend([[WIDTH]; 4]);
    }
    shapes.matrices.extend([[8192, WIDTH], [1024, WIDTH]]);
    shapes.vectors.extend([[WIDTH]; 2]);
    shapes
}

/// The 161 tensors of a ResNet-50.
fn resnet_50() -> Shapes {
    let mut shapes = Shapes::default();
    let mut convolution = |inputs: usize, outputs: usize, side: usize| {
        shapes.kernels.push([outputs, inputs, side, side]);
        shapes.vectors.extend([[outputs]; 2]);
    };
    convolution(3, 64, 7);
    let mut inputs = 64;
    for (width, blocks) in [(64, 3), (128, 4), (256, 6), (512, 3)] {
        for block in 0..blocks {
            convolution(inputs, width, 1);
            convolution(width, width, 3);
            convolution(width, 4 * width, 1);
            if block == 0 {
                convolution(inputs, 4 * width, 1);
            }
            inputs = 4 * width;
        }
    }
    shapes.matrices.push([2048, 1000]);
    shapes.vectors.push([1000]);
    shapes
}

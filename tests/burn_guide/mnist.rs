//! The first digits of the MNIST example's subset, in place of Burn's dataset, which downloads.

use std::io::Read;

use burn::data::dataset::InMemDataset;
use flate2::read::GzDecoder;

const SIDE: usize = 28;

#[derive(Clone, Debug)]
pub struct MnistItem {
    pub image: [[f32; SIDE]; SIDE],
    pub label: u8,
}

pub struct MnistDataset;

/// The contents of a file of the subset, after a header of so many bytes.
macro_rules! contents {
    ($name:literal, $header:literal) => {{
        let packed = include_bytes!(concat!("../../examples/mnist/data/", $name, ".gz"));
        let mut bytes = Vec::new();
        let read = GzDecoder::new(&packed[..]).read_to_end(&mut bytes);
        read.expect("the embedded digits are whole");
        bytes.split_off($header)
    }};
}

impl MnistDataset {
    pub fn train() -> InMemDataset<MnistItem> {
        let images = contents!("train-images-idx3-ubyte", 16);
        let labels = contents!("train-labels-idx1-ubyte", 8);
        items(&images, &labels, 640)
    }

    pub fn test() -> InMemDataset<MnistItem> {
        let images = contents!("t10k-images-idx3-ubyte", 16);
        let labels = contents!("t10k-labels-idx1-ubyte", 8);
        items(&images, &labels, 200)
    }
}

fn items(images: &[u8], labels: &[u8], count: usize) -> InMemDataset<MnistItem> {
    let (rows, _) = images.as_chunks::<SIDE>();
    let (images, _) = rows.as_chunks::<SIDE>();
    let item = |(image, label): (&[[u8; SIDE]; SIDE], &u8)| MnistItem {
        image: image.map(|row| row.map(f32::from)),
        label: *label,
    };
    InMemDataset::new(images.iter().zip(labels).take(count).map(item).collect())
}

//! How the digits become batches.

use std::sync::Arc;

use burn::data::dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher};
use burn::data::dataset::transform::{SamplerDataset, SamplerDatasetOptions};
use burn::data::dataset::{Dataset, InMemDataset};
use burn::prelude::*;

use crate::digits::{Digit, SIDE, normalize};

pub const BATCH_SIZE: usize = 64;

/// Images, and their labels.
pub type Batch = (Tensor<2>, Tensor<1, Int>);

pub struct Batches;

impl Batcher<Digit, Batch> for Batches {
    fn batch(&self, digits: Vec<Digit>, device: &Device) -> Batch {
        let pixels = digits.iter().flat_map(|digit| digit.pixels.map(normalize));
        let images = TensorData::new(pixels.collect(), [digits.len(), SIDE * SIDE]);
        let labels: Vec<i32> = digits.iter().map(|digit| digit.label.into()).collect();
        let labels = Tensor::from_ints(labels.as_slice(), device);
        (Tensor::from_data(images, device), labels)
    }
}

/// All digits in each epoch, in an order of its own; the first epochs are `done`.
pub fn loader(digits: &[Digit], done: usize) -> Arc<dyn DataLoader<Batch>> {
    let options = SamplerDatasetOptions::default().without_replacement();
    let digits = SamplerDataset::new(InMemDataset::new(digits.to_vec()), options.with_seed(42));
    (0..done).for_each(|_| digits.iter().for_each(drop));
    let builder = DataLoaderBuilder::new(Batches);
    builder.batch_size(BATCH_SIZE).build(digits)
}

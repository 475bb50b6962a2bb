//! How the digits become batches.

use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataloader::{DataLoader, DataLoaderBuilder, DataLoaderIterator};
use burn::data::dataset::InMemDataset;
use burn::prelude::*;

use crate::digits::{Digit, SIDE, normalize};
use crate::options::Options;

#[derive(Clone, Debug)]
pub struct Batch {
    pub images: Tensor<2>,
    pub labels: Tensor<1, Int>,
}

/// Makes a batch of digits.
pub struct Digits;

impl Batcher<Digit, Batch> for Digits {
    fn batch(&self, batch: Vec<Digit>, device: &Device) -> Batch {
        let pixels = batch.iter().flat_map(|digit| digit.pixels.map(normalize));
        let images = TensorData::new(pixels.collect(), [batch.len(), SIDE * SIDE]);
        let labels: Vec<i32> = batch.iter().map(|digit| digit.label.into()).collect();
        Batch {
            images: Tensor::from_data(images, device),
            labels: Tensor::from_ints(labels.as_slice(), device),
        }
    }
}

pub type Loader = Arc<dyn DataLoader<Batch>>;

pub fn test_loader(digits: &[Digit]) -> Loader {
    let loader = DataLoaderBuilder::new(Digits).batch_size(500);
    loader.build(InMemDataset::new(digits.to_vec()))
}

/// Shuffles anew in every epoch, as if so many of them were `done`.
pub fn train_loader(digits: &[Digit], options: &Options, done: usize) -> Loader {
    let loader = DataLoaderBuilder::new(Digits).batch_size(options.batch_size.get());
    let digits = InMemDataset::new(digits.to_vec());
    Arc::new(Resumed(loader.shuffle(options.seed).build(digits), done))
}

struct Resumed(Loader, usize);

impl DataLoader<Batch> for Resumed {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        self.0.iter()
    }
    fn num_items(&self) -> usize {
        self.0.num_items()
    }
    /// The `Learner` calls this once, and shuffles with what it gets.
    fn to_device(&self, device: &Device) -> Loader {
        let loader = self.0.to_device(device);
        (0..self.1).for_each(|_| drop(loader.iter()));
        loader
    }
    fn slice(&self, start: usize, end: usize) -> Loader {
        self.0.slice(start, end)
    }
}

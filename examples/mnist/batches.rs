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

struct DigitBatcher;

impl Batcher<Digit, Batch> for DigitBatcher {
    fn batch(&self, digits: Vec<Digit>, device: &Device) -> Batch {
        let pixels = digits.iter().flat_map(|digit| digit.pixels.map(normalize));
        let pixels = Tensor::<1>::from_floats(pixels.collect::<Vec<_>>().as_slice(), device);
        let labels: Vec<i32> = digits.iter().map(|digit| digit.label.into()).collect();
        Batch {
            images: pixels.reshape([digits.len(), SIDE * SIDE]),
            labels: Tensor::from_ints(labels.as_slice(), device),
        }
    }
}

pub fn test_loader(digits: &[Digit]) -> Arc<dyn DataLoader<Batch>> {
    let loader = DataLoaderBuilder::new(DigitBatcher).batch_size(500);
    loader.build(InMemDataset::new(digits.to_vec()))
}

/// Shuffles anew in each epoch, as if so many of them were `done`.
pub fn train_loader(
    digits: &[Digit],
    options: &Options,
    done: usize,
) -> Arc<dyn DataLoader<Batch>> {
    let loader = DataLoaderBuilder::new(DigitBatcher).batch_size(options.batch_size.get());
    let loader = loader
        .shuffle(options.seed)
        .build(InMemDataset::new(digits.to_vec()));
    Arc::new(Resumed { loader, done })
}

struct Resumed {
    loader: Arc<dyn DataLoader<Batch>>,
    done: usize,
}

impl DataLoader<Batch> for Resumed {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        self.loader.iter()
    }

    fn num_items(&self) -> usize {
        self.loader.num_items()
    }

    /// The `Learner` asks for its device once, and shuffles with what it gets.
    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Batch>> {
        let loader = self.loader.to_device(device);
        (0..self.done).for_each(|_| drop(loader.iter()));
        loader
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch>> {
        self.loader.slice(start, end)
    }
}

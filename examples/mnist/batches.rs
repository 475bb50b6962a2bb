//! How the digits become batches.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataloader::{DataLoader, DataLoaderBuilder, DataLoaderIterator};
use burn::data::dataset::InMemDataset;
use burn::prelude::*;

use crate::digits::{Digit, SIDE, normalize};
use crate::options::Settings;

#[derive(Clone, Debug)]
pub struct Batch {
    /// Shape [batch, 28, 28], of mean 0 and variance 1 over all of MNIST.
    pub images: Tensor<3>,
    pub labels: Tensor<1, Int>,
}

#[derive(Clone)]
struct DigitBatcher {
    /// Whether the images are shifted, and what the shifts are drawn from.
    shifts: Option<u64>,
}

impl Digit {
    /// The pixel that a shift brings to (x, y); black from outside of the image.
    fn shifted(&self, [dx, dy]: [usize; 2], x: usize, y: usize) -> u8 {
        let from = |at: usize, by: usize| (at + by).checked_sub(SHIFT).filter(|at| *at < SIDE);
        match (from(x, dx), from(y, dy)) {
            (Some(x), Some(y)) => self.pixels[SIDE * y + x],
            _ => 0,
        }
    }
}

/// How far an image is shifted at most, in pixels.
const SHIFT: usize = 2;

/// A shift of each image, from 0 to twice [`SHIFT`]. It depends on the batch's images and their
/// order alone, and so on the epoch's shuffle: a run that is resumed sees the same ones.
fn shifts(digits: &[Digit], seed: u64) -> impl Iterator<Item = [usize; 2]> {
    let mut batch = DefaultHasher::new();
    (seed, digits).hash(&mut batch);
    (0..digits.len()).map(move |i| {
        let mut hasher = batch.clone();
        i.hash(&mut hasher);
        let bits = hasher.finish();
        [bits, bits >> 32].map(|bits| bits as usize % (2 * SHIFT + 1))
    })
}

impl Batcher<Digit, Batch> for DigitBatcher {
    fn batch(&self, digits: Vec<Digit>, device: &Device) -> Batch {
        let pixels: Vec<f32> = match self.shifts {
            None => digits
                .iter()
                .flat_map(|digit| digit.pixels)
                .map(normalize)
                .collect(),
            Some(seed) => digits
                .iter()
                .zip(shifts(&digits, seed))
                .flat_map(|(digit, shift)| {
                    (0..SIDE * SIDE).map(move |i| digit.shifted(shift, i % SIDE, i / SIDE))
                })
                .map(normalize)
                .collect(),
        };
        let labels: Vec<i32> = digits.iter().map(|digit| i32::from(digit.label)).collect();
        Batch {
            images: Tensor::from_data(TensorData::new(pixels, [digits.len(), SIDE, SIDE]), device),
            labels: Tensor::from_ints(labels.as_slice(), device),
        }
    }
}

/// The training digits in an order that the seed gives, a new one each epoch. `epochs_done` of
/// those orders have been used up.
pub fn train_loader(
    digits: Vec<Digit>,
    settings: &Settings,
    epochs_done: usize,
) -> Arc<dyn DataLoader<Batch>> {
    let shifts = settings.augment.then_some(settings.seed);
    let loader = DataLoaderBuilder::new(DigitBatcher { shifts })
        .batch_size(settings.batch_size)
        .shuffle(settings.seed);
    let inner = loader.build(InMemDataset::new(digits));
    Arc::new(Resumed { inner, epochs_done })
}

pub fn test_loader(digits: Vec<Digit>) -> Arc<dyn DataLoader<Batch>> {
    DataLoaderBuilder::new(DigitBatcher { shifts: None })
        .batch_size(500)
        .build(InMemDataset::new(digits))
}

/// A loader that a training goes on with: it shuffles as if its epochs so far had been run.
struct Resumed {
    inner: Arc<dyn DataLoader<Batch>>,
    epochs_done: usize,
}

impl DataLoader<Batch> for Resumed {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        self.inner.iter()
    }

    fn num_items(&self) -> usize {
        self.inner.num_items()
    }

    /// The training asks for its device once, and shuffles with what it gets.
    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Batch>> {
        let loader = self.inner.to_device(device);
        for _ in 0..self.epochs_done {
            drop(loader.iter());
        }
        loader
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch>> {
        self.inner.slice(start, end)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::digits::{Data, Digits};
    use crate::options::Options;

    #[test]
    fn a_resumed_loader_shuffles_as_the_first_would() {
        let digits = Digits::load(&Data::Embedded).unwrap().test;
        let device = Device::default();
        for augment in ["--seed=1", "--augment"] {
            let options = ["mnist", "--batch-size=2000", augment];
            let settings = Options::parse_from(options).settings;
            let epoch = |epochs_done: usize, epoch: usize| {
                let loader = train_loader(digits.clone(), &settings, epochs_done);
                let loader = loader.to_device(&device);
                (1..epoch).for_each(|_| drop(loader.iter()));
                let batch = loader.iter().next().unwrap().unwrap();
                (batch.labels.into_data(), batch.images.into_data())
            };
            assert_eq!(epoch(0, 3), epoch(2, 1));
            assert_ne!(epoch(0, 1), epoch(0, 2));
        }
    }

    #[test]
    fn a_shift_moves_the_image_and_fills_with_black() {
        let mut digit = Digit {
            pixels: [0; SIDE * SIDE],
            label: 1,
        };
        digit.pixels[SIDE * 3 + 5] = 200;
        let found = |shift| {
            let pixel = |i: &usize| digit.shifted(shift, i % SIDE, i / SIDE) == 200;
            (0..SIDE * SIDE)
                .filter(pixel)
                .map(|i| [i % SIDE, i / SIDE])
                .collect::<Vec<_>>()
        };
        assert_eq!(found([SHIFT, SHIFT]), [[5, 3]]);
        assert_eq!(found([SHIFT + 2, SHIFT - 1]), [[3, 4]]);
        let all: std::collections::HashSet<_> = shifts(&vec![digit; 1000], 1).collect();
        assert_eq!(all.len(), 25);
    }
}

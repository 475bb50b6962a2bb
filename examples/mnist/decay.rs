//! How fast the weights decay, measured.

use burn::data::dataloader::batcher::Batcher;
use burn::train::TrainStep;

use crate::batches::{BATCH_SIZE, Batches};
use crate::chart::Points;
use crate::digits::Digit;
use crate::options::{Options, Scheme};
use crate::training::{Classifier, optimizer};

/// Sorts the first layer's weights by the size (rms) of their gradients over 100 batches. Of each
/// tenth of them, the medians of that size, and of the effective λ: the share of a weight that a
/// step takes for its decay, over the learning rate. (Of SGD's L2 penalty it is ten times λ: a
/// momentum of 0.9 adds up the steps.)
pub fn effective_lambda(
    model: &Classifier,
    scheme: Scheme,
    options: &Options,
    digits: &[Digit],
) -> Points {
    let first = &model.layers[0].weight;
    let batches = digits.chunks(BATCH_SIZE).cycle().take(100);
    let batches = batches.map(|digits| Batches.batch(digits.to_vec(), &first.device()));
    let gradients = batches.map(|batch| model.step(batch).grads);

    // Every step starts from the trained weights; by the last, the moments have settled.
    let (learning_rate, lambda) = options.coefficients(scheme);
    let stepped = |lambda| {
        let mut optimizer = optimizer(scheme, lambda).expect("a λ that has trained");
        let step = |gradients| optimizer.step(learning_rate, model.clone(), gradients);
        let last = gradients.clone().map(step).last();
        last.expect("there are digits").layers[0]
            .weight
            .val()
            .inner()
    };
    let decay = (stepped(0.0) - stepped(lambda)) / (first.val().inner() * learning_rate);

    let squares = gradients.filter_map(|gradients| Some(gradients.get::<2>(first.id)?.square()));
    let sum = squares.fold(decay.zeros_like(), |sum, square| sum + square);
    let (rms, order) = (sum / 100).sqrt().flatten::<1>(0, 1).sort_with_indices(0);
    let decay = decay.flatten::<1>(0, 1).gather(0, order);
    let tenths = rms.chunk(10, 0).into_iter().zip(decay.chunk(10, 0));
    let medians =
        tenths.map(|(rms, decay)| [rms, decay].map(|tenth| tenth.median(0).into_scalar()));
    medians.map(|[rms, decay]| (rms, decay)).collect()
}

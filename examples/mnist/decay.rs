//! How fast the weights decay, measured.

use burn::data::dataloader::batcher::Batcher;
use burn::optim::GradientsParams;

use crate::batches::Digits;
use crate::digits::Digit;
use crate::options::{Options, Scheme};
use crate::training::Classifier;

/// Sorts the first layer's weights by the size (rms) of their gradients over 100 batches. Of each
/// tenth of them, the medians of that size, and of the effective λ: the share of a weight that a
/// step takes for its decay, over the learning rate. (Of SGD's L2 penalty it is ten times λ: a
/// momentum of 0.9 adds up the steps.)
pub fn measure(
    scheme: Scheme,
    options: &Options,
    digits: &[Digit],
    model: &Classifier,
) -> [Vec<f64>; 2] {
    let layer = &model.hidden[0];
    let weight = layer.weight.val();
    let batch = |digits: &[Digit]| Digits.batch(digits.to_vec(), &weight.device());
    let batches = digits.chunks(options.batch_size.get()).cycle().take(100);
    let gradient = |batch| weight.grad(&model.classify(batch).loss.backward());
    let gradients: Vec<_> = batches.map(batch).flat_map(gradient).collect();

    // Every step starts from the trained weights. It is the last that counts: the moments have
    // settled by then.
    let (learning_rate, lambda) = scheme.coefficients(options);
    let [with, without] = [lambda, 0.0].map(|lambda| {
        let mut optimizer = scheme.optimizer(lambda).expect("a λ that has trained");
        let mut stepped = layer.clone();
        for gradient in &gradients {
            let mut parameters = GradientsParams::new();
            parameters.register(layer.weight.id, gradient.clone());
            stepped = optimizer.step(learning_rate, layer.clone(), parameters);
        }
        stepped.weight.val().inner()
    });
    let decay = (without - with) / (weight.inner() * learning_rate);

    let squares = gradients.iter().map(|gradient| gradient.clone().square());
    let sum = squares
        .reduce(|sum, square| sum + square)
        .expect("there are batches");
    let rms = (sum / gradients.len() as f64).sqrt();
    let (rms, order) = rms.flatten::<1>(0, 1).sort_with_indices(0);
    [rms, decay.flatten(0, 1).gather(0, order)].map(|values| {
        let tenth = values.dims()[0] / 10;
        let tenths = values.slice(0..10 * tenth).reshape([10, tenth]);
        tenths.median(1).into_data().iter().collect()
    })
}

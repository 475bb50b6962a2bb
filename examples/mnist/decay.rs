//! How fast the weights decay, measured.

use burn::optim::GradientsParams;

use crate::batches::train_loader;
use crate::digits::Digits;
use crate::options::{Options, Scheme};
use crate::training::Classifier;

/// Sorts the first layer's weights by the size (rms) of their gradients over 100 batches. Of each
/// tenth of them: the median size, and the median effective λ, the share of a weight that a step
/// takes for its decay, over the learning rate.
pub fn measure(
    scheme: Scheme,
    options: &Options,
    digits: &Digits,
    model: &Classifier,
) -> [Vec<f64>; 2] {
    let layer = &model.hidden[0];
    let weight = layer.weight.val();
    let batches = train_loader(&digits.train, options, 0).to_device(&weight.device());
    let gradient = |batch| weight.grad(&model.classify(batch).loss.backward());
    let gradients: Vec<_> = batches
        .iter()
        .flatten()
        .take(100)
        .filter_map(gradient)
        .collect();

    let (learning_rate, lambda) = scheme.coefficients(options);
    // Every step is from the trained weights: the moments settle, and the last one counts.
    let step = |lambda| {
        let mut optimizer = scheme.optimizer(lambda).expect("λ is checked");
        let mut stepped = layer.clone();
        for gradient in &gradients {
            let mut parameters = GradientsParams::new();
            parameters.register(layer.weight.id, gradient.clone());
            stepped = optimizer.step(learning_rate, layer.clone(), parameters);
        }
        stepped.weight.val().inner()
    };
    let decay = (step(0.0) - step(lambda)) / (weight.clone().inner() * learning_rate);

    let squares = gradients.iter().map(|gradient| gradient.clone().square());
    let sum = squares
        .reduce(|sum, square| sum + square)
        .expect("there are batches");
    let size = (sum / gradients.len() as f64).sqrt().flatten::<1>(0, 1);
    let (size, order) = size.sort_with_indices(0);
    let decay = decay.flatten::<1>(0, 1).gather(0, order);
    [size, decay].map(|values| {
        let tenth = values.dims()[0] / 10;
        let tenths = values.slice(0..10 * tenth).reshape([10, tenth]);
        tenths.median(1).into_data().iter::<f64>().collect()
    })
}

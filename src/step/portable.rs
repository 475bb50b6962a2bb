//! The step composed of Burn's tensor operations: any backend, and the reference for the others.

use burn::tensor::Tensor;

use super::{Coefficients, Rule, arithmetic, cast};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    mut averages: [Tensor<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> (Tensor<D>, [Tensor<D>; N]) {
    let Coefficients {
        decay,
        step_size,
        rule,
    } = coefficients;
    let dtype = parameter.dtype();
    let theta = cast(parameter, arithmetic(dtype));
    let mut g = cast(gradient, arithmetic(dtype));

    if decay.l2_penalty > 0.0 {
        g = g + theta.clone() * decay.l2_penalty;
    }
    let mut change = rule.of_tensors(g, &mut averages) * *step_size;
    if decay.decoupled > 0.0 {
        let mut decayed = theta.clone() * decay.decoupled;
        if let (true, Some(m)) = (decay.cautious, averages.first()) {
            let positive = |tensor: &Tensor<D>| tensor.clone().greater_equal_scalar(0.0);
            decayed = decayed.mask_fill(positive(&theta).not_equal(positive(m)), 0.0);
        }
        change = change + decayed;
    }
    (cast(theta - change, dtype), averages)
}

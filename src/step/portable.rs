//! The step composed of Burn's tensor operations: any backend, and the reference for the others.

use burn::tensor::Tensor;

use super::{Coefficients, Rule, SMALLEST_MOMENT, arithmetic, cast};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    mut moments: [Tensor<D>; N],
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
    let direction = rule.of_tensors(g, &mut moments);
    let mut change = direction.clone() * *step_size;
    if decay.decoupled > 0.0 {
        let mut decayed = theta.clone() * decay.decoupled;
        if decay.cautious {
            // Adam's first moment; SGD's direction is itself what counts.
            let of_sign = if N > 1 { &moments[0] } else { &direction };
            // The update moves the parameter away from 0.
            let apart = (theta.clone().sign() * direction.clone().sign()).lower_scalar(0.0);
            let counts = of_sign.clone().abs().greater_equal_scalar(SMALLEST_MOMENT);
            decayed = decayed.mask_fill(apart.bool_and(counts), 0.0);
        }
        change = change + decayed;
    }
    (cast(theta - change, dtype), moments)
}

//! The step composed of Burn's tensor operations: any backend, and the reference for the others.

use burn::tensor::Tensor;

use super::moments::{are_packed, put, repack, take, unpacked};
use super::{Coefficients, Kept, Rule, SMALLEST_MOMENT, arithmetic, cast};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    mut theta: Tensor<D>,
    mut g: Tensor<D>,
    mut kept: [Kept<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    let Coefficients {
        time,
        decay,
        step_size,
        rule,
    } = coefficients;
    let dtype = theta.dtype();
    cast(&mut theta, arithmetic(dtype));
    cast(&mut g, arithmetic(dtype));
    let packed = are_packed(&kept);
    let mut moments = if packed {
        unpacked(&kept)
    } else {
        kept.each_mut().map(|moment| take(moment))
    };
    for moment in &mut moments {
        cast(moment, arithmetic(dtype));
    }

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
    let mut updated = theta - change;
    cast(&mut updated, dtype);
    if packed {
        repack(kept, moments, *time);
    } else {
        put(kept, moments, |moment| moment);
    }
    updated
}

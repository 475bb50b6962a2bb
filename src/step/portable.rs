//! The rule composed of Burn's tensor operations: any backend, and the reference for the others.

use burn::tensor::{DType, Tensor};

use super::{Average, Coefficients, Moments, arithmetic, cast};

pub(super) fn adam<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: Moments<Tensor<D>>,
    coefficients: &Coefficients<f64>,
) -> (Tensor<D>, Moments<Tensor<D>>) {
    let dtype = parameter.dtype();
    let theta = cast(parameter, arithmetic(dtype));
    let mut g = cast(gradient, arithmetic(dtype));
    let smallest = match arithmetic(dtype) {
        DType::F64 => f64::MIN_POSITIVE,
        _ => f32::MIN_POSITIVE.into(),
    };
    let c = coefficients.round_to(smallest, |scalar| scalar);

    if c.l2_penalty > 0.0 {
        g = g + theta.clone() * c.l2_penalty;
    }
    let Moments {
        moment_1: m,
        moment_2: v,
        max_moment_2: max_v,
    } = moments;
    let overflowed = v.clone().equal_scalar(f32::INFINITY);
    let finite = average(c.average_2, v.clone(), g.clone().square());
    let v = finite.mask_where(overflowed, v);
    let m = average(c.average_1, m, g);
    let max_v = match max_v {
        Some(max_v) if c.amsgrad => Some(max_v.max_pair(v.clone())),
        kept => kept,
    };
    let v_in_use = if c.amsgrad {
        max_v.as_ref().unwrap_or(&v)
    } else {
        &v
    };

    let mut change = m.clone() / (v_in_use.clone().sqrt() + c.epsilon) * c.step_size;
    if c.decay > 0.0 {
        let mut decay = theta.clone() * c.decay;
        if c.cautious {
            let against = theta
                .clone()
                .greater_equal_scalar(0.0)
                .not_equal(m.clone().greater_equal_scalar(0.0));
            decay = decay.mask_fill(against, 0.0);
        }
        change = change + decay;
    }
    let parameter = cast(theta - change, dtype);

    (
        parameter,
        Moments {
            moment_1: m,
            moment_2: v,
            max_moment_2: max_v,
        },
    )
}

fn average<const D: usize>(over: Average<f64>, old: Tensor<D>, new: Tensor<D>) -> Tensor<D> {
    if over.beta < 0.5 {
        new.clone() + (old - new) * over.beta
    } else {
        old.clone() + (new - old) * over.one_minus_beta
    }
}

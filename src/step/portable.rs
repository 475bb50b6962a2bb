//! The step composed of Burn's tensor operations: any backend, and the reference for the others.

use burn::tensor::{DType, Tensor, TensorData};

use super::codes::Rounding;
use super::moments::{are_packed, put, repack, take, unpacked};
use super::{Coefficients, Kept, Rule, SMALLEST_MOMENT, arithmetic, cast};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    mut theta: Tensor<D>,
    mut g: Tensor<D>,
    start: Option<&Tensor<D>>,
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

    let start = start.map(|start| start.clone().cast(arithmetic(dtype)));
    let distance = match &start {
        Some(start) => theta.clone() - start.clone(),
        None => theta.clone(),
    };

    if decay.l2_penalty > 0.0 {
        g = g + distance.clone() * decay.l2_penalty;
    }
    let direction = rule.of_tensors(g, &mut moments);
    let mut change = direction.clone() * *step_size;
    if decay.decoupled > 0.0 {
        let mut decayed = distance.clone() * decay.decoupled;
        if decay.cautious {
            // Adam's first moment; SGD's direction is itself what counts.
            let of_sign = if N > 1 { &moments[0] } else { &direction };
            // The update moves the parameter away from its target.
            let signs = distance.clone().sign() * direction.clone().sign();
            let apart = (signs * step_size.signum()).lower_scalar(0.0);
            let counts = of_sign.clone().abs().greater_equal_scalar(SMALLEST_MOMENT);
            decayed = decayed.mask_fill(apart.bool_and(counts), 0.0);
        }
        change = change + decayed;
    }
    if decay.stochastic {
        change = change + shares_of_the_last_place(&theta, dtype, *time);
    }
    let mut updated = if decay.l1 > 0.0 {
        let left = distance - change.clone();
        let shrunk = theta - (change + left.clone().sign() * decay.l1);
        let target = start.unwrap_or_else(|| left.zeros_like());
        shrunk.mask_where(left.abs().lower_scalar(decay.l1), target)
    } else {
        theta - change
    };
    cast(&mut updated, dtype);
    if packed {
        repack(kept, moments, *time);
    } else {
        put(kept, moments, |moment| moment);
    }
    updated
}

/// Random shares of the last place of numbers that are kept in `dtype`. Computed in the program's
/// memory, since Burn's tensors have no operation on the bits of a float.
fn shares_of_the_last_place<const D: usize>(
    theta: &Tensor<D>,
    dtype: DType,
    time: usize,
) -> Tensor<D> {
    let epsilon = match dtype {
        DType::F64 => f64::EPSILON,
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        _ => f32::EPSILON.into(),
    };
    let unit = epsilon * 2f64.powi(-32);
    let rounding = Rounding::new(time, 0);
    let share = |(i, theta): (usize, f64)| {
        let power_of_two = f64::from_bits(theta.to_bits() >> 52 << 52);
        f64::from(rounding.at(i) as i32) * unit * power_of_two
    };
    let shares: Vec<f64> = theta.to_data().iter().enumerate().map(share).collect();
    let shares = TensorData::new(shares, theta.shape());
    Tensor::from_data(shares, (&theta.device(), theta.dtype()))
}

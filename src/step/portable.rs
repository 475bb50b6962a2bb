//! The step composed of Burn's tensor operations: any backend, and the reference for the others.

use burn::tensor::{DType, Tensor, TensorData, bf16, f16};

use super::moments::{are_quantized, dequantized, put, requantize, take};
use super::rounding::{Neighbour, Rounding, fraction};
use super::{Coefficients, MomentSlot, Rule, SMALLEST_MOMENT, arithmetic, cast};

pub(super) fn step<R: Rule<N>, const N: usize, const D: usize>(
    mut theta: Tensor<D>,
    mut g: Tensor<D>,
    start: Option<&Tensor<D>>,
    mut kept: [MomentSlot<D>; N],
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
    let quantized = are_quantized(&kept);
    let mut moments = if quantized {
        dequantized(&kept)
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
    let mut changes = vec![direction.clone() * *step_size];
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
        changes.push(decayed);
    }
    let left = (decay.l1 > 0.0).then(|| distance - sum(changes.clone()));
    if let Some(left) = &left {
        changes.push(left.clone().sign() * decay.l1);
    }
    let mut updated = if decay.stochastic {
        let updated = rounded(theta, changes, dtype, *time);
        updated.cast(arithmetic(dtype))
    } else {
        theta - sum(changes)
    };
    if let Some(left) = left {
        let target = start.unwrap_or_else(|| left.zeros_like());
        // What is left, or what rounding makes of it, may be on the other side of the target.
        let above = updated.clone().greater(target.clone());
        let crossed = above.not_equal(left.clone().greater_scalar(0.0));
        let is_at_target = left.abs().lower_scalar(decay.l1).bool_or(crossed);
        updated = updated.mask_where(is_at_target, target);
    }
    cast(&mut updated, dtype);
    if quantized {
        requantize(kept, moments, *time);
    } else {
        put(kept, moments, |moment| moment);
    }
    updated
}

fn sum<const D: usize>(tensors: Vec<Tensor<D>>) -> Tensor<D> {
    let sum = tensors.into_iter().reduce(|one, other| one + other);
    sum.expect("a step has an update")
}

/// `theta` less its changes, in `dtype`, stochastically rounded. Computed in the program's memory: Burn's
/// tensors have no operation on the bits of a float.
pub(super) fn rounded<const D: usize>(
    theta: Tensor<D>,
    changes: Vec<Tensor<D>>,
    dtype: DType,
    time: usize,
) -> Tensor<D> {
    let (shape, device) = (theta.shape(), theta.device());
    let mut exact: Vec<f64> = theta.into_data().iter().collect();
    for change in changes {
        for (exact, change) in exact.iter_mut().zip(change.into_data().iter::<f64>()) {
            *exact -= change;
        }
    }
    let rounding = Rounding::new(time, 0);
    // To f32 by other bits than to half, since one rounding may follow the other.
    let turn = if dtype == DType::F32 { 16 } else { 0 };
    let share = |i| f64::from(fraction(rounding.at(i).rotate_left(turn)));
    macro_rules! rounded {
        ($narrow:expr) => {{
            let round = |(i, exact): (usize, f64)| {
                let rounded = $narrow(exact);
                let nearest = f64::from(rounded);
                let rest = exact - nearest;
                let outwards = nearest == 0.0 || (rest > 0.0) == (nearest > 0.0);
                let next = rounded.neighbour(outwards);
                // Not a finite one at the largest number and beyond.
                let distance = (f64::from(next) - nearest).abs();
                let is_next = rest.abs() > share(i) * distance;
                if is_next && distance.is_finite() {
                    next
                } else {
                    rounded
                }
            };
            let numbers: Vec<_> = exact.into_iter().enumerate().map(round).collect();
            TensorData::new(numbers, shape)
        }};
    }
    let numbers = match dtype {
        DType::F16 => rounded!(f16::from_f64),
        DType::BF16 => rounded!(bf16::from_f64),
        DType::F32 => rounded!(|exact: f64| exact as f32),
        other => unreachable!("{other:?} is rounded to the nearest"),
    };
    Tensor::from_data(numbers, (&device, dtype))
}

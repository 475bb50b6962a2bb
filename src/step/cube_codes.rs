//! The kernel for moments in fewer bytes: their codes are packed into words of 32 bits, since not every
//! device has smaller integers.
//!
//! A unit steps a group of elements, of which the codes and the scales fill whole words.

use burn::backend::cubecl::dtype_to_elem_type;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::tensor::layout::linear::{LinearView, LinearViewMut};
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
use burn_cubecl::tensor::CubeTensor;

use super::codes::{BLOCK, Curve, GROUP, INFINITE, Rounding, WORDS};
use super::cube::{DecayScalars, DecayScalarsLaunch, Kernel, Scalars, random_of, stepped};
use crate::MomentPrecision;

#[allow(clippy::too_many_arguments, reason = "they are the kernel's")]
pub(super) fn launch<K: Kernel>(
    precision: MomentPrecision,
    parameter: &CubeTensor,
    updated: &CubeTensor,
    start: Option<&CubeTensor>,
    moments: &[CubeTensor],
    decay: DecayScalarsLaunch,
    step_size: InputScalar,
    scalars: Scalars<K>,
    rounding: u32,
) {
    let client = &parameter.client;
    let groups = parameter.meta.num_elements().div_ceil(GROUP);
    let cube_dim = CubeDim::new(client, groups);
    let cube_count = calculate_cube_count_elemwise(client, groups, cube_dim);
    let tensors = [parameter, updated].into_iter().chain(start).chain(moments);
    let addresses = tensors.map(CubeTensor::required_address_type).max();
    update::launch::<K>(
        client,
        cube_count,
        cube_dim,
        addresses.unwrap_or_default(),
        1,
        parameter.clone().into_linear_view(),
        updated.clone().into_linear_view(),
        start
            .map(|start| start.clone().into_linear_view())
            .into_iter()
            .collect(),
        moments
            .iter()
            .map(|moment| moment.clone().into_linear_view())
            .collect(),
        decay,
        step_size,
        scalars,
        rounding,
        precision == MomentPrecision::Bits8,
        dtype_to_elem_type(parameter.dtype),
    );
}

#[cube(launch, address_type = "dynamic")]
fn update<P: Float, S: Size, R: Kernel>(
    parameter: LinearView<'_, Vector<P, S>>,
    mut gradient: LinearViewMut<'_, Vector<P, S>>,
    start: Sequence<LinearView<'static, Vector<P, S>>>,
    mut words: Sequence<LinearViewMut<'static, u32>>,
    decay: DecayScalars,
    step_size: InputScalar,
    scalars: R::Scalars,
    rounding: u32,
    #[comptime] in_8_bits: bool,
    #[define(P)] _dtype: ElemType,
) {
    let length = gradient.shape();
    let first = ABSOLUTE_POS * GROUP;
    if first >= length {
        terminate!();
    }
    let count = comptime!(words.len());
    let mut numbers = Sequence::<Array<f32>>::new();
    #[unroll]
    for _ in 0..count {
        numbers.push(Array::<f32>::new(BLOCK));
    }
    let of_group = ABSOLUTE_POS * comptime!(if in_8_bits { WORDS } else { GROUP / 2 });
    let mut next_scales = Array::<u32>::new(comptime!(count + 1));
    #[unroll]
    for j in 0..count {
        next_scales[j] = 0u32;
    }
    for block in 0..GROUP / BLOCK {
        let first = first + block * BLOCK;
        for i in 0..BLOCK {
            let place = first + i;
            if place < length {
                let mut next = Sequence::<Vector<f32, S>>::new();
                #[unroll]
                for j in 0..count {
                    let words = words.index(j);
                    if comptime!(in_8_bits) {
                        let word = words.read(of_group + block * (BLOCK / 4) + i / 4);
                        let code = (word >> (u32::cast_from(i % 4) * 8u32)) & 0xffu32;
                        let scales = words.read(of_group + comptime!(WORDS - 1));
                        let scale = (scales >> (u32::cast_from(block) * 8u32)) & 0xffu32;
                        next.push(Vector::new(decoded(code, scale, comptime!(j == 0))));
                    } else {
                        let word = words.read(of_group + (block * BLOCK + i) / 2);
                        let half = (word >> (u32::cast_from(i % 2) * 16u32)) & 0xffffu32;
                        next.push(Vector::new(f32::reinterpret(half << 16u32)));
                    }
                }
                let theta = Vector::cast_from(parameter.read(place));
                let g = Vector::cast_from(gradient.read(place));
                let mut target = Vector::zero();
                if comptime!(start.len() == 1) {
                    target = Vector::cast_from(start.index(0).read(place));
                }
                let updated = stepped::<f32, S, R>(
                    theta,
                    target,
                    g,
                    &mut next,
                    &decay,
                    &step_size,
                    &scalars,
                    random_of(rounding, place),
                );
                gradient.write(place, Vector::cast_from(updated));
                #[unroll]
                for j in 0..count {
                    numbers.index_mut(j)[i] = next.index(j).extract(0usize);
                }
            } else {
                #[unroll]
                for j in 0..count {
                    numbers.index_mut(j)[i] = 0.0f32;
                }
            }
        }
        #[unroll]
        for j in 0..count {
            let numbers = numbers.index(j);
            let random = rounding + u32::cast_from(first) * comptime!(Rounding::BY_ELEMENT);
            if comptime!(in_8_bits) {
                let signed = comptime!(j == 0);
                let mut largest = 0i32;
                for i in 0..BLOCK {
                    let bits = i32::reinterpret(numbers[i].abs());
                    if bits < comptime!(INFINITE) {
                        largest = max(largest, bits);
                    }
                }
                let scale = scale_of(largest, signed);
                next_scales[j] |= scale << (u32::cast_from(block) * 8u32);
                for i in 0..BLOCK / 4 {
                    let mut word = 0u32;
                    #[unroll]
                    for byte in 0..4 {
                        let i = i * 4 + byte;
                        let random = random + u32::cast_from(i) * comptime!(Rounding::BY_ELEMENT);
                        let code = encoded(numbers[i], scale, random, signed);
                        word |= code << comptime!(byte as u32 * 8);
                    }
                    words
                        .index_mut(j)
                        .write(of_group + block * (BLOCK / 4) + i, word);
                }
            } else {
                for i in 0..BLOCK / 2 {
                    let mut word = 0u32;
                    #[unroll]
                    for half in 0..2 {
                        let i = i * 2 + half;
                        let random = random + u32::cast_from(i) * comptime!(Rounding::BY_ELEMENT);
                        let narrow = narrowed(numbers[i], random);
                        word |= narrow << comptime!(half as u32 * 16);
                    }
                    words
                        .index_mut(j)
                        .write(of_group + (block * BLOCK) / 2 + i, word);
                }
            }
        }
    }
    if comptime!(in_8_bits) {
        #[unroll]
        for j in 0..count {
            words
                .index_mut(j)
                .write(of_group + comptime!(WORDS - 1), next_scales[j]);
        }
    }
}

/// As `Code::decode` has it.
#[cube]
fn decoded(code: u32, scale: u32, #[comptime] signed: bool) -> f32 {
    let curve = comptime!(Curve::of(signed));
    let mut number = i32::cast_from(code);
    if comptime!(signed) {
        number = i32::reinterpret(code << 24u32) >> 24i32;
    }
    let place = f32::cast_from(number.abs()) + comptime!(curve.before);
    let bits = (i32::reinterpret(place) - comptime!(curve.first_place)) << comptime!(curve.shift);
    let magnitude = bits + (i32::cast_from(scale) << 23i32);
    let magnitude = select(number == 0i32, 0i32, magnitude);
    let is_finite = code != comptime!(curve.not_finite);
    if comptime!(signed) {
        let signed = u32::reinterpret(magnitude) | ((code & 0x80u32) << 24u32);
        // WGSL has no NaN to write down.
        f32::reinterpret(select(is_finite, signed, 0x7fc0_0000u32 | code))
    } else {
        // Nor an infinity: the difference is 0 where it counts.
        let infinite = comptime!(INFINITE) + number - 255i32;
        f32::reinterpret(select(is_finite, magnitude, infinite))
    }
}

/// As `Code::scale` has it.
#[cube]
fn scale_of(largest: i32, #[comptime] signed: bool) -> u32 {
    let curve = comptime!(Curve::of(signed));
    let whole = (largest + comptime!((1 << 23) - 1 - curve.last_bits)) >> 23i32;
    let scale = min(
        max(whole, comptime!(curve.scales[0])),
        comptime!(curve.scales[1]),
    );
    u32::cast_from(scale)
}

/// As `Code::encode` and what surrounds it have it.
#[cube]
fn encoded(number: f32, scale: u32, random: u32, #[comptime] signed: bool) -> u32 {
    let curve = comptime!(Curve::of(signed));
    let sign = u32::reinterpret(number) >> 31u32;
    let bits = i32::reinterpret(u32::reinterpret(number) & 0x7fff_ffffu32);
    let base = i32::cast_from(scale) << 23i32;
    let least = base + comptime!(curve.least_bits);
    let last = base + comptime!(curve.last_bits);
    let within = min(max(bits, least), last);
    let place = ((within - base) >> comptime!(curve.shift)) + comptime!(curve.first_place);
    let random = ((random >> 9u32) & 0x7f_fe00u32) | 0x3f80_0100u32;
    let sum = f32::reinterpret(place) + f32::reinterpret(random);
    let mut code = u32::cast_from(sum.floor() - comptime!(1.0 + curve.before));
    if comptime!(signed) {
        // Two's complement.
        code = select(sign == 1u32, (256u32 - code) & 0xffu32, code);
    }
    // A subnormal number's bits are not its logarithm.
    let zero_below = comptime!(if signed { 1i32 << 23 } else { 1i32 });
    let code = select(bits < zero_below, 0u32, code);
    select(
        bits < comptime!(INFINITE),
        code,
        comptime!(curve.not_finite),
    )
}

/// As `narrowed` in codes.rs has it.
#[cube]
fn narrowed(number: f32, random: u32) -> u32 {
    let bits = u32::reinterpret(number);
    let magnitude = bits & 0x7fff_ffffu32;
    let rounded = bits + (random >> 16u32);
    let is_finite = (rounded & 0x7f80_0000u32) != 0x7f80_0000u32;
    let upper = select(is_finite, rounded, bits) >> 16u32;
    select(magnitude > 0x7f80_0000u32, 0x7fc0u32, upper)
}

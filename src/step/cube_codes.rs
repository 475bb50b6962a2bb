//! The kernel for moments in fewer bytes: their codes are packed into words of 32 bits, since not every
//! device has smaller integers.
//!
//! A unit steps four elements, so that neighbours stay neighbours in memory: their codes of 8 bits are
//! one word, those of bf16 two. The units of a block find its largest number together, and those of a
//! group write the word with its scales.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::tensor::layout::linear::{LinearView, LinearViewMut};
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
use burn_cubecl::tensor::CubeTensor;

use super::codes::{BLOCK, Curve, GROUP, INFINITE, Kind, WORDS};
use super::cube::{
    DecayScalars, DecayScalarsLaunch, Kernel, Scalars, master_of, random_of, rounded, stepped,
    vector_size, views,
};
use crate::MomentPrecision;

#[allow(clippy::too_many_arguments, reason = "they are the kernel's")]
pub(super) fn launch<K: Kernel>(
    precision: MomentPrecision,
    parameter: &CubeTensor,
    updated: &CubeTensor,
    start: Option<&CubeTensor>,
    master: Option<&CubeTensor>,
    moments: &[CubeTensor],
    decay: DecayScalarsLaunch,
    step_size: InputScalar,
    scalars: Scalars<K>,
    rounding: u32,
) {
    let client = &parameter.client;
    let units = parameter.meta.num_elements().div_ceil(GROUP) * UNITS;
    let cube_dim = CubeDim::new_1d(CUBE as u32);
    let cube_count = calculate_cube_count_elemwise(client, units, cube_dim);
    let tensors = || {
        let weights = [parameter, updated].into_iter();
        weights.chain(start).chain(master)
    };
    let addresses = tensors()
        .chain(moments)
        .map(CubeTensor::required_address_type);
    let in_fours = tensors().all(|tensor| vector_size(tensor).is_multiple_of(FOUR));
    update::launch::<K>(
        client,
        cube_count,
        cube_dim,
        addresses.max().unwrap_or_default(),
        if in_fours { FOUR } else { 1 },
        parameter.clone().into_linear_view(),
        updated.clone().into_linear_view(),
        views(start),
        views(master),
        views(moments),
        decay,
        step_size,
        scalars,
        rounding,
        units,
        precision == MomentPrecision::Bits8,
        parameter.dtype == DType::BF16,
        dtype_to_elem_type(parameter.dtype),
    );
}

/// Whether the moment of this index has a sign.
fn is_signed(which: usize) -> bool {
    Kind::of_index(which) == Kind::First
}

/// The elements of a unit.
const FOUR: usize = 4;
/// The units of a group.
const UNITS: usize = GROUP / FOUR;
/// The units of a block.
const UNITS_OF_BLOCK: usize = BLOCK / FOUR;
/// The units that work together: some groups.
const CUBE: usize = 8 * UNITS;

#[cube(launch, address_type = "dynamic")]
fn update<P: Float, S: Size, R: Kernel>(
    parameter: LinearView<'_, Vector<P, S>>,
    mut gradient: LinearViewMut<'_, Vector<P, S>>,
    start: Sequence<LinearView<'static, Vector<P, S>>>,
    mut master: Sequence<LinearViewMut<'static, Vector<f32, S>>>,
    mut words: Sequence<LinearViewMut<'static, u32>>,
    decay: DecayScalars,
    step_size: InputScalar,
    scalars: R::Scalars,
    rounding: u32,
    units: usize,
    #[comptime] in_8_bits: bool,
    #[comptime] in_bf16: bool,
    #[define(P)] _dtype: ElemType,
) {
    let length = gradient.shape();
    let count = comptime!(words.len());
    let size = S::value().comptime();
    let parts = comptime!(FOUR / size);
    // The rest of the last cube has nothing to do but to wait for the others.
    let is_here = ABSOLUTE_POS < units;
    let (group, unit) = (ABSOLUTE_POS / UNITS, ABSOLUTE_POS % UNITS);
    let of_scales = group * WORDS + comptime!(WORDS - 1);
    let of_codes = if comptime!(in_8_bits) {
        group * WORDS + unit
    } else {
        ABSOLUTE_POS * 2
    };
    let random = random_of(rounding, ABSOLUTE_POS * FOUR);

    let mut numbers = Sequence::<Array<f32>>::new();
    #[unroll]
    for _ in 0..count {
        let mut four = Array::<f32>::new(FOUR);
        #[unroll]
        for i in 0..FOUR {
            four[i] = 0.0f32;
        }
        numbers.push(four);
    }
    if is_here {
        #[unroll]
        for j in 0..count {
            let words = words.index(j);
            let numbers = numbers.index_mut(j);
            if comptime!(in_8_bits) {
                let word = words.read(of_codes);
                let block = u32::cast_from(unit / UNITS_OF_BLOCK);
                let scale = (words.read(of_scales) >> (block * 8u32)) & 0xffu32;
                #[unroll]
                for i in 0..FOUR {
                    let code = (word >> comptime!(i as u32 * 8)) & 0xffu32;
                    numbers[i] = decoded(code, scale, comptime!(is_signed(j)));
                }
            } else {
                #[unroll]
                for i in 0..2 {
                    let word = words.read(of_codes + i);
                    numbers[comptime!(2 * i)] = f32::reinterpret(word << 16u32);
                    numbers[comptime!(2 * i + 1)] = f32::reinterpret(word & 0xffff_0000u32);
                }
            }
        }
        #[unroll]
        for part in 0..parts {
            let place = ABSOLUTE_POS * parts + part;
            if place < length {
                let mut theta = Vector::cast_from(parameter.read(place));
                if comptime!(master.len() == 1) {
                    let master = master.index(0).read(place);
                    theta = master_of(parameter.read(place), master, in_bf16);
                }
                let g = Vector::cast_from(gradient.read(place));
                let mut target = Vector::zero();
                if comptime!(start.len() == 1) {
                    target = Vector::cast_from(start.index(0).read(place));
                }
                let first = comptime!(part * size);
                let mut next = Sequence::<Vector<f32, S>>::new();
                #[unroll]
                for j in 0..count {
                    let mut vector = Vector::<f32, S>::empty();
                    #[unroll]
                    for lane in 0..size {
                        vector.insert(lane, numbers.index(j)[comptime!(first + lane)]);
                    }
                    next.push(vector);
                }
                let updated = stepped::<f32, S, R>(
                    theta,
                    target,
                    g,
                    &mut next,
                    &decay,
                    &step_size,
                    &scalars,
                    random_of(random, first),
                );
                if comptime!(master.len() == 1) {
                    master.index_mut(0).write(place, updated);
                    gradient.write(place, rounded(updated, in_bf16));
                } else {
                    gradient.write(place, Vector::cast_from(updated));
                }
                #[unroll]
                for j in 0..count {
                    #[unroll]
                    for lane in 0..size {
                        numbers.index_mut(j)[comptime!(first + lane)] = next.index(j).extract(lane);
                    }
                }
            }
        }
    }
    if comptime!(in_8_bits) {
        // The bits of each unit's largest number.
        let mut largest = Shared::<[i32]>::new_slice(comptime!((count + 1) * CUBE));
        #[unroll]
        for j in 0..count {
            let mut of_four = 0i32;
            #[unroll]
            for i in 0..FOUR {
                let bits = i32::reinterpret(numbers.index(j)[i].abs());
                if bits < comptime!(INFINITE) {
                    of_four = max(of_four, bits);
                }
            }
            largest[comptime!(j * CUBE) + UNIT_POS as usize] = of_four;
        }
        sync_cube();
        if is_here {
            let of_block = UNIT_POS as usize / UNITS_OF_BLOCK * UNITS_OF_BLOCK;
            #[unroll]
            for j in 0..count {
                let signed = comptime!(is_signed(j));
                let of_moment = comptime!(j * CUBE);
                let scale = scale_of(largest_of_block(&largest, of_moment + of_block), signed);
                let mut word = 0u32;
                #[unroll]
                for i in 0..FOUR {
                    let code = encoded(numbers.index(j)[i], scale, random_of(random, i), signed);
                    word |= code << comptime!(i as u32 * 8);
                }
                words.index_mut(j).write(of_codes, word);
                if unit == 0usize {
                    let mut scales = scale;
                    #[unroll]
                    for block in 1..GROUP / BLOCK {
                        let of_block = of_block + comptime!(block * UNITS_OF_BLOCK);
                        let of_block = largest_of_block(&largest, of_moment + of_block);
                        scales |= scale_of(of_block, signed) << comptime!(block as u32 * 8);
                    }
                    words.index_mut(j).write(of_scales, scales);
                }
            }
        }
    } else if is_here {
        #[unroll]
        for j in 0..count {
            #[unroll]
            for i in 0..2 {
                let at = comptime!(2 * i);
                let low = narrowed(numbers.index(j)[at], random_of(random, at));
                let high = narrowed(
                    numbers.index(j)[comptime!(at + 1)],
                    random_of(random, comptime!(at + 1)),
                );
                words
                    .index_mut(j)
                    .write(of_codes + i, low | (high << 16u32));
            }
        }
    }
}

/// Of the units from `first` on.
#[cube]
fn largest_of_block(largest: &Shared<[i32]>, first: usize) -> i32 {
    let mut of_block = 0i32;
    #[unroll]
    for i in 0..UNITS_OF_BLOCK {
        of_block = max(of_block, largest[first + i]);
    }
    of_block
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

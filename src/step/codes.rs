//! Moments in fewer bytes than they are computed in: in bf16, and in 8 bits with a scale for each
//! [`BLOCK`].
//!
//! The code of 8 bits is a float of its own, with more codes to an octave near the block's largest
//! magnitude and fewer far below it. It comes of reading a float's bits as what they nearly are, its
//! logarithm: to shift them by two bits takes the fourth power, by three the eighth. With `b(x)` for
//! the bits of x as a float,
//!
//! ```text
//! magnitude of code c = the float of bits (b(c + BEFORE) - b(1 + BEFORE)) << SHIFT, times the scale
//! ```
//!
//! | | codes | an octave has, from the top | down to |
//! | --- | --- | --- | --- |
//! | first moment, velocity | a sign, 1 to 127 | 16 for 4 octaves, 8 for 4, 4, 2, 1 | 2⁻²⁰ |
//! | second moment | 1 to 254 | 16 for 8 octaves, 8 for 8, 4, 2 | 2⁻³² |
//!
//! Code 0 is 0. In a first moment it is also what is below a quarter of the first magnitude; a second
//! moment, which is divided by, becomes the first magnitude there. One more code is for ∞ and NaN.

use burn::tensor::bf16;

use super::rounding::Rounding;
use crate::MomentPrecision;

/// How many elements share a scale.
pub(super) const BLOCK: usize = 32;

/// What a moment is computed in.
pub(crate) trait Computed: Copy + From<f32> {
    fn to_f32(self) -> f32;
}

impl Computed for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

impl Computed for f64 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self as f32
    }
}

/// What a moment's code has to hold: a first moment or a velocity has a sign, and a second moment is
/// divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    First,
    Second,
}

impl Kind {
    /// Of the moments in the order of a state.
    pub(crate) fn of_index(which: usize) -> Self {
        if which == 0 {
            Self::First
        } else {
            Self::Second
        }
    }
}

/// A moment of a parameter, in the order of its elements.
#[derive(Debug, Clone)]
pub(crate) enum Codes {
    Bf16(Vec<bf16>),
    Bits8 {
        kind: Kind,
        codes: Vec<u8>,
        scales: Vec<u8>,
    },
}

/// The codes of 8 bits of a part of a moment, which begins with a block, and their scales.
pub(crate) struct Blocks<'a> {
    kind: Kind,
    codes: &'a mut [u8],
    scales: &'a mut [u8],
}

impl Codes {
    /// # Panics
    ///
    /// Panics on a precision that has no codes.
    pub(super) fn zeros(precision: MomentPrecision, kind: Kind, length: usize) -> Self {
        match precision {
            MomentPrecision::Bf16 => Self::Bf16(vec![bf16::ZERO; length]),
            MomentPrecision::Bits8 => Self::Bits8 {
                kind,
                codes: vec![0; length],
                scales: vec![0; length.div_ceil(BLOCK)],
            },
            MomentPrecision::Full => unreachable!("full precision has no codes"),
        }
    }

    /// Of a record, or what is wrong with its scales.
    pub(crate) fn of_8_bits(kind: Kind, codes: Vec<u8>, scales: Vec<u8>) -> Result<Self, String> {
        let (blocks, found) = (codes.len().div_ceil(BLOCK), scales.len());
        if found != blocks {
            return Err(format!(
                "has {found} elements, but there are {blocks} blocks"
            ));
        }
        let [least, most] = match kind {
            Kind::First => First::SCALES,
            Kind::Second => Second::SCALES,
        };
        let valid = |scale: &&u8| (least..=most).contains(&i32::from(**scale));
        if let Some(scale) = scales.iter().find(|scale| !valid(scale)) {
            return Err(format!(
                "holds {scale}, which is not from {least} to {most}"
            ));
        }
        Ok(Self::Bits8 {
            kind,
            codes,
            scales,
        })
    }

    pub(super) fn precision(&self) -> MomentPrecision {
        match self {
            Self::Bf16(_) => MomentPrecision::Bf16,
            Self::Bits8 { .. } => MomentPrecision::Bits8,
        }
    }

    /// That of a bf16 moment makes no difference.
    #[cfg(feature = "_cubecl")]
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Bf16(_) => Kind::First,
            Self::Bits8 { kind, .. } => *kind,
        }
    }

    pub(super) fn encode(&mut self, numbers: &[f32], time: usize) {
        let rounding = Rounding::new(time, 0);
        match self {
            Self::Bf16(halves) => {
                for (i, (half, number)) in halves.iter_mut().zip(numbers).enumerate() {
                    *half = narrowed(*number, rounding.at(i));
                }
            }
            Self::Bits8 {
                kind,
                codes,
                scales,
            } => {
                Blocks {
                    kind: *kind,
                    codes,
                    scales,
                }
                .encode(numbers, rounding);
            }
        }
    }

    pub(crate) fn decoded(&self) -> Vec<f32> {
        match self {
            Self::Bf16(halves) => halves.iter().map(|half| widened(*half)).collect(),
            Self::Bits8 {
                kind,
                codes,
                scales,
            } => {
                let mut numbers = vec![0.0; codes.len()];
                decode(*kind, codes, scales, &mut numbers);
                numbers
            }
        }
    }
}

impl Blocks<'_> {
    #[inline(always)]
    pub(super) fn encode<T: Computed>(self, numbers: &[T], rounding: Rounding) {
        let Self {
            kind,
            codes,
            scales,
        } = self;
        match kind {
            Kind::First => First::encode_blocks(numbers, rounding, codes, scales),
            Kind::Second => Second::encode_blocks(numbers, rounding, codes, scales),
        }
    }
}

/// What the one-pass forms take apart.
#[cfg(feature = "_one-pass")]
mod slices {
    use super::*;
    use crate::step::weights::first_mut;

    /// Of all moments of a parameter.
    pub(crate) enum CodeSlices<'a, const N: usize> {
        Bf16([&'a mut [bf16]; N]),
        Bits8([Blocks<'a>; N]),
    }

    impl<'a, const N: usize> CodeSlices<'a, N> {
        /// # Panics
        ///
        /// Panics where they are not all kept in one way.
        pub(in crate::step) fn of(moments: [&'a mut Codes; N]) -> Self {
            const ONE_WAY: &str = "all moments of a parameter are kept in one way";
            if moments.iter().all(|codes| matches!(codes, Codes::Bf16(_))) {
                Self::Bf16(moments.map(|codes| match codes {
                    Codes::Bf16(halves) => halves.as_mut_slice(),
                    Codes::Bits8 { .. } => unreachable!("{ONE_WAY}"),
                }))
            } else {
                Self::Bits8(moments.map(|codes| match codes {
                    Codes::Bits8 {
                        kind,
                        codes,
                        scales,
                    } => Blocks {
                        kind: *kind,
                        codes,
                        scales,
                    },
                    Codes::Bf16(_) => unreachable!("{ONE_WAY}"),
                }))
            }
        }

        /// Takes the first elements away: whole blocks, or all that is left.
        #[inline(always)]
        pub(in crate::step) fn take(&mut self, length: usize) -> Self {
            match self {
                Self::Bf16(halves) => {
                    Self::Bf16(halves.each_mut().map(|halves| first_mut(halves, length)))
                }
                Self::Bits8(blocks) => Self::Bits8(Blocks::take_each(blocks, length)),
            }
        }
    }

    impl<'a> Blocks<'a> {
        #[inline(always)]
        pub(in crate::step) fn take_each<const N: usize>(
            blocks: &mut [Blocks<'a>; N],
            length: usize,
        ) -> [Blocks<'a>; N] {
            blocks.each_mut().map(|blocks| blocks.take(length))
        }

        #[inline(always)]
        fn take(&mut self, length: usize) -> Blocks<'a> {
            Blocks {
                kind: self.kind,
                codes: first_mut(&mut self.codes, length),
                scales: first_mut(&mut self.scales, length.div_ceil(BLOCK)),
            }
        }

        #[inline(always)]
        pub(in crate::step) fn decode<T: Computed>(&self, numbers: &mut [T]) {
            decode(self.kind, self.codes, self.scales, numbers);
        }
    }
}
#[cfg(feature = "_one-pass")]
pub(super) use slices::CodeSlices;

#[inline(always)]
pub(super) fn widened(half: bf16) -> f32 {
    f32::from_bits(u32::from(half.to_bits()) << 16)
}

/// Up or down, with the probability that makes the mean right, where all random numbers are as likely.
#[inline(always)]
pub(super) fn narrowed(number: f32, random: u32) -> bf16 {
    let bits = number.to_bits();
    let rounded = bits.wrapping_add(random >> 16);
    // Neither does a finite number become infinite, nor an infinite one NaN.
    let is_finite = rounded & 0x7f80_0000 != 0x7f80_0000;
    let upper = if is_finite { rounded } else { bits } >> 16;
    bf16::from_bits(if number.is_nan() {
        0x7fc0
    } else {
        upper as u16
    })
}

#[inline(always)]
fn decode<T: Computed>(kind: Kind, codes: &[u8], scales: &[u8], numbers: &mut [T]) {
    match kind {
        Kind::First => First::decode_blocks(codes, scales, numbers),
        Kind::Second => Second::decode_blocks(codes, scales, numbers),
    }
}

/// The code of 8 bits.
struct Code<const SIGNED: bool>;

type First = Code<true>;
type Second = Code<false>;

pub(super) const INFINITE: i32 = 0x7f80_0000;
const MANTISSA: u32 = 23;

impl<const SIGNED: bool> Code<SIGNED> {
    const SHIFT: u32 = if SIGNED { 2 } else { 3 };
    /// How many places are left out, of which an octave would have one or none. The first that is
    /// not is a power of two, and from there on a number lies between two places as its place lies
    /// between two integers.
    const BEFORE: f32 = if SIGNED { 3.0 } else { 15.0 };
    /// The largest code of a number, and that of ∞ and NaN.
    const LAST: f32 = if SIGNED { 127.0 } else { 254.0 };
    const NOT_FINITE: u8 = if SIGNED { 0x80 } else { 0xff };
    /// Beside the scale, the bits of the last magnitude, and of the least that is told from others:
    /// 0's place in a first moment.
    const LAST_BITS: i32 = Self::bits(Self::LAST + Self::BEFORE);
    const LEAST_BITS: i32 = Self::bits(if SIGNED { 0.0 } else { 1.0 } + Self::BEFORE);
    /// A scale is the exponent of the first magnitude. It is a normal number, and the last one is
    /// finite.
    const SCALES: [i32; 2] = [1, (INFINITE - 1 - Self::LAST_BITS) >> MANTISSA];

    /// The bits of a magnitude beside its scale. The place of a code is an integer, [`BEFORE`] more
    /// than the code.
    ///
    /// [`BEFORE`]: Self::BEFORE
    #[inline(always)]
    const fn bits(place: f32) -> i32 {
        (place.to_bits() as i32).wrapping_sub(Self::first_place()) << Self::SHIFT
    }

    #[inline(always)]
    const fn first_place() -> i32 {
        (1.0 + Self::BEFORE).to_bits() as i32
    }

    #[inline(always)]
    fn decode(code: u8, scale: u8) -> f32 {
        let number = if SIGNED {
            i32::from(code as i8) as f32
        } else {
            i32::from(code) as f32
        };
        let bits = Self::bits(number.abs() + Self::BEFORE);
        let magnitude = f32::from_bits(bits.wrapping_add(i32::from(scale) << MANTISSA) as u32);
        let magnitude = if number == 0.0 { 0.0 } else { magnitude };
        if code == Self::NOT_FINITE {
            if SIGNED { f32::NAN } else { f32::INFINITY }
        } else {
            magnitude.copysign(number)
        }
    }

    /// The least at which the last magnitude reaches the largest one, of which these are the bits.
    #[inline(always)]
    fn scale(largest: i32) -> u8 {
        let whole = (largest - Self::LAST_BITS + (1 << MANTISSA) - 1) >> MANTISSA;
        let [least, most] = Self::SCALES;
        whole.clamp(least, most) as u8
    }

    /// Of a finite number that is not 0.
    #[inline(always)]
    fn encode(number: f32, scale: u8, random: u32) -> u8 {
        // Adding it, an integer of either sign is in the last bits.
        const INTEGERS: f32 = 1.5 * (1 << MANTISSA) as f32;
        let base = i32::from(scale) << MANTISSA;
        let bits = number.abs().to_bits() as i32;
        let bits = bits
            .max(Self::LEAST_BITS + base)
            .min(Self::LAST_BITS + base);
        let place = f32::from_bits((((bits - base) >> Self::SHIFT) + Self::first_place()) as u32);
        // From 1 to 2, in steps of which every place has the bits.
        let random = f32::from_bits(random >> 9 & 0x7f_fe00 | 0x3f80_0100);
        let code = (place + random).floor() - (1.0 + Self::BEFORE);
        let code = if SIGNED { code.copysign(number) } else { code };
        (code + INTEGERS).to_bits() as u8
    }

    #[cfg(feature = "_cubecl")]
    const CURVE: Curve = Curve {
        shift: Self::SHIFT as i32,
        before: Self::BEFORE,
        first_place: Self::first_place(),
        least_bits: Self::LEAST_BITS,
        last_bits: Self::LAST_BITS,
        scales: Self::SCALES,
        not_finite: Self::NOT_FINITE as u32,
    };

    #[inline(always)]
    fn decode_blocks<T: Computed>(codes: &[u8], scales: &[u8], numbers: &mut [T]) {
        let (blocks, rest) = codes.as_chunks::<BLOCK>();
        let (to, to_rest) = numbers.as_chunks_mut::<BLOCK>();
        for ((codes, numbers), scale) in blocks.iter().zip(to).zip(scales) {
            for (number, code) in numbers.iter_mut().zip(codes) {
                *number = Self::decode(*code, *scale).into();
            }
        }
        for (number, code) in to_rest.iter_mut().zip(rest) {
            *number = Self::decode(*code, scales[blocks.len()]).into();
        }
    }

    #[inline(always)]
    fn encode_blocks<T: Computed>(
        numbers: &[T],
        rounding: Rounding,
        codes: &mut [u8],
        scales: &mut [u8],
    ) {
        let (blocks, rest) = numbers.as_chunks::<BLOCK>();
        let (to, to_rest) = codes.as_chunks_mut::<BLOCK>();
        for (i, ((numbers, codes), scale)) in blocks.iter().zip(to).zip(&mut *scales).enumerate() {
            *scale = Self::encode_block(numbers, rounding.skip(i * BLOCK), codes);
        }
        if !rest.is_empty() {
            let (mut numbers, mut codes) = ([T::from(0.0); BLOCK], [0; BLOCK]);
            numbers[..rest.len()].copy_from_slice(rest);
            let rounding = rounding.skip(blocks.len() * BLOCK);
            scales[blocks.len()] = Self::encode_block(&numbers, rounding, &mut codes);
            to_rest.copy_from_slice(&codes[..rest.len()]);
        }
    }

    /// Returns the scale.
    #[inline(always)]
    fn encode_block<T: Computed>(
        numbers: &[T; BLOCK],
        rounding: Rounding,
        codes: &mut [u8; BLOCK],
    ) -> u8 {
        let bits = |number: &T| number.to_f32().abs().to_bits() as i32;
        let largest = numbers.iter().map(bits).fold(0, i32::max);
        if largest >= INFINITE {
            return Self::encode_not_finite(numbers, rounding, codes);
        }
        let scale = Self::scale(largest);
        for (i, (code, number)) in codes.iter_mut().zip(numbers).enumerate() {
            *code = Self::encode(number.to_f32(), scale, rounding.at(i));
        }
        // A subnormal number's bits are not its logarithm.
        let least = f32::from_bits(if SIGNED { 1 << MANTISSA } else { 1 });
        // In a loop of its own: within the other, the compiler would jump.
        for (code, number) in codes.iter_mut().zip(numbers) {
            *code = if number.to_f32().abs() < least {
                0
            } else {
                *code
            };
        }
        scale
    }

    /// A block with ∞ or NaN in it, which leave the others what they are.
    #[cold]
    fn encode_not_finite<T: Computed>(
        numbers: &[T; BLOCK],
        rounding: Rounding,
        codes: &mut [u8; BLOCK],
    ) -> u8 {
        let is_finite = |number: &T| number.to_f32().is_finite();
        let mut finite = *numbers;
        for number in finite.iter_mut().filter(|number| !is_finite(number)) {
            *number = 0.0.into();
        }
        let scale = Self::encode_block(&finite, rounding, codes);
        for (code, _) in codes
            .iter_mut()
            .zip(numbers)
            .filter(|(_, number)| !is_finite(number))
        {
            *code = Self::NOT_FINITE;
        }
        scale
    }
}

/// What a kernel needs of a [`Code`].
#[cfg(feature = "_cubecl")]
#[derive(Clone, Copy)]
pub(super) struct Curve {
    pub shift: i32,
    pub before: f32,
    pub first_place: i32,
    pub least_bits: i32,
    pub last_bits: i32,
    pub scales: [i32; 2],
    pub not_finite: u32,
}

#[cfg(feature = "_cubecl")]
impl Curve {
    pub(super) const fn of(signed: bool) -> Self {
        if signed { First::CURVE } else { Second::CURVE }
    }
}

/// Codes as words of 32 bits, group by group: of 8 bits the codes of four blocks, and a word of their
/// scales.
#[cfg(feature = "_cubecl")]
mod words {
    use super::*;

    /// How many elements a group has.
    pub(in crate::step) const GROUP: usize = 4 * BLOCK;
    /// How many words a group has, in 8 bits.
    pub(in crate::step) const WORDS: usize = GROUP / 4 + 1;

    impl Codes {
        pub(in crate::step) fn to_words(&self) -> Vec<u32> {
            match self {
                Self::Bf16(halves) => {
                    let groups = halves.chunks(GROUP).flat_map(|group| {
                        let bits = group.iter().map(|half| half.to_bits());
                        bits.chain(core::iter::repeat_n(0, GROUP - group.len()))
                    });
                    let bits: Vec<u16> = groups.collect();
                    let pairs = bits.as_chunks().0.iter();
                    pairs
                        .map(|[low, high]| u32::from(*low) | u32::from(*high) << 16)
                        .collect()
                }
                Self::Bits8 { codes, scales, .. } => {
                    let groups = codes.chunks(GROUP).zip(scales.chunks(GROUP / BLOCK));
                    let bytes = groups.flat_map(|(codes, scales)| {
                        let mut bytes = [0; 4 * WORDS];
                        bytes[..codes.len()].copy_from_slice(codes);
                        bytes[GROUP..][..scales.len()].copy_from_slice(scales);
                        bytes
                    });
                    let bytes: Vec<u8> = bytes.collect();
                    let fours = bytes.as_chunks().0.iter();
                    fours.map(|four| u32::from_le_bytes(*four)).collect()
                }
            }
        }

        /// Of so many elements.
        pub(in crate::step) fn from_words(
            precision: MomentPrecision,
            kind: Kind,
            words: &[u32],
            length: usize,
        ) -> Self {
            let mut codes = Self::zeros(precision, kind, length);
            match &mut codes {
                Self::Bf16(halves) => {
                    let bits = words
                        .iter()
                        .flat_map(|word| [*word as u16, (word >> 16) as u16]);
                    for (half, bits) in halves.iter_mut().zip(bits) {
                        *half = bf16::from_bits(bits);
                    }
                }
                Self::Bits8 { codes, scales, .. } => {
                    let groups = codes
                        .chunks_mut(GROUP)
                        .zip(scales.chunks_mut(GROUP / BLOCK));
                    for ((codes, scales), words) in groups.zip(words.chunks(WORDS)) {
                        let bytes: Vec<u8> =
                            words.iter().flat_map(|word| word.to_le_bytes()).collect();
                        codes.copy_from_slice(&bytes[..codes.len()]);
                        scales.copy_from_slice(&bytes[GROUP..][..scales.len()]);
                    }
                }
            }
            codes
        }
    }
}
#[cfg(feature = "_cubecl")]
pub(super) use words::{GROUP, WORDS};

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of all magnitudes, random ones and those next to a code's.
    fn numbers() -> Vec<f32> {
        let all = (0..0x7f80_0000).step_by(65_521).map(f32::from_bits);
        all.flat_map(|number| [number, -number]).collect()
    }

    fn rounded(precision: MomentPrecision, kind: Kind, numbers: &[f32], time: usize) -> Vec<f32> {
        let mut codes = Codes::zeros(precision, kind, numbers.len());
        codes.encode(numbers, time);
        codes.decoded()
    }

    const QUANTIZED: [MomentPrecision; 2] = [MomentPrecision::Bf16, MomentPrecision::Bits8];

    const KINDS: [Kind; 2] = [Kind::First, Kind::Second];

    #[test]
    fn what_was_rounded_is_rounded_to_the_same() {
        for (precision, kind) in QUANTIZED
            .into_iter()
            .flat_map(|it| KINDS.map(|kind| (it, kind)))
        {
            let numbers: Vec<f32> = match kind {
                Kind::First => numbers(),
                Kind::Second => numbers().into_iter().map(f32::abs).collect(),
            };
            let once = rounded(precision, kind, &numbers, 1);
            let twice = rounded(precision, kind, &once, 2);
            let differs = |(one, other): (&f32, &f32)| one.to_bits() != other.to_bits();
            assert!(
                !once.iter().zip(&twice).any(differs),
                "{precision:?}, {kind:?}"
            );
        }
    }

    #[test]
    fn a_number_is_rounded_to_its_neighbours_and_right_on_average() {
        const TIMES: usize = 1 << 16;
        for (precision, kind) in QUANTIZED
            .into_iter()
            .flat_map(|it| KINDS.map(|kind| (it, kind)))
        {
            for exponent in -19..0 {
                // Beside the block's largest, which sets the scale.
                let number = 1.37 * 2.0_f32.powi(exponent);
                let times = 1..=TIMES;
                let mut found: Vec<f32> = times
                    .map(|time| rounded(precision, kind, &[1.0, number], time)[1])
                    .collect();
                let mean = found.iter().map(|it| f64::from(*it)).sum::<f64>() / TIMES as f64;
                let ratio = mean / f64::from(number);
                assert!(
                    (ratio - 1.0).abs() < 3e-3,
                    "{precision:?}, {kind:?}, 2^{exponent}: {ratio}"
                );
                found.sort_by(f32::total_cmp);
                found.dedup();
                assert!(
                    found.len() <= 2 && found[0] <= number,
                    "{number}: {found:?}"
                );
                assert!(found[found.len() - 1] >= number, "{number}: {found:?}");
            }
        }
    }

    #[test]
    fn an_octave_has_as_many_codes_as_the_documentation_says() {
        for (kind, expected) in [
            (Kind::First, [16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 4, 4]),
            (Kind::Second, [16, 16, 16, 16, 16, 16, 16, 16, 8, 8, 8, 8]),
        ] {
            for (octave, expected) in (1..).zip(expected) {
                let below = 2.0_f32.powi(-octave);
                let within = (0..1024).map(|i| below * (1.0 + i as f32 / 1024.0));
                let mut found: Vec<f32> = within
                    .map(|number| rounded(MomentPrecision::Bits8, kind, &[1.0, number], 1)[1])
                    .filter(|number| (below..2.0 * below).contains(number))
                    .collect();
                found.sort_by(f32::total_cmp);
                found.dedup();
                assert_eq!(
                    found.len(),
                    expected,
                    "{kind:?}, octave {octave}: {found:?}"
                );
            }
        }
    }

    /// Neither is a weight moved by a first moment that has died away, nor a second one 0.
    #[test]
    fn far_below_the_largest_a_first_moment_is_zero_and_a_second_is_not() {
        let numbers: Vec<f32> = (0..BLOCK as i32).map(|i| 2.0_f32.powi(-4 * i)).collect();
        for time in 0..100 {
            let second = rounded(MomentPrecision::Bits8, Kind::Second, &numbers, time);
            assert!(second.iter().all(|number| *number > 0.0), "{second:?}");
            let first = rounded(MomentPrecision::Bits8, Kind::First, &numbers, time);
            assert!(first[7..].iter().all(|number| *number == 0.0), "{first:?}");
        }
        for kind in KINDS {
            let zeros = rounded(MomentPrecision::Bits8, kind, &[0.0; 40], 1);
            assert_eq!(zeros, [0.0; 40]);
        }
    }

    #[test]
    fn what_is_not_finite_stays_so_and_leaves_its_neighbours() {
        for (precision, kind) in QUANTIZED
            .into_iter()
            .flat_map(|it| KINDS.map(|kind| (it, kind)))
        {
            for not_finite in [f32::INFINITY, f32::NAN] {
                let found = rounded(precision, kind, &[not_finite, 1.0, 0.5, 0.0], 7);
                // Of a second moment ∞ is the only one in 8 bits, and of a first one NaN.
                match (precision, kind) {
                    (MomentPrecision::Bits8, Kind::First) => assert!(found[0].is_nan()),
                    (MomentPrecision::Bits8, Kind::Second) => assert_eq!(found[0], f32::INFINITY),
                    _ => assert_eq!(found[0].is_nan(), not_finite.is_nan()),
                }
                assert_eq!(found[1..], [1.0, 0.5, 0.0]);
            }
            let found = rounded(precision, kind, &[f32::MAX, f32::MAX / 3.0], 7);
            assert!(found.iter().all(|number| number.is_finite()), "{found:?}");
            assert!(
                found[0] > 0.49 * f32::MAX && found[1] > 0.3 * f32::MAX,
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_subnormal_first_moment_is_zero() {
        for number in [1e-45, 1e-42, f32::MIN_POSITIVE / 2.0] {
            let found = rounded(MomentPrecision::Bits8, Kind::First, &[number, -number], 3);
            assert_eq!(found, [0.0; 2]);
        }
    }

    #[test]
    fn rounding_is_even_over_steps_and_elements() {
        let counts = |numbers: &mut dyn Iterator<Item = u32>| {
            let mut counts = [0; 16];
            numbers.for_each(|number| counts[(number >> 28) as usize] += 1);
            counts
        };
        let by_step = counts(&mut (0..1600).map(|time| Rounding::new(time, 5).at(0)));
        let by_element = counts(&mut (0..1600).map(|i| Rounding::new(5, 0).at(i)));
        for count in by_step.into_iter().chain(by_element) {
            assert!((60..=140).contains(&count), "{count}");
        }
    }
}

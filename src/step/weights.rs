//! How a parameter and its gradient lie in memory, and how a step gets at their numbers.

use half::{bf16, f16};

use super::cpu::Arithmetic;
use super::master::join;
#[cfg(feature = "flex")]
use super::master::split;
use super::rounding::Neighbour;

/// A parameter and its gradient, whose place the new parameter takes, all of one length.
pub(crate) trait Weights: Sized + Send {
    /// What their step is computed in, and what their moments are kept in.
    type Arithmetic: Arithmetic;

    /// The parameter's numbers.
    type Number: Number<Arithmetic = Self::Arithmetic>;

    /// What a step rounds to.
    type Rounded: Number<Arithmetic = Self::Arithmetic>;

    fn length(&self) -> usize;

    /// Takes the first elements away.
    fn take(&mut self, length: usize) -> Self;

    fn parameter(&self, i: usize) -> Self::Arithmetic;

    fn gradient(&self, i: usize) -> Self::Arithmetic;

    fn put(&mut self, i: usize, updated: Self::Arithmetic);
}

/// Each number as it is.
pub(crate) struct Plain<'a, E> {
    pub parameter: &'a [E],
    pub gradient: &'a mut [E],
}

impl<E: Number> Weights for Plain<'_, E> {
    type Arithmetic = E::Arithmetic;
    type Number = E;
    type Rounded = E;

    fn length(&self) -> usize {
        self.parameter.len()
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Self {
        Plain {
            parameter: first(&mut self.parameter, length),
            gradient: first_mut(&mut self.gradient, length),
        }
    }

    #[inline(always)]
    fn parameter(&self, i: usize) -> E::Arithmetic {
        self.parameter[i].widen()
    }

    #[inline(always)]
    fn gradient(&self, i: usize) -> E::Arithmetic {
        self.gradient[i].widen()
    }

    #[inline(always)]
    fn put(&mut self, i: usize, updated: E::Arithmetic) {
        self.gradient[i] = E::narrow(updated);
    }
}

/// A parameter in bf16, with the lower halves of its master weights.
#[cfg(feature = "flex")]
pub(crate) struct Bf16WithLower<'a> {
    pub parameter: &'a [bf16],
    pub lower: &'a mut [i16],
    pub gradient: &'a mut [bf16],
}

#[cfg(feature = "flex")]
impl Weights for Bf16WithLower<'_> {
    type Arithmetic = f32;
    type Number = bf16;
    type Rounded = f32;

    fn length(&self) -> usize {
        self.parameter.len()
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Self {
        Bf16WithLower {
            parameter: first(&mut self.parameter, length),
            lower: first_mut(&mut self.lower, length),
            gradient: first_mut(&mut self.gradient, length),
        }
    }

    #[inline(always)]
    fn parameter(&self, i: usize) -> f32 {
        join(self.parameter[i], self.lower[i])
    }

    #[inline(always)]
    fn gradient(&self, i: usize) -> f32 {
        self.gradient[i].widen()
    }

    #[inline(always)]
    fn put(&mut self, i: usize, updated: f32) {
        (self.gradient[i], self.lower[i]) = split(updated);
    }
}

/// Master weights, and the gradient of their roundings to f16.
#[cfg(feature = "flex")]
pub(crate) struct F16WithMaster<'a> {
    pub master: &'a mut [f32],
    pub gradient: &'a mut [f16],
}

#[cfg(feature = "flex")]
impl Weights for F16WithMaster<'_> {
    type Arithmetic = f32;
    type Number = f16;
    type Rounded = f32;

    fn length(&self) -> usize {
        self.master.len()
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Self {
        F16WithMaster {
            master: first_mut(&mut self.master, length),
            gradient: first_mut(&mut self.gradient, length),
        }
    }

    #[inline(always)]
    fn parameter(&self, i: usize) -> f32 {
        self.master[i]
    }

    #[inline(always)]
    fn gradient(&self, i: usize) -> f32 {
        self.gradient[i].widen()
    }

    #[inline(always)]
    fn put(&mut self, i: usize, updated: f32) {
        self.master[i] = updated;
        self.gradient[i] = f16::narrow(updated);
    }
}

/// A number as a tensor holds it, and as a step computes with it.
///
/// The conversions are `half`'s, written without branches and calls so that they become vector
/// instructions in the loop of the step.
pub(crate) trait Number: Neighbour + Send + Sync {
    type Arithmetic: Arithmetic;

    fn widen(self) -> Self::Arithmetic;

    fn narrow(wide: Self::Arithmetic) -> Self;
}

macro_rules! native {
    ($($number:ty),*) => {$(
        impl Number for $number {
            type Arithmetic = $number;

            #[inline(always)]
            fn widen(self) -> $number {
                self
            }

            #[inline(always)]
            fn narrow(wide: $number) -> $number {
                wide
            }
        }
    )*};
}
native!(f32, f64);

impl Number for bf16 {
    type Arithmetic = f32;

    #[inline(always)]
    fn widen(self) -> f32 {
        join(self, 0)
    }

    /// To the nearest, and of two the even one.
    #[inline(always)]
    fn narrow(wide: f32) -> Self {
        let bits = wide.to_bits();
        let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        // The addition could carry a NaN into the sign.
        let quiet = bits >> 16 | 0x40;
        Self::from_bits(if wide.is_nan() { quiet } else { nearest } as u16)
    }
}

impl Number for f16 {
    type Arithmetic = f32;

    #[inline(always)]
    fn widen(self) -> f32 {
        const EXPONENT: u32 = 0x7c00 << 13;
        let bits = u32::from(self.to_bits());
        let magnitude = (bits & 0x7fff) << 13;
        // From the exponent's bias of f16 to that of f32.
        let normal = magnitude + ((127 - 15) << 23);
        let smallest = f32::from_bits((127 - 14) << 23);
        let subnormal = (f32::from_bits(normal + (1 << 23)) - smallest).to_bits();
        let not_finite = magnitude | 0x7f80_0000;
        let wide = match magnitude & EXPONENT {
            0 => subnormal,
            EXPONENT => not_finite,
            _ => normal,
        };
        f32::from_bits(wide | (bits & 0x8000) << 16)
    }

    /// To the nearest, and of two the even one.
    #[inline(always)]
    fn narrow(wide: f32) -> Self {
        let bits = wide.to_bits();
        let magnitude = bits & 0x7fff_ffff;
        let nearest =
            (magnitude + 0xfff + (magnitude >> 13 & 1)).wrapping_sub((127 - 15) << 23) >> 13;
        // Adding it rounds to the last bit of a subnormal f16.
        let last_bit = f32::from_bits((127 - 15 + 23 - 10 + 1) << 23);
        let subnormal = (wide.abs() + last_bit).to_bits() - last_bit.to_bits();
        let not_finite = if wide.is_nan() { 0x7e00 } else { 0x7c00 };
        let narrow = if magnitude < (127 - 14) << 23 {
            subnormal
        } else if magnitude < (127 + 16) << 23 {
            nearest
        } else {
            not_finite
        };
        Self::from_bits((narrow | bits >> 16 & 0x8000) as u16)
    }
}

const IN_RANGE: &str = "the slices of a step are of one length";

#[inline(always)]
pub(super) fn first<'a, E>(slice: &mut &'a [E], length: usize) -> &'a [E] {
    slice.split_off(..length).expect(IN_RANGE)
}

#[inline(always)]
pub(super) fn first_mut<'a, E>(slice: &mut &'a mut [E], length: usize) -> &'a mut [E] {
    slice.split_off_mut(..length).expect(IN_RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_16_bits_are_what_the_library_says() {
        for bits in 0..=u16::MAX {
            let (f, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            for (actual, expected) in [(f.widen(), f.to_f32()), (b.widen(), b.to_f32())] {
                let same = actual.to_bits() == expected.to_bits();
                assert!(
                    same || actual.is_nan() && expected.is_nan(),
                    "{bits:#x}: {actual}"
                );
            }
        }
    }

    #[test]
    fn numbers_of_32_bits_are_rounded_as_the_library_rounds_them() {
        let all = (0..=u32::MAX).step_by(509).map(f32::from_bits);
        // Each f16, and what lies halfway to the next.
        let halfway = (0..=u16::MAX).flat_map(|bits| {
            let [one, next] =
                [bits, bits.wrapping_add(1)].map(|bits| f16::from_bits(bits).to_f32());
            [one, one + (next - one) / 2.0]
        });
        let ties = (0..=u16::MAX).map(|bits| f32::from_bits(u32::from(bits) << 16 | 0x8000));
        for wide in all.chain(halfway).chain(ties) {
            let (f, b) = (f16::narrow(wide), bf16::narrow(wide));
            let (expected_f, expected_b) = (f16::from_f32(wide), bf16::from_f32(wide));
            if wide.is_nan() {
                assert!(f.is_nan() && b.is_nan(), "{:#x}", wide.to_bits());
            } else {
                assert_eq!(f.to_bits(), expected_f.to_bits(), "{wide:e}");
                assert_eq!(b.to_bits(), expected_b.to_bits(), "{wide:e}");
            }
        }
    }
}

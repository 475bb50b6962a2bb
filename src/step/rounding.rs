//! Stochastic rounding: to one of the two neighbours of an exact result, by how near each is, so that it
//! is the exact one on average.

use burn::tensor::{bf16, f16};

/// What decides to which neighbour each element is rounded: of the step's number and the element's place
/// alone.
///
/// In each step it starts from a hash, since an element's rounding must not depend on those before it,
/// which made what is rounded now; from element to element it goes on by the golden ratio, which spreads
/// it evenly.
#[derive(Clone, Copy)]
pub(super) struct Rounding {
    /// Of the first element.
    start: u32,
}

impl Rounding {
    /// The golden ratio's fraction, in 32 bits.
    pub(super) const BY_ELEMENT: u32 = 0x9e37_79b9;

    #[inline(always)]
    pub(super) fn new(time: usize, first: usize) -> Self {
        let mut hash = time as u32;
        for (shift, factor) in [(16, 0x21f0_aaad), (15, 0x735a_2d97)] {
            hash = (hash ^ hash >> shift).wrapping_mul(factor);
        }
        let start = hash ^ hash >> 15;
        Self { start }.skip(first)
    }

    /// That of the elements from `first` on.
    #[inline(always)]
    pub(super) fn skip(self, first: usize) -> Self {
        Self {
            start: self.at(first),
        }
    }

    #[inline(always)]
    pub(super) fn at(self, i: usize) -> u32 {
        self.start
            .wrapping_add(Self::BY_ELEMENT.wrapping_mul(i as u32))
    }
}

/// A number between 0 and 1, neither of them.
#[inline(always)]
pub(super) fn fraction(random: u32) -> f32 {
    (2 * (random >> 9) + 1) as f32 / (1 << 24) as f32
}

/// A number that has neighbours.
pub(crate) trait Neighbour: Copy {
    /// The next number away from 0, or towards it. (0 has none towards it.)
    fn neighbour(self, away: bool) -> Self;
}

macro_rules! neighbour {
    ($($number:ident),*) => {$(
        impl Neighbour for $number {
            #[inline(always)]
            fn neighbour(self, away: bool) -> Self {
                let bits = self.to_bits();
                Self::from_bits(if away { bits.wrapping_add(1) } else { bits.wrapping_sub(1) })
            }
        }
    )*};
}
neighbour!(f32, f64, f16, bf16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_between_0_and_1() {
        for random in [0, 1 << 9, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX] {
            let fraction = fraction(random);
            assert!(
                fraction > 0.0 && fraction < 1.0 && fraction != 0.5,
                "{fraction}"
            );
        }
        assert_eq!(fraction(0), 1.0 - fraction(u32::MAX));
    }

    #[test]
    fn neighbours_are_next_to_each_other() {
        assert_eq!(1f32.neighbour(true), 1.0 + f32::EPSILON);
        assert_eq!((-1f32).neighbour(false), -1.0 + f32::EPSILON / 2.0);
        assert_eq!(0f32.neighbour(true), f32::from_bits(1));
        assert_eq!(bf16::ONE.neighbour(true).to_f32(), 1.0 + 2f32.powi(-7));
        assert_eq!(f16::ONE.neighbour(false).to_f32(), 1.0 - 2f32.powi(-11));
    }
}

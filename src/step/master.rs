//! Master weights: the f32 numbers whose roundings a parameter in half precision has.
//!
//! The step moves them and rounds them, so that nothing of an update or of a decay is lost, however
//! small it is beside the parameter's last bit.
//!
//! A bf16 number is the upper half of an f32 number, so that for a bf16 parameter the lower halves
//! are enough: [`split`] and [`join`] go from one to the other without a loss, as
//! `store_param_remainders` of NVIDIA's apex does. Rounding is to the nearest; a tie goes away from
//! zero, in every form, since 16 bits can't say to which of two even neighbours one went.

use burn::tensor::{DType, Device, Shape, Tensor, TensorData, bf16};

/// The master weights of one parameter.
#[derive(Debug, Clone)]
pub(crate) struct Master<const D: usize> {
    stored: Stored<D>,
    /// Their roundings, to see whether someone has changed the parameter since. A record has none.
    rounded: Option<Tensor<D>>,
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a state has it in a box")]
enum Stored<const D: usize> {
    /// The numbers, in f32.
    Whole(Tensor<D>),
    /// Of a bf16 parameter the lower halves, in i16.
    Lower(Vec<i16>, Shape),
}

/// The parameter that a master weight has, and what is left of it.
#[inline(always)]
pub(crate) fn split(master: f32) -> (bf16, i16) {
    let bits = master.to_bits();
    // The lower half is signed, so that the upper one is the nearest.
    let (upper, lower) = (bits.wrapping_add(0x8000) >> 16, bits as i16);
    // The addition could carry a NaN into the sign.
    if master.is_nan() {
        (bf16::NAN, 0)
    } else {
        (bf16::from_bits(upper as u16), lower)
    }
}

#[inline(always)]
pub(crate) fn join(parameter: bf16, lower: i16) -> f32 {
    let upper = u32::from(parameter.to_bits()) << 16;
    f32::from_bits(upper.wrapping_add_signed(lower.into()))
}

impl<const D: usize> Master<D> {
    /// The numbers, and the parameter that they were rounded to.
    pub(super) fn whole(whole: Tensor<D>, rounded: &Tensor<D>) -> Self {
        Self {
            stored: Stored::Whole(whole),
            rounded: Some(rounded.clone()),
        }
    }

    /// The lower halves of numbers, and the bf16 parameter that has the upper ones.
    #[cfg(feature = "flex")]
    pub(super) fn lower(lower: Vec<i16>, rounded: &Tensor<D>) -> Self {
        Self {
            stored: Stored::Lower(lower, rounded.shape()),
            rounded: Some(rounded.clone()),
        }
    }

    /// The numbers of a parameter, in f32. Where someone has changed the parameter, and where there
    /// are no master weights yet, they are the parameter's own.
    pub(super) fn of(master: Option<Self>, parameter: &Tensor<D>) -> Tensor<D> {
        let wide = parameter.clone().cast(DType::F32);
        let Some(Self { stored, rounded }) = master else {
            return wide;
        };
        let (whole, rounded) = match (stored, rounded) {
            (Stored::Whole(whole), rounded) => {
                let dtype = parameter.dtype();
                let rounded = rounded.filter(|rounded| rounded.dtype() == dtype);
                let rounded = rounded.unwrap_or_else(|| round(&whole, dtype));
                (whole, Some(rounded))
            }
            (Stored::Lower(lower, _), rounded) if parameter.dtype() == DType::BF16 => {
                (joined(parameter, &lower), rounded)
            }
            _ => return wide,
        };
        match rounded {
            Some(rounded) => wide.mask_where(rounded.equal(parameter.clone()), whole),
            None => whole,
        }
    }

    /// [`of`](Self::of), where `same` can tell that the parameter has not changed without a look at
    /// each number.
    #[cfg(any(feature = "flex", feature = "_cubecl"))]
    pub(super) fn whole_of(
        master: Option<Self>,
        parameter: &Tensor<D>,
        same: impl Fn(&Tensor<D>) -> bool,
    ) -> Tensor<D> {
        match master {
            Some(Self {
                stored: Stored::Whole(whole),
                rounded: Some(rounded),
            }) if same(&rounded) => whole,
            master => Self::of(master, parameter),
        }
    }

    /// The lower halves of the numbers of a bf16 parameter, likewise.
    #[cfg(feature = "flex")]
    pub(super) fn lower_of(
        master: Option<Self>,
        parameter: &Tensor<D>,
        same: impl Fn(&Tensor<D>) -> bool,
    ) -> Vec<i16> {
        match master {
            Some(Self {
                stored: Stored::Lower(lower, _),
                rounded: Some(rounded),
            }) if same(&rounded) => lower,
            None => vec![0; parameter.shape().num_elements()],
            master => lower_halves(&Self::of(master, parameter).into_data()),
        }
    }

    pub(crate) fn moved_to(self, device: &Device) -> Self {
        Self {
            stored: match self.stored {
                Stored::Whole(whole) => Stored::Whole(whole.to_device(device)),
                lower => lower,
            },
            rounded: self.rounded.map(|rounded| rounded.to_device(device)),
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        match &self.stored {
            Stored::Whole(whole) => whole.shape(),
            Stored::Lower(_, shape) => shape.clone(),
        }
    }

    /// What [`to_data`](Self::to_data) gave.
    pub(crate) fn recorded(data: TensorData, device: &Device) -> Option<Self> {
        let stored = match data.dtype() {
            DType::F32 => Stored::Whole(Tensor::from_data(data, (device, DType::F32))),
            DType::I16 => {
                let (bytes, shape, _) = data.into_parts();
                // A record's memory may be at any address, and in a file.
                let (halves, _) = bytes.as_chunks();
                let lower = halves.iter().map(|half| i16::from_ne_bytes(*half));
                Stored::Lower(lower.collect(), shape)
            }
            _ => return None,
        };
        Some(Self {
            stored,
            rounded: None,
        })
    }

    /// As it is recorded: of a bf16 parameter the lower halves, of another the numbers.
    pub(crate) fn to_data(&self) -> TensorData {
        match &self.stored {
            Stored::Lower(lower, shape) => TensorData::new(lower.clone(), shape.clone()),
            Stored::Whole(whole) => {
                let data = whole.to_data();
                let dtype = self.rounded.as_ref().map(Tensor::dtype);
                if dtype == Some(DType::BF16) {
                    TensorData::new(lower_halves(&data), data.shape().clone())
                } else {
                    data
                }
            }
        }
    }
}

/// The lower halves of f32 numbers.
pub(super) fn lower_halves(master: &TensorData) -> Vec<i16> {
    master.iter::<f32>().map(|master| split(master).1).collect()
}

/// The numbers of which the parameter has the upper halves. Two halves that never were of one number,
/// as after a record of another parameter, may make a NaN: there the upper one is all that counts.
fn joined<const D: usize>(parameter: &Tensor<D>, lower: &[i16]) -> Tensor<D> {
    let data = parameter.to_data();
    let halves = data.iter::<bf16>().zip(lower);
    let whole: Vec<f32> = halves
        .map(|(upper, &lower)| {
            let whole = join(upper, lower);
            let (upper_again, lower_again) = split(whole);
            let of_one_number = (upper_again.to_bits(), lower_again) == (upper.to_bits(), lower);
            if of_one_number { whole } else { join(upper, 0) }
        })
        .collect();
    let whole = TensorData::new(whole, parameter.shape());
    Tensor::from_data(whole, (&parameter.device(), DType::F32))
}

/// The numbers in half precision, as [`split`] rounds them.
pub(super) fn round<const D: usize>(master: &Tensor<D>, dtype: DType) -> Tensor<D> {
    let nearest = master.clone().cast(dtype);
    if dtype != DType::BF16 {
        return nearest;
    }
    // Burn rounds a tie to the even neighbour. Where that is the one nearer to zero, the other lies
    // as far on the other side.
    let wide = nearest.clone().cast(DType::F32);
    let other = master.clone() + (master.clone() - wide.clone());
    let other_rounded = other.clone().cast(DType::BF16);
    let is_neighbour = other_rounded.clone().cast(DType::F32).equal(other);
    let towards_zero = wide.abs().lower(master.clone().abs());
    nearest.mask_where(is_neighbour.bool_and(towards_zero), other_rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of f32 number, and each tie of a thousand bf16 numbers.
    fn numbers() -> impl Iterator<Item = f32> {
        let all = (0..=u32::MAX).step_by(65_521).map(f32::from_bits);
        let ties = (0x3f80..0x4080).map(|upper| f32::from_bits((upper << 16) + 0x8000));
        let special = [
            0.0,
            -0.0,
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            f32::MIN_POSITIVE,
            1e-45,
        ];
        all.chain(ties).chain(special)
    }

    #[test]
    fn what_is_split_joins_to_the_same() {
        for number in numbers() {
            let (upper, lower) = split(number);
            let joined = join(upper, lower);
            let same = joined.to_bits() == number.to_bits();
            assert!(same || number.is_nan() && joined.is_nan(), "{number:e}");
            let nearest = bf16::from_f32(number);
            let tie = number.to_bits() & 0xffff == 0x8000;
            assert!(upper == nearest || tie || number.is_nan(), "{number:e}");
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn tensors_are_rounded_as_they_are_split() {
        let numbers: Vec<f32> = numbers().filter(|number| !number.is_nan()).collect();
        let tensor = Tensor::<1>::from_data(numbers.as_slice(), &Device::flex());
        let rounded = round(&tensor, DType::BF16).into_data();
        for (number, rounded) in numbers.iter().zip(rounded.iter::<bf16>()) {
            let (expected, _) = split(*number);
            assert_eq!(rounded.to_bits(), expected.to_bits(), "{number:e}");
        }
    }
}

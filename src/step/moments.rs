//! A moment in its place in an optimizer's state, and how it is kept there.

use std::borrow::Cow;

use burn::optim::StateSink;
#[cfg(feature = "_cubecl")]
use burn::tensor::Int;
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

use super::codes::{Codes, Kind};
use super::{arithmetic, cast};
#[cfg(feature = "_one-pass")]
use super::{codes::CodeSlices, cpu::QuantizedSlices};
use crate::MomentPrecision;

/// A moment of one parameter.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "the plain case needs no box")]
pub(crate) enum Moment<const D: usize> {
    /// In the precision that it is computed in, or that it was recorded in.
    Whole(Tensor<D>),
    /// In fewer bytes.
    Quantized(Box<Quantized>),
}

#[derive(Debug, Clone)]
pub(crate) struct Quantized {
    held: Held,
    shape: Shape,
    /// The parameter's.
    device: Device,
}

/// Where codes are.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a moment has it in a box")]
enum Held {
    /// In the memory of the program, whatever the parameter's device.
    Memory(Codes),
    /// In that of a GPU.
    #[cfg(feature = "_cubecl")]
    Device(Words),
}

#[cfg(feature = "_cubecl")]
#[derive(Debug, Clone)]
struct Words {
    words: Tensor<1, Int>,
    precision: MomentPrecision,
    kind: Kind,
}

impl Quantized {
    fn precision(&self) -> MomentPrecision {
        match &self.held {
            Held::Memory(codes) => codes.precision(),
            #[cfg(feature = "_cubecl")]
            Held::Device(words) => words.precision,
        }
    }

    fn codes(&self) -> Cow<'_, Codes> {
        match &self.held {
            Held::Memory(codes) => Cow::Borrowed(codes),
            #[cfg(feature = "_cubecl")]
            Held::Device(Words {
                words,
                precision,
                kind,
            }) => {
                let words: Vec<u32> = words.to_data().iter().collect();
                let length = self.shape.num_elements();
                Cow::Owned(Codes::from_words(*precision, *kind, &words, length))
            }
        }
    }

    /// Moves them there, if they are elsewhere.
    fn in_memory(&mut self) -> &mut Codes {
        #[cfg(feature = "_cubecl")]
        if let Held::Device(_) = self.held {
            self.held = Held::Memory(self.codes().into_owned());
        }
        match &mut self.held {
            Held::Memory(codes) => codes,
            #[cfg(feature = "_cubecl")]
            Held::Device(_) => unreachable!("they have been moved"),
        }
    }

    #[cfg(feature = "_cubecl")]
    fn on_device(&mut self) -> &mut Words {
        if let Held::Memory(codes) = &self.held {
            let words = codes.to_words();
            let length = words.len();
            let words = TensorData::new(words, [length]);
            self.held = Held::Device(Words {
                words: Tensor::from_data(words, (&self.device, DType::U32)),
                precision: codes.precision(),
                kind: codes.kind(),
            });
        }
        match &mut self.held {
            Held::Device(words) => words,
            Held::Memory(_) => unreachable!("they have been moved"),
        }
    }

    fn to_tensor<const D: usize>(&self) -> Tensor<D> {
        let numbers = TensorData::new(self.codes().decoded(), self.shape.clone());
        Tensor::from_data(numbers, (&self.device, DType::F32))
    }
}

/// A moment in its place in the state: from there a step takes it, and there it puts the next one.
pub(crate) type MomentSlot<'a, const D: usize> = &'a mut Option<Moment<D>>;

impl<const D: usize> Moment<D> {
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::Whole(whole) => whole.shape(),
            Self::Quantized(quantized) => quantized.shape.clone(),
        }
    }

    pub(crate) fn to_tensor(&self) -> Tensor<D> {
        match self {
            Self::Whole(whole) => whole.clone(),
            Self::Quantized(quantized) => quantized.to_tensor(),
        }
    }

    pub(crate) fn moved_to(self, device: &Device) -> Self {
        match self {
            Self::Whole(whole) => Self::Whole(moved(whole, device)),
            Self::Quantized(mut quantized) => {
                #[cfg(feature = "_cubecl")]
                if let Held::Device(words) = &mut quantized.held {
                    words.words = words.words.clone().to_device(device);
                }
                quantized.device = device.clone();
                Self::Quantized(quantized)
            }
        }
    }

    /// Of a record: the codes and the scales.
    pub(crate) fn from_codes(codes: Codes, shape: Shape, device: &Device) -> Self {
        Self::Quantized(Box::new(Quantized {
            held: Held::Memory(codes),
            shape,
            device: device.clone(),
        }))
    }

    /// Numbers under the name `leaf`, or codes of 8 bits and their scales under two names of their
    /// own.
    pub(crate) fn record(&self, prefix: &str, leaf: &str, out: &mut StateSink) {
        let quantized = match self {
            Self::Whole(whole) => return out.push_tensor(prefix, leaf, whole.to_data()),
            Self::Quantized(quantized) => quantized,
        };
        let shape = quantized.shape.clone();
        match &*quantized.codes() {
            Codes::Bf16(numbers) => {
                out.push_tensor(prefix, leaf, TensorData::new(numbers.clone(), shape));
            }
            Codes::Bits8 { codes, scales, .. } => {
                let of_blocks = [scales.len()];
                let [codes_leaf, scales_leaf] = code_leaves(leaf);
                let scales = TensorData::new(scales.clone(), of_blocks);
                out.push_tensor(prefix, &codes_leaf, TensorData::new(codes.clone(), shape));
                out.push_tensor(prefix, &scales_leaf, scales);
            }
        }
    }
}

/// In f32 where the device lacks its precision.
pub(super) fn moved<const D: usize>(mut tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    let dtype = tensor.dtype();
    // Where it is already its precision need not be asked, which is a message to a server.
    if dtype != DType::F32 && tensor.device() != *device && !device.supports_dtype(dtype) {
        cast(&mut tensor, DType::F32);
    }
    tensor.to_device(device)
}

/// What the codes of a moment and their scales are recorded under.
pub(crate) fn code_leaves(leaf: &str) -> [String; 2] {
    ["codes", "scales"].map(|part| format!("{leaf}_{part}"))
}

/// Zero where it is missing, and kept as it should be.
pub(super) fn prepare<const D: usize>(
    kept: MomentSlot<D>,
    kind: Kind,
    time: usize,
    parameter: &Tensor<D>,
    precision: MomentPrecision,
) {
    let shape = parameter.shape();
    let length = shape.num_elements();
    if precision.keeps_whole(length) {
        // In place: a tensor is long to move.
        let whole = kept.get_or_insert_with(|| Moment::Whole(parameter.zeros_like()));
        if let Moment::Quantized(quantized) = whole {
            *whole = Moment::Whole(quantized.to_tensor());
        }
        if let Moment::Whole(whole) = whole {
            cast(whole, arithmetic(parameter.dtype()));
        }
        return;
    }
    let codes = match kept {
        Some(Moment::Quantized(quantized)) if quantized.precision() == precision => return,
        Some(moment) => {
            let numbers = moment.to_tensor().into_data();
            let numbers: Vec<f32> = numbers.iter().collect();
            let mut codes = Codes::zeros(precision, kind, length);
            codes.encode(&numbers, time);
            codes
        }
        None => Codes::zeros(precision, kind, length),
    };
    *kept = Some(Moment::from_codes(codes, shape, &parameter.device()));
}

/// The numbers of a moment that is whole, which leave their place.
pub(super) fn take<const D: usize>(kept: MomentSlot<D>) -> Tensor<D> {
    match kept.take() {
        Some(Moment::Whole(whole)) => whole,
        _ => unreachable!("a moment that was missing is zero, and quantized ones go another way"),
    }
}

/// The next ones.
pub(super) fn put<P, const N: usize, const D: usize>(
    moments: [MomentSlot<D>; N],
    next: [P; N],
    lift: impl Fn(P) -> Tensor<D>,
) {
    for (moment, next) in moments.into_iter().zip(next) {
        *moment = Some(Moment::Whole(lift(next)));
    }
}

/// The codes of moments that are kept in fewer bytes.
#[cfg(feature = "_one-pass")]
pub(super) fn code_slices<'a, const N: usize, const D: usize>(
    moments: &'a mut [MomentSlot<D>; N],
) -> Option<QuantizedSlices<'a, N>> {
    if !are_quantized(moments) {
        return None;
    }
    let codes = moments.each_mut().map(|moment| match moment {
        Some(Moment::Quantized(quantized)) => quantized.in_memory(),
        _ => unreachable!("all moments of a parameter are kept in one way"),
    });
    let codes = CodeSlices::of(codes);
    Some(QuantizedSlices { codes, first: 0 })
}

/// The same in words on the parameter's device, which leave their places, and how they are kept.
#[cfg(feature = "_cubecl")]
pub(super) fn words<const N: usize, const D: usize>(
    moments: &mut [MomentSlot<D>; N],
) -> Option<(MomentPrecision, [Tensor<1, Int>; N])> {
    let precision = match moments.first() {
        Some(Some(Moment::Quantized(quantized))) => quantized.precision(),
        _ => return None,
    };
    let words = moments.each_mut().map(|moment| match moment {
        Some(Moment::Quantized(quantized)) => {
            let words = &mut quantized.on_device().words;
            let none = Tensor::empty([0], (&words.device(), DType::U32));
            core::mem::replace(words, none)
        }
        _ => unreachable!("all moments of a parameter are kept in one way"),
    });
    Some((precision, words))
}

/// Puts the next ones there.
#[cfg(feature = "_cubecl")]
pub(super) fn put_words<const N: usize, const D: usize>(
    moments: [MomentSlot<D>; N],
    next: [Tensor<1, Int>; N],
) {
    for (moment, next) in moments.into_iter().zip(next) {
        if let Some(Moment::Quantized(quantized)) = moment {
            quantized.on_device().words = next;
        }
    }
}

pub(super) fn are_quantized<const N: usize, const D: usize>(moments: &[MomentSlot<D>; N]) -> bool {
    matches!(moments.first(), Some(Some(Moment::Quantized(_))))
}

/// The numbers of moments that are kept in fewer bytes, and stay in their places.
pub(super) fn dequantized<const N: usize, const D: usize>(
    moments: &[MomentSlot<D>; N],
) -> [Tensor<D>; N] {
    moments.each_ref().map(|moment| {
        let moment = moment.as_ref();
        moment.expect("it is in its place").to_tensor()
    })
}

/// Quantizes the next ones into their places.
pub(super) fn requantize<const N: usize, const D: usize>(
    moments: [MomentSlot<D>; N],
    next: [Tensor<D>; N],
    time: usize,
) {
    for (moment, next) in moments.into_iter().zip(next) {
        if let Some(Moment::Quantized(quantized)) = moment {
            let numbers: Vec<f32> = next.into_data().iter().collect();
            quantized.in_memory().encode(&numbers, time);
        }
    }
}

//! The step as one kernel, on every runtime of CubeCL: queued in Burn's fusion stream where fusion
//! is on, launched at once where it is not.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube};
use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::tensor::layout::linear::{
    LinearView, LinearViewLaunch, LinearViewMut,
};
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, tensor_vector_size_parallel};
use burn_cubecl::kernel::into_contiguous_aligned;
use burn_cubecl::tensor::CubeTensor;
use burn_fusion::custom::{
    CustomOpIr, HandleContainer, OperationFn, OperationIr, StreamId, TensorIr,
};
use burn_fusion::{Fusion, FusionBackend, FusionRuntime};

use super::moments::{put, put_words, take, words};
use super::rounding::Rounding;
use super::{Coefficients, Master, MomentSlot, SMALLEST_MOMENT, cube_codes};
use crate::MomentPrecision;

pub(super) fn step<R: super::Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    kept: [MomentSlot<D>; N],
    coefficients: &Coefficients<f64, R>,
) -> Tensor<D> {
    step_on(parameter, gradient, start, kept, None, coefficients).0
}

/// The step of a parameter in half precision that has master weights. The kernel sees whether someone has
/// changed the parameter.
pub(super) fn step_with_master<R: super::Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    kept: [MomentSlot<D>; N],
    master: Option<Master<D>>,
    coefficients: &Coefficients<f64, R>,
) -> (Tensor<D>, Master<D>) {
    let whole = Master::whole_of(master, &parameter, |_| true);
    let (updated, whole) = step_on(parameter, gradient, start, kept, Some(whole), coefficients);
    let whole = whole.expect("a kernel that gets master weights leaves the next ones");
    let master = Master::whole(whole, &updated);
    (updated, master)
}

/// The new parameter, and its master weights if it has some.
fn step_on<R: super::Rule<N>, const N: usize, const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    start: Option<&Tensor<D>>,
    mut kept: [MomentSlot<D>; N],
    master: Option<Tensor<D>>,
    coefficients: &Coefficients<f64, R>,
) -> (Tensor<D>, Option<Tensor<D>>) {
    const ON_DEVICE: &str = "the tensors of a step are on the parameter's device";
    let lower = |tensor: Tensor<D>| tensor.try_into_primitive::<Cube>().expect(ON_DEVICE);
    let lift = Tensor::from_primitive::<Cube>;
    let (precision, moments) = match words(&mut kept) {
        Some((precision, words)) => (
            precision,
            words.map(|words| words.try_into_primitive::<Cube>().expect(ON_DEVICE)),
        ),
        None => (
            MomentPrecision::Full,
            kept.each_mut().map(|moment| lower(take(moment))),
        ),
    };
    let moments = Moments { precision, moments };
    let weights = Weights {
        parameter: lower(parameter),
        gradient: lower(gradient),
        start: start.map(|start| lower(start.clone())),
        master: master.map(lower),
    };
    let Stepped {
        parameter: updated,
        moments: next,
        master,
    } = R::on_cube(weights, moments, coefficients);
    if precision == MomentPrecision::Full {
        put(kept, next, lift);
    } else {
        put_words(kept, next.map(Tensor::from_primitive::<Cube>));
    }
    (lift(updated), master.map(lift))
}

/// A tensor of Burn's `Cube`.
type Primitive = FloatTensor<Cube>;

pub(super) fn one_kernel<R: super::Rule<N>, const N: usize>(
    weights: Weights,
    moments: Moments<N>,
    coefficients: &Coefficients<f64, R>,
) -> Stepped<N> {
    Cube::step(weights, moments, *coefficients)
}

/// A parameter, its gradient, what it decays towards where that is not 0, and the f32 numbers that it has
/// the roundings of, if they are kept.
pub(crate) struct Weights<T = Primitive> {
    parameter: T,
    gradient: T,
    start: Option<T>,
    master: Option<T>,
}

/// What a step leaves.
pub(crate) struct Stepped<const N: usize, T = Primitive> {
    parameter: T,
    moments: [T; N],
    master: Option<T>,
}

/// The moments as they are computed, or words of codes. Of CubeCL's backends both are one type.
pub(crate) struct Moments<const N: usize, T = Primitive> {
    precision: MomentPrecision,
    moments: [T; N],
}

/// What Burn's `Cube` can be: the backend of CubeCL's tensors, or the one that fuses its operations.
trait Step: Backend<IntTensorPrimitive = FloatTensor<Self>> {
    fn step<R: super::Rule<N>, const N: usize>(
        weights: Weights<FloatTensor<Self>>,
        moments: Moments<N, FloatTensor<Self>>,
        coefficients: Coefficients<f64, R>,
    ) -> Stepped<N, FloatTensor<Self>>;
}

/// Queues the step of the backend within.
impl<B: FusionBackend + Step> Step for Fusion<B> {
    fn step<R: super::Rule<N>, const N: usize>(
        weights: Weights<FloatTensor<Self>>,
        Moments { precision, moments }: Moments<N, FloatTensor<Self>>,
        coefficients: Coefficients<f64, R>,
    ) -> Stepped<N, FloatTensor<Self>> {
        let client = weights.parameter.client.clone();
        let parameter = weights.parameter.into_ir();
        let gradient = weights.gradient.into_ir();
        let start = weights.start.map(|start| start.into_ir());
        let master = weights.master.map(|master| master.into_ir());
        let moments = moments.map(|moment| moment.into_ir());
        let like = |ir: &TensorIr| {
            TensorIr::uninit(client.create_empty_handle(), ir.shape.clone(), ir.dtype)
        };
        let updated = like(&parameter);
        let next = moments.each_ref().map(like);
        let next_master = master.as_ref().map(like);

        let inputs = [&parameter, &gradient].into_iter();
        let inputs = inputs.chain(&start).chain(&master).chain(&moments);
        let outputs = [&updated].into_iter().chain(&next).chain(&next_master);
        let description = OperationIr::Custom(CustomOpIr {
            id: "burn_decay::step".into(),
            inputs: inputs.cloned().collect(),
            outputs: outputs.cloned().collect(),
            scalars: Vec::new(),
        });
        let (updated, next) = (updated.id, next.map(|moment| moment.id));
        let next_master = next_master.map(|master| master.id);
        let has_master = next_master.is_some();
        let run = OperationFn(
            move |handles: &mut HandleContainer<
                <B::FusionRuntime as FusionRuntime>::FusionHandle,
            >| {
                let mut take = |ir| handles.get_float_tensor::<B>(ir);
                let weights = Weights {
                    parameter: take(&parameter),
                    gradient: take(&gradient),
                    start: start.as_ref().map(&mut take),
                    master: master.as_ref().map(&mut take),
                };
                let moments = moments.each_ref().map(take);
                let moments = Moments { precision, moments };
                let stepped = B::step(weights, moments, coefficients);
                handles.register_float_tensor::<B>(&updated, stepped.parameter);
                let kept = next.iter().zip(stepped.moments);
                for (id, kept) in kept.chain(next_master.iter().zip(stepped.master)) {
                    handles.register_float_tensor::<B>(id, kept);
                }
                Ok(())
            },
        );
        let outputs = client.register(StreamId::current(), description, run);
        let mut outputs = outputs.into_iter();
        let mut output = || {
            outputs
                .next()
                .expect("a step has the outputs that it was described with")
        };
        Stepped {
            parameter: output(),
            moments: core::array::from_fn(|_| output()),
            master: has_master.then(output),
        }
    }
}

/// Launches the kernel.
impl Step for CubeBackend {
    fn step<R: super::Rule<N>, const N: usize>(
        weights: Weights<CubeTensor>,
        Moments { precision, moments }: Moments<N, CubeTensor>,
        coefficients: Coefficients<f64, R>,
    ) -> Stepped<N, CubeTensor> {
        if weights.parameter.meta.num_elements() == 0 {
            return Stepped {
                parameter: weights.parameter,
                moments,
                master: weights.master,
            };
        }
        let parameter = into_contiguous_aligned(weights.parameter);
        let start = weights.start.map(into_contiguous_aligned);
        // The new parameter takes the place of the gradient, which nobody needs any more.
        let updated = writable(weights.gradient);
        let moments = moments.map(writable);
        let master = weights.master.map(writable);

        let arithmetic = super::arithmetic(parameter.dtype);
        let Coefficients {
            time,
            decay,
            step_size,
            rule,
        } = coefficients;
        let scalar = |value| scalar(value, arithmetic);

        let decay = DecayScalarsLaunch::new(
            scalar(decay.l2_penalty),
            scalar(decay.decoupled),
            (decay.l1 > 0.0).then(|| scalar(decay.l1)).into(),
            decay.cautious,
            decay.towards_start,
            step_size < 0.0,
            match decay.stochastic {
                // It is the f32 numbers that are rounded at random.
                true if master.is_some() => fraction_bits(DType::F32),
                true => fraction_bits(parameter.dtype),
                false => 0,
            },
        );
        let rounding = Rounding::new(time, 0).at(0);
        let tensors = || {
            let weights = [&parameter, &updated].into_iter();
            weights.chain(&start).chain(&master).chain(&moments)
        };
        if precision != MomentPrecision::Full {
            cube_codes::launch::<R::Kernel>(
                precision,
                &parameter,
                &updated,
                start.as_ref(),
                master.as_ref(),
                &moments,
                decay,
                scalar(step_size),
                rule.scalars(arithmetic),
                rounding,
            );
            return Stepped {
                parameter: updated,
                moments,
                master,
            };
        }
        let vector_size = tensors().map(vector_size).min().unwrap_or(1);
        let addresses = tensors().map(CubeTensor::required_address_type).max();
        let client = &parameter.client;
        let vectors = parameter.meta.num_elements() / vector_size;
        // Half as many units, with twice the work, pay where each costs as much as its work.
        let parts = if vectors.is_multiple_of(2) { 2 } else { 1 };
        let units = vectors / parts;
        let cube_dim = CubeDim::new(client, units);
        let cube_count = calculate_cube_count_elemwise(client, units, cube_dim);
        update::launch::<R::Kernel>(
            client,
            cube_count,
            cube_dim,
            addresses.unwrap_or_default(),
            vector_size,
            parameter.clone().into_linear_view(),
            updated.clone().into_linear_view(),
            views(&start),
            views(&master),
            views(&moments),
            decay,
            scalar(step_size),
            rule.scalars(arithmetic),
            rounding,
            parts,
            parameter.dtype == DType::BF16,
            [parameter.dtype, arithmetic].map(dtype_to_elem_type),
        );
        Stepped {
            parameter: updated,
            moments,
            master,
        }
    }
}

/// Of as many tensors as there are.
pub(super) fn views<'a, V: FromIterator<LinearViewLaunch>>(
    tensors: impl IntoIterator<Item = &'a CubeTensor>,
) -> V {
    let tensors = tensors.into_iter().cloned();
    tensors.map(CubeTensor::into_linear_view).collect()
}

/// A scalar in the precision of the arithmetic.
pub(super) fn scalar(value: f64, arithmetic: DType) -> InputScalar {
    InputScalar::new(value, dtype_to_elem_type(arithmetic))
}

/// The tensor, in memory that nobody else holds.
fn writable(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous_aligned(tensor);
    if tensor.can_mut() && tensor.is_nonoverlapping() {
        tensor
    } else {
        tensor.copy()
    }
}

/// How many elements a unit takes at a time. What is contiguous is one row, whatever its shape.
pub(super) fn vector_size(tensor: &CubeTensor) -> VectorSize {
    let sizes = tensor.client.io_optimized_vector_sizes(tensor.dtype.size());
    if tensor.is_contiguous() {
        let elements = tensor.meta.num_elements();
        sizes
            .into_iter()
            .find(|size| elements.is_multiple_of(*size))
            .unwrap_or(1)
    } else {
        let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
        tensor_vector_size_parallel(sizes, shape, strides, shape.num_dims() - 1)
    }
}

/// A unit steps one vector in each part of the tensors, so that neighbours stay neighbours in memory.
#[cube(launch, address_type = "dynamic")]
fn update<P: Float, A: Float, S: Size, R: Kernel>(
    parameter: LinearView<'_, Vector<P, S>>,
    mut gradient: LinearViewMut<'_, Vector<P, S>>,
    start: Sequence<LinearView<'static, Vector<P, S>>>,
    mut master: Sequence<LinearViewMut<'static, Vector<A, S>>>,
    mut moments: Sequence<LinearViewMut<'static, Vector<A, S>>>,
    decay: DecayScalars,
    step_size: InputScalar,
    scalars: R::Scalars,
    rounding: u32,
    #[comptime] parts: usize,
    #[comptime] in_bf16: bool,
    #[define(P, A)] _dtypes: [ElemType; 2],
) {
    let part = gradient.shape() / parts;
    if ABSOLUTE_POS >= part {
        terminate!();
    }
    let count = comptime!(moments.len());
    // All reads come before the first write, so that they are under way together.
    let mut thetas = Sequence::<Vector<A, S>>::new();
    let mut targets = Sequence::<Vector<A, S>>::new();
    let mut gradients = Sequence::<Vector<A, S>>::new();
    let mut next = Sequence::<Sequence<Vector<A, S>>>::new();
    #[unroll]
    for i in 0..parts {
        let place = ABSOLUTE_POS + i * part;
        if comptime!(master.len() == 1) {
            let master = master.index(0).read(place);
            thetas.push(master_of(parameter.read(place), master, in_bf16));
        } else {
            thetas.push(Vector::cast_from(parameter.read(place)));
        }
        if comptime!(start.len() == 1) {
            targets.push(Vector::cast_from(start.index(0).read(place)));
        } else {
            targets.push(Vector::zero());
        }
        gradients.push(Vector::cast_from(gradient.read(place)));
        let mut here = Sequence::<Vector<A, S>>::new();
        #[unroll]
        for j in 0..count {
            here.push(moments.index(j).read(place));
        }
        next.push(here);
    }
    #[unroll]
    for i in 0..parts {
        let place = ABSOLUTE_POS + i * part;
        let next = next.index_mut(i);
        let updated = stepped::<A, S, R>(
            *thetas.index(i),
            *targets.index(i),
            *gradients.index(i),
            next,
            &decay,
            &step_size,
            &scalars,
            random_of(rounding, place * S::value()),
        );
        if comptime!(master.len() == 1) {
            master.index_mut(0).write(place, updated);
            gradient.write(place, rounded(updated, in_bf16));
        } else {
            gradient.write(place, Vector::cast_from(updated));
        }
        #[unroll]
        for j in 0..count {
            moments.index_mut(j).write(place, *next.index(j));
        }
    }
}

/// The master weights of a parameter: it is its own where someone has changed it.
#[cube]
pub(super) fn master_of<P: Float, A: Float, S: Size>(
    parameter: Vector<P, S>,
    master: Vector<A, S>,
    #[comptime] in_bf16: bool,
) -> Vector<A, S> {
    let wide = Vector::<A, S>::cast_from(parameter);
    // Numbers in bf16 can be compared as f32 alone. Those in f16 are compared as they are: where a rounding is
    // widened again, some drivers leave it out.
    if comptime!(in_bf16) {
        let is_its_rounding = rounded_to_bf16(master).equal(&wide);
        select_many(is_its_rounding, master, wide)
    } else {
        let is_its_rounding = Vector::<P, S>::cast_from(master).equal(&parameter);
        select_many(is_its_rounding, master, wide)
    }
}

/// As `round` in master.rs has it.
#[cube]
pub(super) fn rounded<P: Float, A: Float, S: Size>(
    master: Vector<A, S>,
    #[comptime] in_bf16: bool,
) -> Vector<P, S> {
    if comptime!(in_bf16) {
        Vector::cast_from(rounded_to_bf16(master))
    } else {
        Vector::cast_from(master)
    }
}

/// As `split` in master.rs has it.
#[cube]
fn rounded_to_bf16<A: Float, S: Size>(number: Vector<A, S>) -> Vector<A, S> {
    let bits = Vector::<u32, S>::reinterpret(Vector::<f32, S>::cast_from(number));
    let rounded = (bits + Vector::new(0x8000u32)) & Vector::new(0xffff_0000u32);
    let magnitude = bits & Vector::new(0x7fff_ffffu32);
    let is_number = magnitude.less_than(&Vector::new(0x7f80_0001u32));
    Vector::cast_from(Vector::<f32, S>::reinterpret(select_many(
        is_number, rounded, bits,
    )))
}

/// The new θ. The moments become the next ones.
#[cube]
pub(super) fn stepped<A: Float, S: Size, R: Kernel>(
    theta: Vector<A, S>,
    target: Vector<A, S>,
    g: Vector<A, S>,
    moments: &mut Sequence<Vector<A, S>>,
    decay: &DecayScalars,
    step_size: &InputScalar,
    scalars: &R::Scalars,
    random: u32,
) -> Vector<A, S> {
    let mut distance = theta;
    if comptime!(decay.towards_start) {
        distance = theta - target;
    }
    let g = g + Vector::new(decay.l2_penalty.get::<A>()) * distance;
    let direction = R::direction::<A, S>(g, moments, scalars);
    let mut decayed = Vector::new(decay.decoupled.get::<A>()) * distance;
    if comptime!(decay.cautious) {
        let zero = Vector::<A, S>::zero();
        // Adam's first moment; SGD's direction is itself what counts.
        let mut of_sign = direction;
        if comptime!(moments.len() > 1) {
            of_sign = *moments.index(0);
        }
        let counts = of_sign
            .abs()
            .greater_equal(&Vector::new(A::new(SMALLEST_MOMENT)));
        let mut update = direction;
        if comptime!(decay.ascends) {
            update = zero - direction;
        }
        let down = distance
            .greater_than(&zero)
            .vec_and(update.less_than(&zero));
        let up = distance
            .less_than(&zero)
            .vec_and(update.greater_than(&zero));
        let spared = down.or(up).vec_and(counts);
        decayed = select_many(spared, zero, decayed);
    }
    let update = Vector::new(step_size.get::<A>()) * direction;
    let left = distance - (update + decayed);
    #[comptime]
    if let ComptimeOption::Some(l1) = &decay.l1 {
        let l1 = Vector::<A, S>::new(l1.get::<A>());
        decayed += select_many(left.less_than(&Vector::zero()), -l1, l1);
    }
    let mut updated = theta - (update + decayed);
    if comptime!(decay.random_bits > 0) {
        let noise = noise_at::<A, S>(updated, update + decayed, random);
        updated = theta - (update + (decayed - noise));
    }
    if comptime!(decay.random_bits > 0 && decay.random_bits < 23) {
        updated = with_bits::<A, S>(updated, random, decay.random_bits);
    }
    #[comptime]
    if let ComptimeOption::Some(l1) = &decay.l1 {
        let l1 = Vector::<A, S>::new(l1.get::<A>());
        // What is left, or what rounding makes of it, may be on the other side of the target.
        let zero = Vector::<A, S>::zero();
        let up = updated.greater_than(&target).vec_and(left.less_than(&zero));
        let down = updated.less_than(&target).vec_and(left.greater_than(&zero));
        let is_at_target = left.abs().less_than(&l1).or(up).or(down);
        updated = select_many(is_at_target, target, updated);
    }
    updated
}

/// What decides about the rounding of element `i`, as in [`Rounding`].
#[cube]
pub(super) fn random_of(rounding: u32, i: usize) -> u32 {
    rounding + u32::cast_from(i) * comptime!(Rounding::BY_ELEMENT)
}

/// From minus a half to a half of the distance from a number to the next one in f32, or from the change that
/// leads there, where that is larger.
#[cube]
#[allow(clippy::manual_rotate, reason = "a kernel has no rotation")]
fn noise_at<A: Float, S: Size>(
    number: Vector<A, S>,
    change: Vector<A, S>,
    random: u32,
) -> Vector<A, S> {
    let zero = Vector::<f32, S>::zero();
    let number = Vector::<f32, S>::cast_from(number);
    let mut noise = Vector::<f32, S>::empty();
    #[unroll]
    for lane in 0..S::value() {
        // As `fraction` in rounding.rs has it, of the lower bits first.
        let random = random_of(random, lane);
        let rotated = (random << 16u32) | (random >> 16u32);
        let odd = f32::cast_from((rotated >> 9u32) * 2u32 + 1u32);
        noise.insert(lane, odd * comptime!(0.5f32.powi(24)) - 0.5f32);
    }
    // Outwards it is not that inwards at a power of two.
    let outwards = noise.greater_than(&zero).or(number.equal(&zero));
    let bits = Vector::<u32, S>::reinterpret(number);
    let one = Vector::new(1u32);
    let next = Vector::<f32, S>::reinterpret(select_many(outwards, bits + one, bits - one));
    let distance = next - number;
    let change = Vector::<f32, S>::cast_from(change).abs();
    let bits_of_change = Vector::<u32, S>::reinterpret(change);
    let of_change = Vector::<f32, S>::reinterpret(bits_of_change + one) - change;
    let larger = max(distance.abs(), of_change);
    let distance = select_many(distance.less_than(&zero), zero - larger, larger);
    // At the largest number and beyond there is none.
    let exponent = Vector::new(0x7f00_0000u32);
    let largest = max(bits & Vector::new(0x7f80_0000u32), bits_of_change);
    let has_next = largest.less_than(&exponent);
    Vector::cast_from(select_many(has_next, noise.abs() * distance, zero))
}

/// The number with so many bits after the point, stochastically rounded.
#[cube]
fn with_bits<A: Float, S: Size>(
    number: Vector<A, S>,
    random: u32,
    #[comptime] fraction_bits: u32,
) -> Vector<A, S> {
    let dropped = comptime!(23 - fraction_bits);
    let bits = Vector::<u32, S>::reinterpret(Vector::<f32, S>::cast_from(number));
    let mut randoms = Vector::<u32, S>::empty();
    #[unroll]
    for lane in 0..S::value() {
        randoms.insert(lane, random_of(random, lane) >> comptime!(32 - dropped));
    }
    // In magnitude up where they carry.
    let kept = comptime!(!((1u32 << dropped) - 1));
    let rounded = (bits + randoms) & Vector::new(kept);
    let exponent = Vector::new(0x7f80_0000u32);
    // Neither does a finite number become infinite, in f16 above 65,504, nor an infinite one another.
    let infinite = comptime!(if fraction_bits == 10 {
        0x4780_0000u32
    } else {
        0x7f80_0000
    });
    let has_next = (rounded & Vector::new(0x7fff_ffffu32)).less_than(&Vector::new(infinite));
    let rounded = select_many(has_next, rounded, bits & Vector::new(kept));
    let is_finite = (bits & exponent).less_than(&exponent);
    Vector::cast_from(Vector::<f32, S>::reinterpret(select_many(
        is_finite, rounded, bits,
    )))
}

/// The bits after the point of numbers in `dtype`.
fn fraction_bits(dtype: DType) -> u32 {
    match dtype {
        DType::F16 => 10,
        DType::BF16 => 7,
        DType::F32 => 23,
        other => unreachable!("{other:?} is not rounded at random in a kernel"),
    }
}

#[derive(CubeType, CubeLaunch)]
pub(super) struct DecayScalars {
    l2_penalty: InputScalar,
    decoupled: InputScalar,
    l1: ComptimeOption<InputScalar>,
    #[cube(comptime)]
    cautious: bool,
    #[cube(comptime)]
    towards_start: bool,
    /// Whether the step size is negative.
    #[cube(comptime)]
    ascends: bool,
    /// The bits after the point of a parameter that is rounded at random; 0 of another.
    #[cube(comptime)]
    random_bits: u32,
}

/// What a rule's kernel is launched with.
pub(super) type Scalars<K> = RuntimeArg<<K as Kernel>::Scalars>;

/// A rule's direction, as a part of the kernel.
#[cube]
pub(crate) trait Kernel: 'static + Send + Sync {
    /// What it computes with.
    type Scalars: LaunchArg;

    fn direction<A: Float, S: Size>(
        g: Vector<A, S>,
        moments: &mut Sequence<Vector<A, S>>,
        scalars: &Self::Scalars,
    ) -> Vector<A, S>;
}

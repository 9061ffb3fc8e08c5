//! The memory of a running average: one flat vector on the host, in the order of a network's parameters.

use std::collections::HashMap;
use std::ops::Range;

use burn::Tensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, TensorData, bf16};

use crate::checkpoint::{SavedTensor, State, StateError};
use crate::models::ParamLayout;
use crate::models::buffers::is_trainable;

/// Numbers of a parameter that are read at a time: what is read then stays in the processor's second cache until every
/// average has taken it in.
const BLOCK: usize = 1 << 15;

/// The numbers that a shadow is kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ShadowPrecision {
    /// f32 whatever the network trains in, and f64 where it trains in f64.
    #[default]
    Full,
    /// 8 bits of significand: half the memory, for averages that take in at least 2^-8 an update.
    Bf16,
}

/// The vector itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shadow {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bf16(Vec<bf16>),
}

impl Shadow {
    /// Zeros, for the parameters of `layout`.
    pub(super) fn zeros(precision: ShadowPrecision, layout: &ParamLayout) -> Self {
        let count = layout.num_params();
        match precision {
            ShadowPrecision::Bf16 => Self::Bf16(vec![bf16::ZERO; count]),
            ShadowPrecision::Full if layout.is_narrow() => Self::F32(vec![0.0; count]),
            ShadowPrecision::Full => Self::F64(vec![0.0; count]),
        }
    }

    /// y ← y + intake (x − y) on the part that begins at `offset`; an intake of 1 copies.
    ///
    /// Written as a difference, so that an average of equal iterates is that iterate to the last bit.
    fn blend(&mut self, offset: usize, values: &Values<'_>, intake: f64) {
        match (self, values) {
            (Self::F32(own), Values::F32(x)) => mix(part(own, offset, x.len()), x, intake as f32, |x| x),
            (Self::F32(own), Values::F64(x)) => mix(part(own, offset, x.len()), x, intake as f32, |x| x as f32),
            (Self::F64(own), Values::F64(x)) => mix(part(own, offset, x.len()), x, intake, |x| x),
            (Self::F64(own), Values::F32(x)) => mix(part(own, offset, x.len()), x, intake, f64::from),
            (Self::Bf16(own), Values::F32(x)) => mix_bf16(part(own, offset, x.len()), x, intake as f32, |x| x),
            (Self::Bf16(own), Values::F64(x)) => mix_bf16(part(own, offset, x.len()), x, intake as f32, |x| x as f32),
        }
    }

    /// The numbers of a range as data for a tensor.
    fn data(&self, range: Range<usize>) -> Option<TensorData> {
        let count = [range.len()];
        match self {
            Self::F32(own) => own.get(range).map(|own| TensorData::new(own.to_vec(), count)),
            Self::F64(own) => own.get(range).map(|own| TensorData::new(own.to_vec(), count)),
            Self::Bf16(own) => {
                let widened = |own: &[bf16]| own.iter().map(|number| number.to_f32()).collect::<Vec<f32>>();
                own.get(range).map(|own| TensorData::new(widened(own), count))
            }
        }
    }

    /// `network` with the shadow's numbers, in its own precision and on its own device.
    pub(super) fn assign_to<M: Module>(&self, network: M) -> M {
        let layout = ParamLayout::of(&network);
        let places = layout.parts().map(|(_, id, range)| (id, range)).collect();
        network.map(&mut Assign { shadow: self, places })
    }

    /// Puts the numbers under `name/` with a tensor a parameter; bf16 is widened, which loses nothing.
    pub(super) fn save(&self, state: &mut State, name: &str, layout: &ParamLayout) {
        for (path, _, range) in layout.parts() {
            let count = range.len();
            if let Some(data) = self.data(range) {
                state.put_tensor(&format!("{name}/{path}"), SavedTensor::from_data(vec![count], data));
            }
        }
    }

    /// Takes the numbers that [`Shadow::save`] stored.
    pub(super) fn load(
        state: &State,
        name: &str,
        precision: ShadowPrecision,
        layout: &ParamLayout,
    ) -> Result<Self, StateError> {
        let mut shadow = Self::zeros(precision, layout);
        for (path, _, range) in layout.parts() {
            let saved = state.flat_tensor(&format!("{name}/{path}"), range.len())?;
            shadow.blend(range.start, &Values::F64(&saved.to_numbers()), 1.0);
        }
        Ok(shadow)
    }
}

/// Numbers of a network as they were read.
enum Values<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

/// Takes the parameters of `network` into every shadow, each with its share, in one pass over memory.
pub(super) fn blend<M: Module>(shadows: &mut [(&mut Shadow, f64)], network: &M) {
    network.visit(&mut Blend { shadows, offset: 0 });
}

struct Blend<'a, 'b> {
    shadows: &'a mut [(&'b mut Shadow, f64)],
    offset: usize,
}

impl Blend<'_, '_> {
    fn take(&mut self, data: TensorData) {
        let count = data.num_elements();
        match data.dtype() {
            DType::F64 => self.spread(data.as_slice::<f64>().ok().map(Values::F64)),
            DType::F32 => self.spread(data.as_slice::<f32>().ok().map(Values::F32)),
            _ => self.spread(data.convert_dtype(DType::F32).as_slice::<f32>().ok().map(Values::F32)),
        }
        self.offset += count;
    }

    fn spread(&mut self, values: Option<Values<'_>>) {
        let Some(values) = values else { return };
        for (shadow, intake) in self.shadows.iter_mut() {
            shadow.blend(self.offset, &values, *intake);
        }
    }
}

impl ModuleVisitor for Blend<'_, '_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !is_trainable(param) {
            return;
        }
        let value = param.val();
        let value = if value.is_autodiff() { value.inner() } else { value };
        let count = value.shape().num_elements();
        let flat: Tensor<1> = value.reshape([count]);
        if count <= BLOCK {
            return self.take(flat.into_data());
        }
        for start in (0..count).step_by(BLOCK) {
            let end = (start + BLOCK).min(count);
            self.take(flat.clone().narrow(0, start, end - start).into_data());
        }
    }
}

struct Assign<'a> {
    shadow: &'a Shadow,
    places: HashMap<ParamId, Range<usize>>,
}

impl ModuleMapper for Assign<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let data = self.places.get(&param.id).and_then(|range| self.shadow.data(range.clone()));
        let Some(data) = data else { return param };
        param.map(|old| {
            let new: Tensor<1> = Tensor::from_data(data, (&old.device(), old.dtype()));
            new.reshape(old.shape()).set_require_grad(old.is_require_grad())
        })
    }
}

/// The part of a shadow that `count` numbers from `offset` on fall into; empty where a network has grown.
fn part<T>(own: &mut [T], offset: usize, count: usize) -> &mut [T] {
    own.get_mut(offset..offset + count).unwrap_or_default()
}

/// Where a number type has the arithmetic of a blend.
trait Number:
    Copy + std::ops::Add<Output = Self> + std::ops::Sub<Output = Self> + std::ops::Mul<Output = Self> + PartialEq
{
    const ONE: Self;
}

impl Number for f32 {
    const ONE: Self = 1.0;
}

impl Number for f64 {
    const ONE: Self = 1.0;
}

fn mix<T: Number, X: Copy>(own: &mut [T], x: &[X], intake: T, convert: impl Fn(X) -> T) {
    if intake == T::ONE {
        own.iter_mut().zip(x).for_each(|(own, &x)| *own = convert(x));
    } else {
        own.iter_mut().zip(x).for_each(|(own, &x)| *own = *own + intake * (convert(x) - *own));
    }
}

fn mix_bf16<X: Copy>(own: &mut [bf16], x: &[X], intake: f32, convert: impl Fn(X) -> f32) {
    for (own, &x) in own.iter_mut().zip(x) {
        let before = own.to_f32();
        *own = bf16::from_f32(if intake == 1.0 { convert(x) } else { before + intake * (convert(x) - before) });
    }
}

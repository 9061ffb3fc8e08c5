//! Numbers that the kernels and Burn's flex backend share, and tensors of them.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, TensorData};
use stepscope_kernels::{Channels, Element};

/// A number type of the kernels as Burn knows it.
pub(super) trait FlexFloat: Element {
    /// Its name in Burn.
    const DTYPE: DType;
    /// The numbers of a contiguous tensor of this type.
    fn read(tensor: &FlexTensor) -> &[Self];
    /// The numbers of a tensor, to be changed, if nobody else holds them and they lie in order.
    fn write(tensor: &mut FlexTensor) -> Option<&mut [Self]>;
    /// A tensor of these numbers.
    fn tensor(values: Vec<Self>, shape: &[usize]) -> FlexTensor;
}

macro_rules! flex_float {
    ($float:ty, $dtype:expr) => {
        impl FlexFloat for $float {
            const DTYPE: DType = $dtype;

            fn read(tensor: &FlexTensor) -> &[Self] {
                // Contiguous and of this type: `ready` has seen to it.
                tensor.as_slice::<$float>().unwrap_or_default()
            }

            fn write(tensor: &mut FlexTensor) -> Option<&mut [Self]> {
                let (first, end) = tensor.layout().contiguous_offsets()?;
                tensor.try_storage_mut::<$float>()?.get_mut(first..end)
            }

            fn tensor(values: Vec<Self>, shape: &[usize]) -> FlexTensor {
                FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
            }
        }
    };
}

flex_float!(f32, DType::F32);
flex_float!(f64, DType::F64);

/// The tensor as [`FlexFloat::read`] takes it: of the type `E`, its numbers in order.
pub(super) fn ready<E: FlexFloat>(tensor: FlexTensor) -> FlexTensor {
    let tensor = if tensor.dtype() == E::DTYPE { tensor } else { Flex::float_cast(tensor, E::DTYPE.into()) };
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The tensor with its numbers changed: where they are, if nobody else holds them, else in new memory.
pub(super) fn changed<E: FlexFloat>(
    tensor: FlexTensor,
    change: impl FnOnce(&mut [E]),
    new: impl FnOnce(&[E]) -> Vec<E>,
) -> FlexTensor {
    let mut tensor = ready::<E>(tensor);
    if let Some(values) = E::write(&mut tensor) {
        change(values);
        return tensor;
    }
    E::tensor(new(E::read(&tensor)), &tensor.shape().to_vec())
}

/// The same with the numbers of another tensor of this shape.
pub(super) fn changed_by<E: FlexFloat>(
    tensor: FlexTensor,
    other: FlexTensor,
    change: impl FnOnce(&mut [E], &[E]),
    new: impl FnOnce(&[E], &[E]) -> Vec<E>,
) -> FlexTensor {
    let other = ready::<E>(other);
    let other = E::read(&other);
    changed::<E>(tensor, |values| change(values, other), |values| new(values, other))
}

/// The channels of `[batch, channels, ...]`.
pub(super) fn layout(tensor: &FlexTensor) -> Channels {
    let shape = tensor.shape().to_vec();
    Channels { channels: shape.get(1).copied().unwrap_or(1), pixels: shape.iter().skip(2).product() }
}

/// Runs an expression with the type `$float` that kernels compute this tensor's numbers in: f64, or f32 for all others.
macro_rules! in_float_of {
    ($tensor:expr, $float:ident => $work:expr) => {
        match $tensor.dtype() {
            burn::tensor::DType::F64 => {
                type $float = f64;
                $work
            }
            _ => {
                type $float = f32;
                $work
            }
        }
    };
}
pub(super) use in_float_of;

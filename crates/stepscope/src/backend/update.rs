//! The passes of an optimizer over weights, in place.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use stepscope_kernels as kernels;
use stepscope_kernels::Element;

use super::flex_float::{FlexFloat, changed, in_float_of, ready};
use super::is_ours;

/// scale · a + factor · b, for tensors of one shape that record nothing for a backward pass. Where nobody else holds a, the result
/// is written in its place.
pub(crate) fn scale_and_add<const D: usize>(a: Tensor<D>, scale: f64, factor: f64, b: Tensor<D>) -> Tensor<D> {
    if !is_ours(&a) || a.is_autodiff() {
        return a * scale + b * factor;
    }
    Tensor::from_dispatch(<Dispatch as UpdateOps>::scale_and_add(a.into_dispatch(), scale, factor, b.into_dispatch()))
}

/// Sums of two scaled tensors.
#[backend_extension(Flex)]
pub(crate) trait UpdateOps: Backend {
    /// scale · a + factor · b.
    fn scale_and_add(a: FloatTensor<Self>, scale: f64, factor: f64, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl UpdateOps for Flex {
    fn scale_and_add(a: FlexTensor, scale: f64, factor: f64, b: FlexTensor) -> FlexTensor {
        in_float_of!(a, E => {
            let b = ready::<E>(b);
            let b = E::read(&b);
            let (scale, factor) = (E::narrow(scale), E::narrow(factor));
            changed::<E>(a, |a| kernels::scale_and_add(a, scale, factor, b), |a| {
                let mut sum = a.to_vec();
                kernels::scale_and_add(&mut sum, scale, factor, b);
                sum
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::twins::numbers;
    use super::*;

    #[test]
    fn a_sum_is_written_in_place_only_where_nobody_else_holds_the_numbers() {
        for count in [5, 100_000] {
            let tensor = |seed: usize| Tensor::<1>::from_data(numbers([count], seed), &Device::flex());
            let (a, b) = (tensor(1), tensor(2));
            let before = a.clone().into_data();
            let sum = scale_and_add(a.clone(), 0.5, -2.0, b.clone());
            assert_eq!(a.clone().into_data(), before);
            let expected = (a * 0.5 + b.clone() * -2.0).into_data();
            assert_eq!(sum.into_data(), expected);
            assert_eq!(scale_and_add(tensor(1), 0.5, -2.0, b).into_data(), expected);
        }
    }
}

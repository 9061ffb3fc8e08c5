//! Networks in another floating-point type than the one they are trained in.

use burn::Tensor;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, FloatDType};

/// The module with every parameter and buffer in that floating-point type, detached from what they were computed from. Places
/// in memory, devices and what requires gradients stay.
pub fn in_precision<M: Module>(module: M, dtype: DType) -> M {
    module.map(&mut Cast { dtype })
}

/// The tensor in that type; itself, where it has it.
pub(crate) fn cast_to<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    if tensor.dtype() == dtype { tensor } else { tensor.cast(FloatDType::from(dtype)) }
}

struct Cast {
    dtype: DType,
}

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| {
            let (tracked, requires_grad) = (old.is_autodiff(), old.is_require_grad());
            let plain = if tracked { old.inner() } else { old };
            let new = cast_to(plain, self.dtype);
            if tracked { Tensor::from_inner(new).set_require_grad(requires_grad) } else { new }
        })
    }
}

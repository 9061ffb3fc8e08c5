//! What a forward pass needs beside the weights: the direction in weight space that it follows.

use burn::Tensor;
use burn::module::Param;

use super::{Dual, ParamTensors};

/// The context of a forward pass.
///
/// A layer asks it for its parameters with [`Pass::param`]. A pass of [`Pass::values`] hands out values, a pass
/// along a direction of [`Pass::along`] hands out
/// values with tangents, so one definition of a network serves both.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    direction: Option<ParamTensors>,
}

impl Pass {
    /// A plain forward pass.
    pub fn values() -> Self {
        Self::default()
    }

    /// A forward pass along `direction`: every parameter comes with its part as its tangent.
    pub fn along(direction: ParamTensors) -> Self {
        Self { direction: Some(direction) }
    }

    /// The parameter, with its tangent if this pass follows a direction.
    pub fn param<const D: usize>(&self, param: &Param<Tensor<D>>) -> Dual<D> {
        let value = param.val();
        let part = self.direction.as_ref().and_then(|direction| direction.get(param.id));
        let tangent = part.map(|flat| flat.clone().reshape(value.shape()));
        Dual { value, tangent }
    }
}

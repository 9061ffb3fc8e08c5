//! A vector in weight space that lives where the network lives.

use std::collections::HashMap;

use burn::Tensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Gradients};

use super::buffers::is_trainable;
use super::precision::cast_to;
use crate::backend;

/// One flat tensor for each parameter of a network: a gradient, a velocity, a direction, an average.
///
/// [`buffers`](super::buffers) such as running statistics have none: they keep their values where a network is displaced
/// or assigned to.
///
/// Tensors are plain (they record nothing for a backward pass). Use [`ParamLayout`](super::ParamLayout) instead
/// where a vector on the host in f64 is wanted.
#[derive(Debug, Clone, Default)]
pub struct ParamTensors {
    tensors: HashMap<ParamId, Tensor<1>>,
}

impl ParamTensors {
    /// θ of `module`. Shares memory with the module until either changes.
    pub fn values<M: Module>(module: &M) -> Self {
        let mut visitor = Take { tensors: HashMap::new(), gradients: None, buffers: false };
        module.visit(&mut visitor);
        Self { tensors: visitor.tensors }
    }

    /// The [`buffers`](super::buffers) of `module`, which no other vector has. Shares memory with the module until either
    /// changes.
    pub(crate) fn buffers<M: Module>(module: &M) -> Self {
        let mut visitor = Take { tensors: HashMap::new(), gradients: None, buffers: true };
        module.visit(&mut visitor);
        Self { tensors: visitor.tensors }
    }

    /// The gradient that a backward pass left for every parameter of `module`; parameters without one are left out.
    pub fn gradient<M: Module>(module: &M, gradients: &mut Gradients) -> Self {
        let mut visitor = Take { tensors: HashMap::new(), gradients: Some(gradients), buffers: false };
        module.visit(&mut visitor);
        Self { tensors: visitor.tensors }
    }

    /// (θ_before − θ_after) / `learning_rate`: the direction v of a step θ ← θ − η v that any optimizer took, for
    /// [`measure`](crate::control::line_search::measure). Known to the rounding of θ over the length of the step.
    pub fn direction_of<M: Module>(before: &M, after: &M, learning_rate: f64) -> Self {
        let inverse = 1.0 / learning_rate;
        let mut direction = Self::values(before);
        direction.scale_and_add(inverse, -inverse, &Self::values(after));
        direction
    }

    /// The part that belongs to a parameter.
    pub fn get(&self, id: ParamId) -> Option<&Tensor<1>> {
        self.tensors.get(&id)
    }

    /// self ← scale · self + factor · other. Parameters that only `other` has are taken over, scaled.
    pub fn scale_and_add(&mut self, scale: f64, factor: f64, other: &Self) {
        for (id, addend) in &other.tensors {
            let own = self.tensors.remove(id);
            // A gradient that is measured in f64 meets a velocity of the training in f32.
            let dtype = own.as_ref().map_or(addend.dtype(), |own| wider(own.dtype(), addend.dtype()));
            let (own, addend) = (own.map(|own| cast_to(own, dtype)), cast_to(addend.clone(), dtype));
            let sum = match own {
                Some(own) => backend::scale_and_add(own, scale, factor, addend),
                None if factor == 1.0 => addend,
                None => addend * factor,
            };
            self.tensors.insert(*id, sum);
        }
    }

    /// The network at θ + factor · self.
    pub fn displace<M: Module>(&self, module: M, factor: f64) -> M {
        module.map(&mut Replace { with: self, factor: Some(factor) })
    }

    /// The network at these values. Parameters that are not in the vector keep theirs.
    pub fn assign_to<M: Module>(&self, module: M) -> M {
        module.map(&mut Replace { with: self, factor: None })
    }

    /// ‖self‖, accumulated in f64 over the parameters' own sums of squares.
    pub fn norm(&self) -> f64 {
        self.dot(self).sqrt()
    }

    /// ⟨self, other⟩ over the parameters that both have, accumulated in f64.
    pub fn dot(&self, other: &Self) -> f64 {
        let pairs = self.tensors.iter().filter_map(|(id, tensor)| Some((tensor, other.tensors.get(id)?)));
        let mut sums: Vec<f64> = pairs.map(|(a, b)| dot(a, b)).collect();
        // Sorted, because the order of a hash map differs from run to run and sums depend on it.
        sums.sort_by(f64::total_cmp);
        sums.iter().sum()
    }

    /// Σ |self_i|, accumulated in f64.
    pub fn l1_norm(&self) -> f64 {
        let one = |part: &Tensor<1>| dot(&part.clone().abs(), &part.ones_like());
        let mut sums: Vec<f64> = self.tensors.values().map(one).collect();
        sums.sort_by(f64::total_cmp);
        sums.iter().sum()
    }

    /// Each parameter's part changed by itself.
    #[must_use]
    pub fn map(self, change: impl Fn(ParamId, Tensor<1>) -> Tensor<1>) -> Self {
        Self { tensors: self.tensors.into_iter().map(|(id, part)| (id, change(id, part))).collect() }
    }

    /// The parts of the parameters that both have, put together by `combine`.
    #[must_use]
    pub fn zip(self, other: &Self, combine: impl Fn(Tensor<1>, Tensor<1>) -> Tensor<1>) -> Self {
        let both = |(id, part): (ParamId, Tensor<1>)| Some((id, combine(part, other.get(id)?.clone())));
        Self { tensors: self.tensors.into_iter().filter_map(both).collect() }
    }

    /// The parts of some parameters.
    #[must_use]
    pub fn filter(mut self, keep: impl Fn(ParamId) -> bool) -> Self {
        self.tensors.retain(|id, _| keep(*id));
        self
    }

    /// Whether there is no parameter in it.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}

/// ⟨a, b⟩. Parts come to the host one after the other: a whole weight matrix twice would be memory that nothing else in a step needs.
fn dot(a: &Tensor<1>, b: &Tensor<1>) -> f64 {
    const PART: usize = 1 << 20;
    let len = a.dims()[0];
    if len <= PART {
        return dot_on_host(a, b);
    }
    let part = |start: usize| {
        let range = start..(start + PART).min(len);
        dot_on_host(&a.clone().slice([range.clone()]), &b.clone().slice([range]))
    };
    (0..len).step_by(PART).map(part).sum()
}

fn dot_on_host(a: &Tensor<1>, b: &Tensor<1>) -> f64 {
    let (a, b) = (a.to_data(), b.to_data());
    match (a.as_slice::<f32>(), b.as_slice::<f32>()) {
        // By far the most frequent, and every update of some optimizers takes a norm: several sums at once, for the vector units.
        (Ok(a), Ok(b)) => {
            let (a, a_rest) = a.as_chunks::<8>();
            let (b, b_rest) = b.as_chunks::<8>();
            let mut sums = [0.0_f64; 8];
            for (a, b) in a.iter().zip(b) {
                sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += f64::from(*a) * f64::from(*b));
            }
            let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            sums.iter().sum::<f64>() + rest
        }
        _ => a.iter::<f64>().zip(b.iter::<f64>()).map(|(a, b)| a * b).sum(),
    }
}

impl FromIterator<(ParamId, Tensor<1>)> for ParamTensors {
    fn from_iter<I: IntoIterator<Item = (ParamId, Tensor<1>)>>(parts: I) -> Self {
        Self { tensors: parts.into_iter().collect() }
    }
}

struct Take<'a> {
    tensors: HashMap<ParamId, Tensor<1>>,
    gradients: Option<&'a mut Gradients>,
    buffers: bool,
}

impl ModuleVisitor for Take<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if is_trainable(param) == self.buffers {
            return;
        }
        let value = param.val();
        let count = value.shape().num_elements();
        let taken = match &mut self.gradients {
            Some(gradients) => value.grad_remove(gradients),
            None => Some(plain(value)),
        };
        if let Some(tensor) = taken {
            self.tensors.insert(param.id, tensor.reshape([count]));
        }
    }
}

struct Replace<'a> {
    with: &'a ParamTensors,
    factor: Option<f64>,
}

impl ModuleMapper for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(with) = self.with.get(param.id).cloned() else { return param };
        param.map(|old| {
            let (tracked, requires_grad) = (old.is_autodiff(), old.is_require_grad());
            let part = cast_to(with.reshape(old.shape()), old.dtype());
            let new = match self.factor {
                Some(factor) => backend::scale_and_add(plain(old), 1.0, factor, part),
                None => part,
            };
            if tracked { Tensor::from_inner(new).set_require_grad(requires_grad) } else { new }
        })
    }
}

fn wider(a: DType, b: DType) -> DType {
    if b == DType::F64 { b } else { a }
}

/// The tensor without what a backward pass would need.
fn plain<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.is_autodiff() { tensor.inner() } else { tensor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    /// Longer than the part that is brought to the host at a time, by an odd number.
    #[test]
    fn inner_products_of_long_vectors_leave_nothing_out() {
        let len = (1 << 20) + 3_usize;
        let device = backend::Backend::cpu(stepscope_types::spec::Precision::F32).plain();
        let vector = |of: &dyn Fn(usize) -> f32| {
            let values: Vec<f32> = (0..len).map(of).collect();
            ParamTensors::from_iter([(ParamId::from(1), Tensor::from_data(TensorData::new(values, [len]), &device))])
        };
        let a = vector(&|index| (index % 7) as f32);
        let b = vector(&|index| if index >= len - 2 { 100.0 } else { 1.0 });
        let expected: f64 = (0..len).map(|index| (index % 7) as f64 * if index >= len - 2 { 100.0 } else { 1.0 }).sum();
        assert_eq!(a.dot(&b), expected, "whole numbers, so that sums are exact");
    }
}

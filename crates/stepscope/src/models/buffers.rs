//! What a network holds beside its parameters: float tensors that no gradient reaches, such as running statistics and
//! fixed random features.
//!
//! They are Burn parameters that do not require gradients. Burn saves and moves them with the module;
//! [`ParamLayout`](super::ParamLayout) and [`ParamTensors`](super::ParamTensors) leave them out of vectors.

use std::collections::BTreeMap;

use burn::Tensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::TensorData;
use thiserror::Error;

/// Buffers that do not fit the network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BufferError {
    /// There is no such buffer.
    #[error("the network has no buffer {name}; it has {known:?}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A buffer of another size.
    #[error("buffer {name}: {got} numbers, expected {expected}")]
    Length {
        /// Its name.
        name: String,
        /// Numbers given.
        got: usize,
        /// Numbers it has.
        expected: usize,
    },
}

/// Every buffer of `module` by its path (`norm1.running_mean`), widened to f64, in the order of the module.
pub fn list<M: Module>(module: &M) -> Vec<(String, Vec<f64>)> {
    let mut visitor = List::default();
    module.visit(&mut visitor);
    visitor.found
}

/// The module with these buffers, in its own precision and on its own device; buffers not named keep their values.
///
/// # Errors
/// [`BufferError`] where a name or a length does not fit; `module` is then gone, so clone it if it is still wanted
/// (clones share memory).
pub fn set<M: Module>(module: M, buffers: &[(String, Vec<f64>)]) -> Result<M, BufferError> {
    let known = list(&module);
    for (name, values) in buffers {
        match known.iter().find(|(other, _)| other == name) {
            None => {
                let known = known.into_iter().map(|(name, _)| name).collect();
                return Err(BufferError::Unknown { name: name.clone(), known });
            }
            Some((_, old)) if old.len() != values.len() => {
                let (got, expected) = (values.len(), old.len());
                return Err(BufferError::Length { name: name.clone(), got, expected });
            }
            Some(_) => {}
        }
    }
    let values = buffers.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
    Ok(module.map(&mut Set { values, path: Vec::new() }))
}

/// Whether gradients may reach the parameter: whether it belongs to the parameter vector.
///
/// A network on the plain device requires no gradients at all; what counts there is what it would require on the tracked
/// one.
pub(crate) fn is_trainable<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    if param.val().is_autodiff() { param.is_require_grad() } else { param.clone().train().is_require_grad() }
}

#[derive(Default)]
struct List {
    found: Vec<(String, Vec<f64>)>,
    path: Vec<String>,
}

impl ModuleVisitor for List {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !is_trainable(param) {
            self.found.push((self.path.join("."), param.val().into_data().iter::<f64>().collect()));
        }
    }

    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
}

struct Set<'a> {
    values: BTreeMap<&'a str, &'a [f64]>,
    path: Vec<String>,
}

impl ModuleMapper for Set<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.values.get(self.path.join(".").as_str()) {
            Some(values) if !is_trainable(&param) => param.map(|old| {
                let data = TensorData::new(values.to_vec(), old.shape());
                Tensor::from_data(data, (&old.device(), old.dtype()))
            }),
            _ => param,
        }
    }

    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
}

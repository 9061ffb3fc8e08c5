//! A network's numbers by name: trained parameters, and whatever else its module keeps in tensors.

use std::collections::BTreeMap;

use burn::Tensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};

use super::SavedTensor;

/// Every floating-point tensor of a module under its path, running statistics included: `layers.0.weight`.
///
/// The names of enum variants are left out, so that a network is the same whether a choice of networks wraps it.
pub fn named_tensors<M: Module>(module: &M) -> BTreeMap<String, SavedTensor> {
    let mut visitor = Collect::default();
    module.visit(&mut visitor);
    visitor.tensors
}

/// The module with the tensors of that name.
///
/// # Errors
/// The first difference in words, where names, shapes or precision are not those of the module.
pub fn with_tensors<M: Module>(module: M, tensors: &BTreeMap<String, SavedTensor>) -> Result<M, String> {
    let own = named_tensors(&module);
    check(&own, tensors)?;
    Ok(module.map(&mut Replace { tensors, path: ModulePath::default() }))
}

/// What an architecture is: names, shapes and precision.
fn check(own: &BTreeMap<String, SavedTensor>, saved: &BTreeMap<String, SavedTensor>) -> Result<(), String> {
    let describe =
        |tensor: &SavedTensor| format!("{:?} of {}", tensor.shape(), if tensor.is_double() { "f64" } else { "f32" });
    for (name, tensor) in own {
        let expected = describe(tensor);
        match saved.get(name).map(describe) {
            None => return Err(format!("it has no {name}, where this network has {expected}")),
            Some(got) if got != expected => {
                return Err(format!("its {name} is {got}, where this network has {expected}"));
            }
            Some(_) => {}
        }
    }
    match saved.keys().find(|name| !own.contains_key(*name)) {
        Some(name) => Err(format!("it has {name}, which this network has not")),
        None => Ok(()),
    }
}

/// Where in a module a visit is.
#[derive(Debug, Default)]
pub(super) struct ModulePath {
    names: Vec<(String, String)>,
}

impl ModulePath {
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        self.names.push((name.to_owned(), container.to_owned()));
    }

    pub(super) fn exit(&mut self) {
        self.names.pop();
    }

    /// The path with dots, without variants of enums.
    pub(super) fn dotted(&self) -> String {
        let fields = self.names.iter().filter(|(_, container)| !container.starts_with("Enum:"));
        fields.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".")
    }

    /// The type whose field the visit is at: `Linear`.
    pub(super) fn owner(&self) -> &str {
        self.names.last().map_or("", |(_, container)| container.trim_start_matches("Struct:"))
    }
}

#[derive(Default)]
struct Collect {
    path: ModulePath,
    tensors: BTreeMap<String, SavedTensor>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors.insert(self.path.dotted(), SavedTensor::of(param.val()));
    }

    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }
}

struct Replace<'a> {
    tensors: &'a BTreeMap<String, SavedTensor>,
    path: ModulePath,
}

impl ModuleMapper for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(saved) = self.tensors.get(&self.path.dotted()) else { return param };
        param.map(|old| {
            let device = old.device();
            let new = saved.tensor(&device).reshape(old.shape());
            new.set_require_grad(old.is_require_grad())
        })
    }

    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }
}

//! The flat view of a network's parameters: module <-> vector.

use burn::Tensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, Gradients, TensorData};

use super::buffers::is_trainable;
use super::{ParamTensors, Pass};

/// Where every parameter of a network stands in one flat vector, in the order in which Burn visits the module.
///
/// Parameters that do not require gradients, such as running statistics, are [`buffers`](super::buffers) and not part of
/// the vector.
///
/// Vectors are f64 on the host whatever the network's precision and device: inner products of probes are then
/// exact to f64 rounding and do not depend on the device. Narrowing to f32 happens where a vector enters the
/// network.
#[derive(Debug, Clone)]
pub struct ParamLayout {
    entries: Vec<Entry>,
    num_params: usize,
    // Of the first parameter, if there is one: a network lives on one device in one precision.
    home: Option<(Device, DType)>,
}

#[derive(Debug, Clone)]
struct Entry {
    id: ParamId,
    path: String,
    offset: usize,
    len: usize,
}

impl ParamLayout {
    /// The layout of `module`.
    pub fn of<M: Module>(module: &M) -> Self {
        let mut visitor = Collect::default();
        module.visit(&mut visitor);
        let num_params = visitor.entries.last().map_or(0, |last| last.offset + last.len);
        Self { entries: visitor.entries, num_params, home: visitor.home }
    }

    /// D: the number of scalar parameters.
    pub fn num_params(&self) -> usize {
        self.num_params
    }

    /// Whether the network computes in a type narrower than f64.
    pub(crate) fn is_narrow(&self) -> bool {
        self.home.as_ref().is_some_and(|(_, dtype)| *dtype != DType::F64)
    }

    /// Whether the network's numbers have less than f32's 24 bits of significand.
    pub(crate) fn has_short_numbers(&self) -> bool {
        self.home.as_ref().is_some_and(|(_, dtype)| !matches!(dtype, DType::F64 | DType::F32))
    }

    /// The distance from 1 to the next number of the network's type.
    pub(crate) fn rounding_unit(&self) -> f64 {
        if self.is_narrow() { f64::from(f32::EPSILON) } else { f64::EPSILON }
    }

    /// Path and range of every parameter: `layers.0.weight`, `0..8192`.
    pub fn ranges(&self) -> impl Iterator<Item = (&str, std::ops::Range<usize>)> {
        self.entries.iter().map(|entry| (entry.path.as_str(), entry.offset..entry.offset + entry.len))
    }

    /// θ as a vector.
    pub fn values<M: Module>(&self, module: &M) -> Vec<f64> {
        let mut visitor = Values { out: Vec::with_capacity(self.num_params) };
        module.visit(&mut visitor);
        visitor.out
    }

    /// The network with parameters `values`, in its own precision and on its own device.
    ///
    /// `values` has [`ParamLayout::num_params`] entries; parameters beyond its end keep their value.
    pub fn assign<M: Module>(&self, module: M, values: &[f64]) -> M {
        module.map(&mut Assign { values, layout: self })
    }

    /// The gradient of a backward pass as a vector; parameters the loss does not depend on get zeros.
    pub fn gradient<M: Module>(&self, module: &M, gradients: &mut Gradients) -> Vec<f64> {
        let mut visitor = TakeGradient { out: Vec::with_capacity(self.num_params), gradients };
        module.visit(&mut visitor);
        visitor.out
    }

    /// A vector in weight space on the host; parameters it leaves out are zeros.
    pub fn vector(&self, params: &ParamTensors) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.num_params);
        for entry in &self.entries {
            match params.get(entry.id) {
                Some(tensor) => extend(&mut out, tensor.clone()),
                None => out.resize(out.len() + entry.len, 0.0),
            }
        }
        out
    }

    /// Path, id and range of every parameter.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&str, ParamId, std::ops::Range<usize>)> {
        self.entries.iter().map(|entry| (entry.path.as_str(), entry.id, entry.offset..entry.offset + entry.len))
    }

    /// The network's device, for values without derivatives; `None` for a network without parameters.
    pub(crate) fn plain_device(&self) -> Option<Device> {
        self.home.as_ref().map(|(device, _)| device.clone().inner())
    }

    /// A forward pass along `direction`, rounded to the network's precision.
    ///
    /// `direction` has [`ParamLayout::num_params`] entries.
    pub fn pass_along(&self, direction: &[f64]) -> Pass {
        let home = self.home.as_ref();
        Pass::along(home.map(|(device, dtype)| self.parts_on(direction, device, *dtype)).unwrap_or_default())
    }

    /// The parts of a vector, rounded to the network's precision, where the network lives; plain.
    ///
    /// `values` has [`ParamLayout::num_params`] entries.
    pub fn tensors(&self, values: &[f64]) -> ParamTensors {
        let home = self.home.as_ref();
        home.map(|(device, dtype)| self.parts_on(values, &device.clone().inner(), *dtype)).unwrap_or_default()
    }

    fn parts_on(&self, values: &[f64], device: &Device, dtype: DType) -> ParamTensors {
        let parts = self.entries.iter().filter_map(|entry| {
            let part = values.get(entry.offset..entry.offset + entry.len)?;
            Some((entry.id, tensor(part, device, dtype)))
        });
        parts.collect()
    }

    fn part<'a>(&self, id: ParamId, values: &'a [f64]) -> Option<&'a [f64]> {
        let entry = self.entries.iter().find(|entry| entry.id == id)?;
        values.get(entry.offset..entry.offset + entry.len)
    }
}

/// A vector as a tensor of that precision, rounded on the host.
fn tensor(values: &[f64], device: &Device, dtype: DType) -> Tensor<1> {
    let data = match dtype {
        DType::F64 => TensorData::new(values.to_vec(), [values.len()]),
        _ => TensorData::new(values.iter().map(|&v| v as f32).collect::<Vec<f32>>(), [values.len()]),
    };
    Tensor::from_data(data, (device, dtype))
}

/// Appends a tensor's elements, widened to f64.
fn extend<const D: usize>(out: &mut Vec<f64>, tensor: Tensor<D>) {
    let data = tensor.into_data();
    match data.as_slice::<f32>() {
        Ok(values) => out.extend(values.iter().map(|&v| f64::from(v))),
        Err(_) => out.extend(data.iter::<f64>()),
    }
}

#[derive(Default)]
struct Collect {
    entries: Vec<Entry>,
    path: Vec<String>,
    home: Option<(Device, DType)>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !is_trainable(param) {
            return;
        }
        let value = param.val();
        self.home.get_or_insert_with(|| (value.device(), value.dtype()));
        let offset = self.entries.last().map_or(0, |last| last.offset + last.len);
        self.entries.push(Entry { id: param.id, path: self.path.join("."), offset, len: value.shape().num_elements() });
    }

    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
}

struct Values {
    out: Vec<f64>,
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !is_trainable(param) {
            return;
        }
        extend(&mut self.out, param.val());
    }
}

struct TakeGradient<'a> {
    out: Vec<f64>,
    gradients: &'a mut Gradients,
}

impl ModuleVisitor for TakeGradient<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !is_trainable(param) {
            return;
        }
        let value = param.val();
        match value.grad_remove(self.gradients) {
            Some(gradient) => extend(&mut self.out, gradient),
            None => self.out.extend(std::iter::repeat_n(0.0, value.shape().num_elements())),
        }
    }
}

struct Assign<'a> {
    values: &'a [f64],
    layout: &'a ParamLayout,
}

impl ModuleMapper for Assign<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(part) = self.layout.part(param.id, self.values) else { return param };
        param.map(|old| {
            let new = tensor(part, &old.device(), old.dtype()).reshape(old.shape());
            new.set_require_grad(old.is_require_grad())
        })
    }
}

//! Weights out of and into safetensors files, with the names and layouts of a network's PyTorch twin.
//!
//! | here | in PyTorch |
//! |---|---|
//! | `Linear` weight `[inputs, outputs]` | `weight` `[outputs, inputs]` |
//! | `Conv2d` weight `[out, in, k, k]` | the same |
//! | `BatchNorm`, `GroupNorm`, `LayerNorm` `gamma`, `beta` | `weight`, `bias` |
//! | `BatchNorm` `running_mean`, `running_variance` | `running_mean`, `running_var` |
//!
//! Everything else keeps its name. The modules that load the files are written out in `docs/weights.md`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::Tensor;
use burn::module::{Module, ModuleVisitor, Param};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use thiserror::Error;

use super::network::{ModulePath, named_tensors, with_tensors};
use super::saved_tensor::SavedTensor;

/// Why weights cannot leave or enter. Every message begins with the file, where there is one.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The system refused.
    #[error("{file}: cannot be read ({source}): check that the file is there and that you may read it")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no safetensors file.
    #[error(
        "{file}: is no whole safetensors file ({reason}): save it with safetensors.torch.save_file(model.state_dict(), ...)"
    )]
    NotSafetensors {
        /// The file.
        file: String,
        /// What the reader says.
        reason: String,
    },
    /// Its tensors are not those of the network.
    #[error("{file}: has not the weights of this network: {reason}")]
    OtherNetwork {
        /// The file.
        file: String,
        /// The first difference, in PyTorch's names.
        reason: String,
    },
    /// The tensors cannot be written.
    #[error("the weights cannot be written down ({reason})")]
    Unwritable {
        /// What the writer says.
        reason: String,
    },
}

/// What a tensor of the network is called and how it lies in PyTorch.
struct Twin {
    path: String,
    name: String,
    is_transposed: bool,
}

/// The bytes of a safetensors file with every tensor of `network`, running statistics included, the same bytes for the
/// same weights.
///
/// # Errors
/// [`WeightsError::Unwritable`].
pub fn export_weights<M: Module>(network: &M) -> Result<Vec<u8>, WeightsError> {
    let unwritable = |error: safetensors::SafeTensorError| WeightsError::Unwritable { reason: error.to_string() };
    let tensors = named_tensors(network);
    let parts: Vec<(String, SavedTensor, Vec<u8>)> = twins(network)
        .into_iter()
        .filter_map(|twin| {
            let tensor = tensors.get(&twin.path)?;
            let tensor = if twin.is_transposed { transposed(tensor) } else { tensor.clone() };
            let bytes = tensor.to_bytes();
            Some((twin.name, tensor, bytes))
        })
        .collect();
    let mut views = Vec::with_capacity(parts.len());
    for (name, tensor, bytes) in &parts {
        let dtype = if tensor.is_double() { Dtype::F64 } else { Dtype::F32 };
        views.push((name.as_str(), TensorView::new(dtype, tensor.shape().to_vec(), bytes).map_err(unwritable)?));
    }
    // Some readers refuse files without it.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(views, Some(metadata)).map_err(unwritable)
}

/// `network` with the weights of a safetensors file, rounded to its precision.
///
/// # Errors
/// [`WeightsError`]: the file cannot be read, is no safetensors file, or its names, shapes or numbers are not those of
/// this network.
pub fn load_weights<M: Module>(network: M, path: &Path) -> Result<M, WeightsError> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| WeightsError::Unreadable { file: file.clone(), source })?;
    import_weights(network, &bytes, &file)
}

/// As [`load_weights`], from bytes; `file` stands in messages.
///
/// # Errors
/// As [`load_weights`].
pub fn import_weights<M: Module>(network: M, bytes: &[u8], file: &str) -> Result<M, WeightsError> {
    let mismatch = |reason: String| WeightsError::OtherNetwork { file: file.to_owned(), reason };
    let parts = SafeTensors::deserialize(bytes)
        .map_err(|error| WeightsError::NotSafetensors { file: file.to_owned(), reason: error.to_string() })?;
    let (own, twins) = (named_tensors(&network), twins(&network));
    let known = |name: &str| twins.iter().any(|twin| twin.name == name);
    // PyTorch counts batches beside running statistics; nothing here depends on the count.
    let extra =
        parts.names().into_iter().filter(|name| !name.ends_with("num_batches_tracked")).find(|name| !known(name));
    if let Some(extra) = extra {
        return Err(mismatch(format!("it has {extra}, which this network has not")));
    }
    let mut tensors = BTreeMap::new();
    for Twin { path, name, is_transposed } in twins {
        let view = parts.tensor(&name).map_err(|_| mismatch(format!("it has no {name}")))?;
        let is_double = match view.dtype() {
            Dtype::F64 => true,
            Dtype::F32 => false,
            other => return Err(mismatch(format!("its {name} holds {other:?}, expected F32 or F64"))),
        };
        let tensor = SavedTensor::from_bytes(view.shape().to_vec(), is_double, view.data())
            .ok_or_else(|| mismatch(format!("its {name} has another length than its shape says")))?;
        let tensor = if is_transposed { transposed(&tensor) } else { tensor };
        let Some(expected) = own.get(&path) else { continue };
        if tensor.shape() != expected.shape() {
            let in_pytorch = if is_transposed { transposed(expected) } else { expected.clone() };
            return Err(mismatch(format!(
                "its {name} is {:?}, where this network has {:?}",
                view.shape(),
                in_pytorch.shape()
            )));
        }
        let numbers = tensor.to_numbers();
        if let Some(index) = numbers.iter().position(|number| !number.is_finite()) {
            return Err(mismatch(format!("number {index} of its {name} is {}", numbers[index])));
        }
        let shape = tensor.shape().to_vec();
        tensors.insert(path, SavedTensor::from_numbers(shape, expected.is_double(), numbers));
    }
    with_tensors(network, &tensors).map_err(mismatch)
}

/// A matrix with rows and columns exchanged.
fn transposed(matrix: &SavedTensor) -> SavedTensor {
    let &[rows, columns] = matrix.shape() else { return matrix.clone() };
    let numbers = matrix.to_numbers();
    let turned = (0..columns).flat_map(|column| (0..rows).map(move |row| (row, column)));
    let turned = turned.map(|(row, column)| numbers[row * columns + column]).collect();
    SavedTensor::from_numbers(vec![columns, rows], matrix.is_double(), turned)
}

fn twins<M: Module>(network: &M) -> Vec<Twin> {
    let mut visitor = FindTwins::default();
    network.visit(&mut visitor);
    visitor.twins
}

#[derive(Default)]
struct FindTwins {
    path: ModulePath,
    twins: Vec<Twin>,
}

impl ModuleVisitor for FindTwins {
    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
        let path = self.path.dotted();
        let (parent, field) = path.rsplit_once('.').map_or(("", path.as_str()), |(parent, field)| (parent, field));
        let owner = self.path.owner();
        let twin = match field {
            "gamma" if owner.ends_with("Norm") => "weight",
            "beta" if owner.ends_with("Norm") => "bias",
            "running_variance" => "running_var",
            other => other,
        };
        let name = if parent.is_empty() { twin.to_owned() } else { format!("{parent}.{twin}") };
        let is_transposed = owner == "Linear" && field == "weight" && D == 2;
        self.twins.push(Twin { path, name, is_transposed });
    }

    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }
}

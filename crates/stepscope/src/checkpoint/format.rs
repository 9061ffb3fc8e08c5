//! A checkpoint as bytes: a safetensors file that any reader of that format opens, with a checksum at its end.
//!
//! Tensors have the names of the state; long f64 vectors stand under `vector/`. Everything else is JSON under the key
//! `stepscope` of the header's metadata. The last tensor, `crc32c`, is the CRC-32C of every byte before it (little-endian).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use burn::module::Module;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use stepscope_types::{RunSpec, Step};

use super::error::CheckpointError;
use super::saved_tensor::SavedTensor;
use super::state::{State, StateError};

/// The version of the layout that is written.
pub const FORMAT: u64 = 1;
const METADATA: &str = "stepscope";
const VECTOR: &str = "vector/";
const CHECKSUM: &str = "crc32c";
const CHECKSUM_BYTES: usize = 4;

/// A run at one step, and what it takes to go on from there.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Updates applied.
    pub step: Step,
    /// Hash of the specification ([`spec_hash`]).
    pub spec: String,
    /// How far the record file goes.
    pub records: RecordsMark,
    /// Seconds that the run took so far, over all its processes.
    pub wall_seconds: f64,
    /// Everything that the next step depends on.
    pub state: Arc<State>,
}

/// How far a record file goes, and a checksum of that part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordsMark {
    /// Bytes, up to the end of a line.
    pub length: u64,
    /// CRC-32C of those bytes.
    pub crc32c: u32,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u64,
    step: Step,
    spec: String,
    records: RecordsMark,
    wall_seconds: f64,
    values: BTreeMap<String, Value>,
}

/// The part of the header that every version keeps.
#[derive(Deserialize)]
struct Version {
    format: u64,
}

/// SHA-256 of the specification with every default filled in, as 64 hexadecimal digits.
pub fn spec_hash(spec: &RunSpec) -> String {
    // A specification holds numbers, words and lists only, which always have JSON.
    let hash = Sha256::digest(serde_json::to_vec(spec).unwrap_or_default());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Name of the network in a saved state.
pub(crate) const NETWORK: &str = "network";

impl Checkpoint {
    /// `network` with the weights of this checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Architecture`] with the first difference, where it was saved from another one.
    pub fn network<M: Module>(&self, network: M) -> Result<M, CheckpointError> {
        self.state.network(NETWORK, network).map_err(|error| CheckpointError::Architecture {
            file: format!("the checkpoint of step {}", self.step),
            reason: match error {
                StateError::Unexpected { reason, .. } => reason,
                missing @ StateError::Missing { .. } => missing.to_string(),
            },
        })
    }

    /// The checkpoint as the bytes of a file, the same ones every time; `file` stands in messages.
    ///
    /// # Errors
    /// [`CheckpointError::Unwritable`].
    pub fn encode(&self, file: &str) -> Result<Vec<u8>, CheckpointError> {
        let unwritable = |reason: String| CheckpointError::Unwritable { file: file.to_owned(), reason };
        let header = Header {
            format: FORMAT,
            step: self.step,
            spec: self.spec.clone(),
            records: self.records,
            wall_seconds: self.wall_seconds,
            values: self.state.values().clone(),
        };
        let header = serde_json::to_string(&header).map_err(|error| unwritable(error.to_string()))?;
        let mut parts: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, vector) in self.state.vectors() {
            let bytes = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            parts.push((format!("{VECTOR}{name}"), Dtype::F64, vec![vector.len()], bytes));
        }
        for (name, tensor) in self.state.tensors() {
            let dtype = if tensor.is_double() { Dtype::F64 } else { Dtype::F32 };
            parts.push((name.clone(), dtype, tensor.shape().to_vec(), tensor.to_bytes()));
        }
        // The only bytes among numbers: tensors are ordered by alignment, so it comes last.
        parts.push((CHECKSUM.to_owned(), Dtype::U8, vec![CHECKSUM_BYTES], vec![0; CHECKSUM_BYTES]));
        let mut views = Vec::with_capacity(parts.len());
        for (name, dtype, shape, bytes) in &parts {
            let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|error| unwritable(error.to_string()))?;
            views.push((name.as_str(), view));
        }
        let metadata = HashMap::from([(METADATA.to_owned(), header)]);
        let mut bytes = serialize(views, Some(metadata)).map_err(|error| unwritable(error.to_string()))?;
        let end = bytes.len() - CHECKSUM_BYTES;
        let checksum = crc32c::crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        Ok(bytes)
    }

    /// The checkpoint that a file holds; `file` stands in messages.
    ///
    /// # Errors
    /// [`CheckpointError::Cut`], [`CheckpointError::Damaged`], [`CheckpointError::Newer`].
    pub fn decode(bytes: &[u8], file: &str) -> Result<Self, CheckpointError> {
        let damaged = |reason: &str| CheckpointError::Damaged { file: file.to_owned(), reason: reason.to_owned() };
        check_sum(bytes, file)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error.to_string()))?;
        let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
        let header = header.ok_or_else(|| damaged("its header names no stepscope"))?;
        let Version { format } = serde_json::from_str(header).map_err(|error| damaged(&error.to_string()))?;
        if format > FORMAT {
            return Err(CheckpointError::Newer { file: file.to_owned(), got: format, known: FORMAT });
        }
        let header: Header = serde_json::from_str(header).map_err(|error| damaged(&error.to_string()))?;
        let (mut vectors, mut tensors) = (BTreeMap::new(), BTreeMap::new());
        let parts = SafeTensors::deserialize(bytes).map_err(|error| damaged(&error.to_string()))?;
        for (name, view) in parts.iter().filter(|(name, _)| *name != CHECKSUM) {
            let is_double = match view.dtype() {
                Dtype::F64 => true,
                Dtype::F32 => false,
                other => return Err(damaged(&format!("{name} holds {other:?}"))),
            };
            let tensor = SavedTensor::from_bytes(view.shape().to_vec(), is_double, view.data())
                .ok_or_else(|| damaged(&format!("{name} has another length than its shape says")))?;
            match name.strip_prefix(VECTOR) {
                Some(name) => drop(vectors.insert(name.to_owned(), tensor.to_numbers())),
                None => drop(tensors.insert(name.to_owned(), tensor)),
            }
        }
        let Header { step, spec, records, wall_seconds, values, .. } = header;
        Ok(Self { step, spec, records, wall_seconds, state: Arc::new(State::from_parts(values, vectors, tensors)) })
    }
}

/// The checksum comes first: nothing of a damaged file is looked at but what says how it is damaged.
fn check_sum(bytes: &[u8], file: &str) -> Result<(), CheckpointError> {
    let cut = || CheckpointError::Cut { file: file.to_owned(), num_bytes: bytes.len() };
    let (contents, stored) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(cut)?;
    let (stored, computed) = (u32::from_le_bytes(*stored), crc32c::crc32c(contents));
    if stored == computed {
        return Ok(());
    }
    match SafeTensors::read_metadata(bytes) {
        Err(
            SafeTensorError::HeaderTooSmall
            | SafeTensorError::InvalidHeaderLength
            | SafeTensorError::MetadataIncompleteBuffer,
        ) => Err(cut()),
        _ => Err(CheckpointError::Damaged {
            file: file.to_owned(),
            reason: format!("its checksum is {computed:08x} and should be {stored:08x}"),
        }),
    }
}

//! The state of a run as named values, and the trait of everything that has some.

use std::collections::BTreeMap;

use burn::module::Module;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stepscope_spectral::random::RandomStream;
use thiserror::Error;

use super::network::{named_tensors, with_tensors};
use super::saved_tensor::SavedTensor;
use crate::models::{ParamLayout, ParamTensors};

/// Something whose state must outlive the process: an optimizer, a random stream, a probe's warm start.
///
/// A run that saves, dies and loads must go on bit for bit as one that never stopped, so the state is everything that the
/// next step depends on and that the specification does not say already.
pub trait Stateful {
    /// Puts the whole state into `state`, under names of its own; [`State::nest`] gives each part a prefix.
    fn save_state(&self, state: &mut State);

    /// Takes the whole state from `state`.
    ///
    /// # Errors
    /// [`StateError`] where a name is missing or holds something else; `self` may then be partly changed and must not be
    /// used.
    fn load_state(&mut self, state: &State) -> Result<(), StateError>;
}

/// As [`Stateful`], for what holds vectors in weight space: only the network's layout knows their names and places.
pub trait WeightState {
    /// As [`Stateful::save_state`], with [`State::put_params`] for vectors in the weight space of `layout`.
    fn save_weights(&self, state: &mut State, layout: &ParamLayout);

    /// As [`Stateful::load_state`], with [`State::params`].
    ///
    /// # Errors
    /// [`StateError`] where a name is missing or holds something else.
    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError>;
}

/// Named values: small ones as JSON, long vectors as f64, tensors of the network's shapes in its precision.
///
/// Names have slashes: `optimizer/velocity/layers.0.weight`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    values: BTreeMap<String, Value>,
    vectors: BTreeMap<String, Vec<f64>>,
    tensors: BTreeMap<String, SavedTensor>,
}

/// A saved state that does not fit what is to be restored from it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// A name is not there.
    #[error("the saved state has no `{name}`: it was written by another version or for another specification")]
    Missing {
        /// The name.
        name: String,
    },
    /// What is there is something else.
    #[error("the saved state's `{name}` is not what was expected: {reason}")]
    Unexpected {
        /// The name.
        name: String,
        /// What was got and what was expected.
        reason: String,
    },
}

impl State {
    /// Stores a small value; replaces one of the same name.
    pub fn put(&mut self, name: &str, value: &impl Serialize) {
        // Only maps with keys that are no text, and failing hand-written implementations, have no JSON; reading back then says
        // that the name is missing.
        if let Ok(value) = serde_json::to_value(value) {
            self.values.insert(name.to_owned(), value);
        }
    }

    /// The small value of that name.
    ///
    /// # Errors
    /// [`StateError`] where there is none, or one of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, StateError> {
        let value = self.values.get(name).ok_or_else(|| missing(name))?;
        T::deserialize(value).map_err(|error| unexpected(name, error.to_string()))
    }

    /// Stores a vector; replaces one of the same name.
    pub fn put_vector(&mut self, name: &str, vector: Vec<f64>) {
        self.vectors.insert(name.to_owned(), vector);
    }

    /// The vector of that name, which must have `len` entries.
    ///
    /// # Errors
    /// [`StateError`] where there is none, or one of another length.
    pub fn vector(&self, name: &str, len: usize) -> Result<&[f64], StateError> {
        let vector = self.vector_of_any_length(name)?;
        if vector.len() == len {
            Ok(vector)
        } else {
            Err(unexpected(name, format!("{} numbers, where this network has {len}", vector.len())))
        }
    }

    /// The vector of that name.
    ///
    /// # Errors
    /// [`StateError`] where there is none.
    pub fn vector_of_any_length(&self, name: &str) -> Result<&[f64], StateError> {
        self.vectors.get(name).map(Vec::as_slice).ok_or_else(|| missing(name))
    }

    /// Stores a vector in weight space, in the network's precision.
    pub fn put_params(&mut self, name: &str, params: &ParamTensors, layout: &ParamLayout) {
        let mut num_parts = 0_u64;
        for (path, id, _) in layout.parts() {
            if let Some(tensor) = params.get(id) {
                self.put_tensor(&format!("{name}/{path}"), SavedTensor::of(tensor.clone()));
                num_parts += 1;
            }
        }
        self.put(name, &num_parts);
    }

    /// The vector in weight space of that name, where the network of `layout` lives.
    ///
    /// # Errors
    /// [`StateError`] where there is none, or one of another shape.
    pub fn params(&self, name: &str, layout: &ParamLayout) -> Result<ParamTensors, StateError> {
        let num_parts: u64 = self.get(name)?;
        let mut parts = Vec::new();
        for (path, id, range) in layout.parts() {
            let name = format!("{name}/{path}");
            if !self.tensors.contains_key(&name) {
                continue;
            }
            let saved = self.flat_tensor(&name, range.len())?;
            let device = layout.plain_device().ok_or_else(|| missing(&name))?;
            parts.push((id, saved.tensor(&device)));
        }
        if parts.len() as u64 != num_parts {
            return Err(unexpected(name, format!("{num_parts} parts were saved and {} are there", parts.len())));
        }
        Ok(parts.into_iter().collect())
    }

    /// Stores one tensor; replaces one of the same name.
    pub fn put_tensor(&mut self, name: &str, tensor: SavedTensor) {
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// The tensor of that name, which must be flat with `len` numbers.
    ///
    /// # Errors
    /// [`StateError`] where there is none, or one of another shape.
    pub fn flat_tensor(&self, name: &str, len: usize) -> Result<&SavedTensor, StateError> {
        let saved = self.tensors.get(name).ok_or_else(|| missing(name))?;
        if saved.shape() == [len] {
            Ok(saved)
        } else {
            Err(unexpected(name, format!("{:?} numbers, where this network has {len}", saved.shape())))
        }
    }

    /// Stores every tensor of a network: parameters, and running statistics where it has some.
    pub fn put_network<M: Module>(&mut self, name: &str, network: &M) {
        for (path, tensor) in named_tensors(network) {
            self.put_tensor(&format!("{name}/{path}"), tensor);
        }
    }

    /// `network` with the tensors that [`State::put_network`] stored.
    ///
    /// # Errors
    /// [`StateError`] with the first difference, where the saved network had another architecture.
    pub fn network<M: Module>(&self, name: &str, network: M) -> Result<M, StateError> {
        with_tensors(network, &under(&self.tensors, &format!("{name}/"))).map_err(|reason| unexpected(name, reason))
    }

    /// Whether something of that name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.vectors.contains_key(name) || self.tensors.contains_key(name)
    }

    /// Stores the state of a part under `prefix/`.
    pub fn nest(&mut self, prefix: &str, part: &(impl Stateful + ?Sized)) {
        self.nest_with(prefix, |inner| part.save_state(inner));
    }

    /// Stores the state of a part in the weight space of `layout` under `prefix/`.
    pub fn nest_weights(&mut self, prefix: &str, part: &(impl WeightState + ?Sized), layout: &ParamLayout) {
        self.nest_with(prefix, |inner| part.save_weights(inner, layout));
    }

    fn nest_with(&mut self, prefix: &str, save: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        save(&mut inner);
        let named = |name: String| format!("{prefix}/{name}");
        self.values.extend(inner.values.into_iter().map(|(name, value)| (named(name), value)));
        self.vectors.extend(inner.vectors.into_iter().map(|(name, vector)| (named(name), vector)));
        self.tensors.extend(inner.tensors.into_iter().map(|(name, tensor)| (named(name), tensor)));
    }

    /// Restores a part from what is under `prefix/`.
    ///
    /// # Errors
    /// [`StateError`], with the prefix in its name.
    pub fn restore(&self, prefix: &str, part: &mut (impl Stateful + ?Sized)) -> Result<(), StateError> {
        self.restore_with(prefix, |inner| part.load_state(inner))
    }

    /// Restores a part in the weight space of `layout` from what is under `prefix/`.
    ///
    /// # Errors
    /// [`StateError`], with the prefix in its name.
    pub fn restore_weights(
        &self,
        prefix: &str,
        part: &mut (impl WeightState + ?Sized),
        layout: &ParamLayout,
    ) -> Result<(), StateError> {
        self.restore_with(prefix, |inner| part.load_weights(inner, layout))
    }

    fn restore_with(&self, prefix: &str, load: impl FnOnce(&Self) -> Result<(), StateError>) -> Result<(), StateError> {
        let start = format!("{prefix}/");
        let inner = Self {
            values: under(&self.values, &start),
            vectors: under(&self.vectors, &start),
            tensors: under(&self.tensors, &start),
        };
        load(&inner).map_err(|error| match error {
            StateError::Missing { name } => StateError::Missing { name: start.clone() + &name },
            StateError::Unexpected { name, reason } => StateError::Unexpected { name: start.clone() + &name, reason },
        })
    }

    /// The small values in order of their names.
    pub fn values(&self) -> &BTreeMap<String, Value> {
        &self.values
    }

    /// The vectors in order of their names.
    pub fn vectors(&self) -> &BTreeMap<String, Vec<f64>> {
        &self.vectors
    }

    /// The tensors in order of their names.
    pub fn tensors(&self) -> &BTreeMap<String, SavedTensor> {
        &self.tensors
    }

    /// A state from its three maps.
    pub(super) fn from_parts(
        values: BTreeMap<String, Value>,
        vectors: BTreeMap<String, Vec<f64>>,
        tensors: BTreeMap<String, SavedTensor>,
    ) -> Self {
        Self { values, vectors, tensors }
    }
}

/// Seed and name are the program's; what changes is how far the stream has been read.
impl Stateful for RandomStream {
    fn save_state(&self, state: &mut State) {
        state.put("position", &self.position());
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.set_position(state.get("position")?);
        Ok(())
    }
}

fn under<T: Clone>(map: &BTreeMap<String, T>, start: &str) -> BTreeMap<String, T> {
    map.iter()
        .filter_map(|(name, value)| name.strip_prefix(start).map(|rest| (rest.to_owned(), value.clone())))
        .collect()
}

fn missing(name: &str) -> StateError {
    StateError::Missing { name: name.to_owned() }
}

fn unexpected(name: &str, reason: String) -> StateError {
    StateError::Unexpected { name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter {
        count: u64,
        sums: Vec<f64>,
    }

    impl Stateful for Counter {
        fn save_state(&self, state: &mut State) {
            state.put("count", &self.count);
            state.put_vector("sums", self.sums.clone());
        }

        fn load_state(&mut self, state: &State) -> Result<(), StateError> {
            self.count = state.get("count")?;
            self.sums = state.vector("sums", self.sums.len())?.to_vec();
            Ok(())
        }
    }

    #[test]
    fn a_part_comes_back_from_under_its_prefix() {
        let mut state = State::default();
        state.nest("first", &Counter { count: 3, sums: vec![0.1, f64::MIN_POSITIVE] });
        state.nest("second", &Counter { count: 4, sums: vec![1.0] });
        let mut counter = Counter { count: 0, sums: vec![0.0; 2] };
        state.restore("first", &mut counter).unwrap();
        assert_eq!((counter.count, counter.sums.as_slice()), (3, [0.1, f64::MIN_POSITIVE].as_slice()));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_whole_name() {
        let mut state = State::default();
        state.nest("first", &Counter { count: 3, sums: vec![0.1] });
        let mut counter = Counter { count: 0, sums: vec![0.0; 2] };
        let message = state.restore("first", &mut counter).unwrap_err().to_string();
        assert_eq!(
            message,
            "the saved state's `first/sums` is not what was expected: 1 numbers, where this network has 2"
        );
        assert_eq!(state.restore("other", &mut counter), Err(StateError::Missing { name: "other/count".to_owned() }));
        state.put("first/count", &"three");
        let message = state.restore("first", &mut counter).unwrap_err().to_string();
        assert!(message.contains("first/count") && message.contains("u64"), "{message}");
    }
}

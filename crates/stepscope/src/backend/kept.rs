//! Tensors that one pass computes and later passes at the same point take up.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::TensorMetadata;

/// What the product of a layer's input with its weights takes from earlier passes, and leaves to later ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// The product itself.
    pub(crate) output: Option<Slot>,
    /// What its backward pass registers for the input.
    pub(crate) input_gradient: Option<Slot>,
}

impl Kept {
    pub(crate) fn is_none(&self) -> bool {
        self.output.is_none() && self.input_gradient.is_none()
    }

    pub(super) fn output<T: Tensorial>(&self, compute: impl FnOnce() -> T) -> T {
        take_up(self.output.as_ref(), compute)
    }

    pub(super) fn input_gradient<T: Tensorial>(&self, compute: impl FnOnce() -> T) -> T {
        take_up(self.input_gradient.as_ref(), compute)
    }
}

fn take_up<T: Tensorial>(slot: Option<&Slot>, compute: impl FnOnce() -> T) -> T {
    match slot {
        Some(slot) => slot.take_up(compute),
        None => compute(),
    }
}

/// A tensor of any backend.
pub(super) trait Tensorial: TensorMetadata + 'static {}

impl<T: TensorMetadata + 'static> Tensorial for T {}

/// A place for one tensor.
#[derive(Clone)]
pub(crate) struct Slot {
    state: Arc<Mutex<State>>,
    allowance: Arc<Allowance>,
}

enum State {
    Empty,
    Held(Box<dyn Any + Send>),
    /// There was no room; it is not asked for again, so that what is kept does not depend on what was freed since.
    Refused,
}

/// Bytes that all slots of a point may hold together.
#[derive(Debug)]
pub(crate) struct Allowance {
    max: u64,
    held: AtomicU64,
    refused: AtomicU64,
}

impl Allowance {
    pub(crate) fn new(max: u64) -> Arc<Self> {
        Arc::new(Self { max, held: AtomicU64::new(0), refused: AtomicU64::new(0) })
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes that there was no room for.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether so many bytes more may be held, which they then are.
    fn grants(&self, bytes: u64) -> bool {
        let room = |held: u64| held.checked_add(bytes).filter(|&sum| sum <= self.max);
        let is_granted = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if !is_granted {
            self.refused.fetch_add(bytes, Ordering::Relaxed);
        }
        is_granted
    }
}

impl Slot {
    pub(crate) fn new(allowance: &Arc<Allowance>) -> Self {
        Self { state: Arc::new(Mutex::new(State::Empty)), allowance: Arc::clone(allowance) }
    }

    /// The tensor that is held; where there is none, the one that `compute` gives, which is held from then on if there is room.
    fn take_up<T: Tensorial>(&self, compute: impl FnOnce() -> T) -> T {
        // A thread that panicked left a whole state behind: each is written at once.
        let state = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Held(held) = &*state()
            && let Some(tensor) = held.downcast_ref::<T>()
        {
            return tensor.clone();
        }
        let tensor = compute();
        let mut state = state();
        if matches!(*state, State::Empty) {
            let bytes = (tensor.shape().num_elements() * tensor.dtype().size()) as u64;
            let is_granted = self.allowance.grants(bytes);
            *state = if is_granted { State::Held(Box::new(tensor.clone())) } else { State::Refused };
        }
        tensor
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        f.write_str(match *state {
            State::Empty => "empty",
            State::Held(_) => "held",
            State::Refused => "refused",
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::flex::FlexTensor;
    use burn::tensor::TensorData;

    use super::*;

    fn tensor(values: [f32; 4]) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(values.to_vec(), [4]))
    }

    fn numbers(tensor: &FlexTensor) -> &[f32] {
        tensor.as_slice::<f32>().unwrap()
    }

    #[test]
    fn a_slot_gives_back_what_it_was_first_given() {
        let allowance = Allowance::new(16);
        let slot = Slot::new(&allowance);
        assert_eq!(numbers(&slot.take_up(|| tensor([1.0; 4]))), [1.0; 4]);
        assert_eq!(numbers(&slot.take_up(|| panic!("computed again"))), [1.0; 4]);
        assert_eq!((allowance.held(), allowance.refused()), (16, 0));
    }

    #[test]
    fn what_there_is_no_room_for_is_computed_every_time() {
        let allowance = Allowance::new(31);
        let [first, second] = [Slot::new(&allowance), Slot::new(&allowance)];
        first.take_up(|| tensor([1.0; 4]));
        for value in [2.0, 3.0] {
            assert_eq!(numbers(&second.take_up(|| tensor([value; 4]))), [value; 4]);
        }
        assert_eq!((allowance.held(), allowance.refused()), (16, 16), "it is counted once");
    }
}

//! What exact products at one point have in common, kept from one to the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::ParamId;

use crate::backend::{Allowance, Kept, Slot};

/// How much of their linearisation the products of one operator share.
///
/// A layer z = W x takes W x and, on the way back, Wᵀ a with a the adjoint of the tangent ż. Tangents enter linearly
/// everywhere, so a is the plain gradient of the loss with respect to z: neither depends on the vector that is multiplied. The first
/// product keeps both, and later ones take 6 matrix products in an inner layer in place of 8, and 2 in place of 3 in a first one.
/// Results are the same, bit for bit.
///
/// | field | what it bounds |
/// |---|---|
/// | `max_bytes` | what is kept for all micro-batches together; what comes after that is computed every time |
/// | `min_multiplications` | a number that took fewer is not kept: reading it takes as long as computing it |
///
/// An inner layer keeps one number for each of its inputs and outputs, in the network's precision. Linear and convolutional
/// layers take part, on the processor; everything else is computed every time.
///
/// Source: `curvature`, section 4.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// Bytes that may be kept.
    pub max_bytes: u64,
    /// Multiplications that a number must have taken.
    pub min_multiplications: usize,
}

impl Sharing {
    /// Where a number is read as quickly as it is computed again.
    pub(super) const WORTH_KEEPING: usize = 64;

    /// At most so many MiB, of numbers that took at least 64 multiplications.
    pub const fn up_to_mebibytes(mebibytes: u64) -> Self {
        Self { max_bytes: mebibytes.saturating_mul(1 << 20), min_multiplications: Self::WORTH_KEEPING }
    }
}

/// At most 192 MiB, of numbers that took at least 64 multiplications: on SimpleCNN in micro-batches of 512 a product with what it shares then needs
/// twice the memory of a gradient.
impl Default for Sharing {
    fn default() -> Self {
        Self::up_to_mebibytes(192)
    }
}

/// What is kept at one point: fixed weights, examples, mode and seeds. Clones are handles to the same.
#[derive(Debug, Clone)]
pub(crate) struct Linearisation {
    sharing: Sharing,
    allowance: Arc<Allowance>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    batches: Vec<BatchAtPoint>,
    current: usize,
    next: usize,
    mismatch: Option<Option<ParamId>>,
}

/// The layers of a pass over one micro-batch, in the order in which it reached them.
#[derive(Debug, Default)]
struct BatchAtPoint {
    layers: Vec<LayerAtPoint>,
    is_complete: bool,
}

#[derive(Debug, Clone)]
struct LayerAtPoint {
    weight: ParamId,
    input: Vec<usize>,
    kept: KeptByLayer,
}

/// What a layer keeps of the product of its input's value with its weights, and of that of its input's tangent.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptByLayer {
    pub(super) value: Kept,
    pub(super) tangent: Kept,
}

/// A pass went through the layers in another way than the first one at this point did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OtherOrder {
    /// The weights of the first layer that was not where it had been; `None` where layers are missing at the end.
    pub(crate) weight: Option<ParamId>,
}

impl Linearisation {
    pub(crate) fn new(sharing: Sharing) -> Self {
        Self { sharing, allowance: Allowance::new(sharing.max_bytes), state: Arc::default() }
    }

    /// What it was made with.
    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.allowance.held()
    }

    /// Share of what is worth keeping that is kept: 1 where there was room for all of it, 0 before the first product.
    pub(crate) fn share(&self) -> f64 {
        let (held, refused) = (self.allowance.held(), self.allowance.refused());
        held as f64 / (held + refused).max(1) as f64
    }

    /// A pass over micro-batch number `index` begins.
    pub(crate) fn begin(&self, index: usize) {
        let mut state = self.state();
        if state.batches.len() <= index {
            state.batches.resize_with(index + 1, BatchAtPoint::default);
        }
        (state.current, state.next, state.mismatch) = (index, 0, None);
    }

    /// The pass has gone through all layers.
    pub(crate) fn end(&self) -> Result<(), OtherOrder> {
        let mut state = self.state();
        let (current, next) = (state.current, state.next);
        let Some(batch) = state.batches.get_mut(current) else { return Ok(()) };
        let is_short = batch.is_complete && next < batch.layers.len();
        batch.is_complete = true;
        let mismatch = state.mismatch.take().or(is_short.then_some(None));
        mismatch.map_or(Ok(()), |weight| Err(OtherOrder { weight }))
    }

    /// What the next layer keeps, whose weights and shape of input are these. `multiplications`: what a number of its output
    /// takes, and one of its input's gradient.
    pub(super) fn next_layer(&self, weight: ParamId, input: &[usize], multiplications: [usize; 2]) -> KeptByLayer {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(batch) = state.batches.get_mut(state.current) else { return KeptByLayer::default() };
        let place = state.next;
        state.next += 1;
        match batch.layers.get(place) {
            Some(layer) if layer.weight == weight && layer.input == input => layer.kept.clone(),
            None if !batch.is_complete => {
                let kept = self.slots(multiplications);
                batch.layers.push(LayerAtPoint { weight, input: input.to_vec(), kept: kept.clone() });
                kept
            }
            _ => {
                state.mismatch.get_or_insert(Some(weight));
                KeptByLayer::default()
            }
        }
    }

    fn slots(&self, multiplications: [usize; 2]) -> KeptByLayer {
        let is_worth_it = |multiplications| multiplications >= self.sharing.min_multiplications;
        let [output, input_gradient] =
            multiplications.map(|count| is_worth_it(count).then(|| Slot::new(&self.allowance)));
        KeptByLayer { value: Kept { output, input_gradient: None }, tangent: Kept { output: None, input_gradient } }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(point: &Linearisation, batch: usize, layers: &[(ParamId, usize)]) -> Result<(), OtherOrder> {
        point.begin(batch);
        for &(weight, inputs) in layers {
            point.next_layer(weight, &[5, inputs], [100, 10]);
        }
        point.end()
    }

    #[test]
    fn a_pass_that_goes_another_way_is_told_by_the_first_layer_that_was_not_there() {
        let point = Linearisation::new(Sharing::default());
        let [a, b, c] = [ParamId::new(), ParamId::new(), ParamId::new()];
        assert_eq!(pass(&point, 0, &[(a, 3), (b, 4), (a, 3)]), Ok(()));
        assert_eq!(pass(&point, 0, &[(a, 3), (b, 4), (a, 3)]), Ok(()));
        assert_eq!(pass(&point, 1, &[(c, 3)]), Ok(()), "another micro-batch has layers of its own");
        let other = |weight| Err(OtherOrder { weight });
        assert_eq!(pass(&point, 0, &[(b, 4), (a, 3), (a, 3)]), other(Some(b)), "another order");
        assert_eq!(pass(&point, 0, &[(a, 3), (b, 5), (a, 3)]), other(Some(b)), "another shape");
        assert_eq!(pass(&point, 0, &[(a, 3), (b, 4), (a, 3), (c, 3)]), other(Some(c)), "a layer more");
        assert_eq!(pass(&point, 0, &[(a, 3), (b, 4)]), other(None), "a layer fewer");
        assert_eq!(pass(&point, 0, &[(a, 3), (b, 4), (a, 3)]), Ok(()), "and what was kept still holds");
    }

    #[test]
    fn only_numbers_that_were_dear_are_kept() {
        let point = Linearisation::new(Sharing { max_bytes: 1, min_multiplications: 50 });
        point.begin(0);
        let kept = point.next_layer(ParamId::new(), &[2, 2], [50, 49]);
        assert!(kept.value.output.is_some() && kept.tangent.input_gradient.is_none());
        assert!(kept.value.input_gradient.is_none(), "the adjoint of the value does depend on the vector");
    }
}

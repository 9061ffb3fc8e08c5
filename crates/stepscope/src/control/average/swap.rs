//! Other weights in place of the trained ones, for a while.

use std::ops::Deref;

/// A network that holds other weights until this is dropped; then the trained ones are back, bit for bit, whether the scope
/// was left at its end, by an early return or by a panic.
///
/// The network can be read through it and not changed: what an evaluation changed would be lost. [`swap_in`] makes one.
#[derive(Debug)]
#[must_use = "the trained weights come back when this is dropped, which is at once where it is not bound to a name"]
pub struct Swapped<'a, M> {
    network: &'a mut M,
    trained: Option<M>,
}

/// Puts `average` in the place of `network` until the returned guard is dropped. Costs no copy of the weights.
///
/// Only `std::mem::forget` on the guard leaves the average there. Where `network` need not change place, use the averaged
/// network by itself: a clone of a Burn module shares its memory.
pub fn swap_in<M>(network: &mut M, average: M) -> Swapped<'_, M> {
    let trained = std::mem::replace(network, average);
    Swapped { network, trained: Some(trained) }
}

impl<M> Deref for Swapped<'_, M> {
    type Target = M;

    fn deref(&self) -> &M {
        self.network
    }
}

impl<M> Drop for Swapped<'_, M> {
    fn drop(&mut self) {
        if let Some(trained) = self.trained.take() {
            *self.network = trained;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trained_weights_come_back_however_the_scope_is_left() {
        let mut network = vec![1, 2];
        assert_eq!(*swap_in(&mut network, vec![3]), [3]);
        assert_eq!(network, [1, 2]);
        fn early(network: &mut Vec<i32>) -> Result<(), String> {
            let swapped = swap_in(network, vec![4]);
            if swapped.len() == 1 { Err("early".to_owned()) } else { Ok(()) }
        }
        early(&mut network).unwrap_err();
        assert_eq!(network, [1, 2]);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let swapped = swap_in(&mut network, Vec::new());
            assert!(!swapped.is_empty(), "as an evaluation that fails");
        }));
        assert!(panicked.is_err());
        assert_eq!(network, [1, 2]);
    }
}

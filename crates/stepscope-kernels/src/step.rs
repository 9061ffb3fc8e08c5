//! The passes of an optimizer over weights.

use crate::element::Element;
use crate::pieces;

/// a ← scale · a + factor · b everywhere: a velocity takes in a gradient, weights take a step. Slices are of the same length.
///
/// ```
/// let mut velocity = [1.0, 2.0];
/// stepscope_kernels::scale_and_add(&mut velocity, 0.9, 1.0, &[0.1, 0.2]);
/// assert_eq!(velocity, [1.0, 2.0]);
/// ```
pub fn scale_and_add<E: Element>(values: &mut [E], scale: E, factor: E, addends: &[E]) {
    pieces::change_by(values, addends, move |value, addend| scale * value + factor * addend);
}

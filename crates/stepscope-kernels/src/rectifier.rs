//! max(x, 0), and what its derivative lets through.

use crate::element::Element;
use crate::pieces;

/// x ← max(x, 0) everywhere; what is not a number stays so.
pub fn rectify<E: Element>(values: &mut [E]) {
    pieces::change(values, |value| *value = positive(*value));
}

/// max(x, 0) everywhere; what is not a number stays so.
///
/// ```
/// assert_eq!(stepscope_kernels::rectified(&[-1.0, 0.0, 2.0]), [0.0, 0.0, 2.0]);
/// ```
pub fn rectified<E: Element>(values: &[E]) -> Vec<E> {
    pieces::map(values, values, |value, _| positive(value))
}

/// a ← max(a + b, 0) everywhere. Slices are of the same length.
pub fn rectify_sum<E: Element>(values: &mut [E], addends: &[E]) {
    pieces::change_by(values, addends, |value, addend| positive(value + addend));
}

/// max(a + b, 0) everywhere. Slices are of the same length.
pub fn rectified_sum<E: Element>(values: &[E], addends: &[E]) -> Vec<E> {
    pieces::map(values, addends, |value, addend| positive(value + addend))
}

/// v ← v where y > 0, else 0: the gradient of x, where v is that of y = max(x, 0); also the tangent of y, where v is that of x.
/// Slices are of the same length.
pub fn gate<E: Element>(values: &mut [E], outputs: &[E]) {
    pieces::change_by(values, outputs, passed);
}

/// As [`gate`], into new memory.
pub fn gated<E: Element>(values: &[E], outputs: &[E]) -> Vec<E> {
    pieces::map(values, outputs, passed)
}

#[inline(always)]
pub(crate) fn positive<E: Element>(value: E) -> E {
    if value <= E::default() { E::default() } else { value }
}

#[inline(always)]
pub(crate) fn passed<E: Element>(value: E, output: E) -> E {
    if output <= E::default() { E::default() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_rectified_and_gated_in_every_place() {
        for length in [0, 1, 15, 4096, 4097, (1 << 15) + 7] {
            let values: Vec<f32> = (0..length).map(|place| ((place * 37) % 19) as f32 - 9.0).collect();
            let addends: Vec<f32> = values.iter().rev().copied().collect();
            let expected: Vec<f32> = values.iter().map(|value| value.max(0.0)).collect();
            assert_eq!(rectified(&values), expected);
            let mut in_place = values.clone();
            rectify(&mut in_place);
            assert_eq!(in_place, expected);
            let mut sum = values.clone();
            rectify_sum(&mut sum, &addends);
            assert!(sum.iter().zip(values.iter().zip(&addends)).all(|(sum, (a, b))| *sum == (a + b).max(0.0)));
            assert_eq!(rectified_sum(&values, &addends), sum);
            let through = gated(&addends, &expected);
            let expected_through: Vec<f32> =
                addends.iter().zip(&values).map(|(addend, value)| if *value > 0.0 { *addend } else { 0.0 }).collect();
            assert_eq!(through, expected_through);
            let mut in_place = addends.clone();
            gate(&mut in_place, &expected);
            assert_eq!(in_place, expected_through);
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        assert!(rectified(&[f64::NAN])[0].is_nan());
        assert!(gated(&[1.0], &[f64::NAN])[0] == 1.0);
    }
}

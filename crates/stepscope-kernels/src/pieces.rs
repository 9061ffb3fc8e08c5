//! Passes over long slices, in pieces for all threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::element::Element;

/// Numbers of a piece: small enough for a core's first cache, large enough that handing it out does not matter.
const PIECE: usize = 1 << 12;
/// Up to so many numbers one thread is quicker than waking another.
const ALONE: usize = 1 << 15;

/// Changes `values` place by place.
pub(crate) fn change<E: Element>(values: &mut [E], change: impl Fn(&mut E) + Sync) {
    let piece = |values: &mut [E]| Arch::new().dispatch(Change { values, change: &change });
    if values.len() <= ALONE { piece(values) } else { values.par_chunks_mut(PIECE).for_each(piece) }
}

/// Changes `values` place by place, with what stands there in `other`. Slices are of the same length.
// A function by value, as in all of these: numbers behind a reference would be read again at every place.
pub(crate) fn change_by<E: Element>(values: &mut [E], other: &[E], function: impl Fn(E, E) -> E + Copy + Sync) {
    change_rows_by(values, other, PIECE, |_| function);
}

/// Changes `values` place by place, with what stands there in `other`, in rows of `length` numbers: each row has a function of its own.
pub(crate) fn change_rows_by<E: Element, F: Fn(E, E) -> E>(
    values: &mut [E],
    other: &[E],
    length: usize,
    of_row: impl Fn(usize) -> F + Sync,
) {
    let rows = PIECE.div_ceil(length);
    let piece = |index: usize, values: &mut [E], other: &[E]| {
        Arch::new().dispatch(ChangeRowsBy { values, other, length, first_row: index * rows, of_row: &of_row });
    };
    let size = rows * length;
    if values.len() <= ALONE {
        let pieces = values.chunks_mut(size).zip(other.chunks(size));
        pieces.enumerate().for_each(|(index, (values, other))| piece(index, values, other));
    } else {
        let pieces = values.par_chunks_mut(size).zip(other.par_chunks(size));
        pieces.enumerate().for_each(|(index, (values, other))| piece(index, values, other));
    }
}

/// The value of `function` at every place of two slices of the same length.
pub(crate) fn map<E: Element>(values: &[E], other: &[E], function: impl Fn(E, E) -> E + Copy + Sync) -> Vec<E> {
    map_rows(values, other, PIECE, |_| function)
}

/// The value of a function at every place of two slices of the same length, in rows of `length` numbers: each row has a function of
/// its own.
pub(crate) fn map_rows<E: Element, F: Fn(E, E) -> E>(
    values: &[E],
    other: &[E],
    length: usize,
    of_row: impl Fn(usize) -> F + Sync,
) -> Vec<E> {
    let mut out = vec![E::default(); values.len()];
    let rows = PIECE.div_ceil(length);
    let piece = |index: usize, out: &mut [E], values: &[E], other: &[E]| {
        Arch::new().dispatch(MapRows { out, values, other, length, first_row: index * rows, of_row: &of_row });
    };
    let size = rows * length;
    if values.len() <= ALONE {
        let pieces = out.chunks_mut(size).zip(values.chunks(size)).zip(other.chunks(size));
        pieces.enumerate().for_each(|(index, ((out, values), other))| piece(index, out, values, other));
    } else {
        let pieces = out.par_chunks_mut(size).zip(values.par_chunks(size)).zip(other.par_chunks(size));
        pieces.enumerate().for_each(|(index, ((out, values), other))| piece(index, out, values, other));
    }
    out
}

// The loops are methods that have to be inlined, and not closures, so that they are compiled for the vectors of the processor.

struct Change<'a, E, F> {
    values: &'a mut [E],
    change: &'a F,
}

impl<E: Element, F: Fn(&mut E)> WithSimd for Change<'_, E, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for value in self.values {
            (self.change)(value);
        }
    }
}

struct ChangeRowsBy<'a, E, R> {
    values: &'a mut [E],
    other: &'a [E],
    length: usize,
    first_row: usize,
    of_row: &'a R,
}

impl<E: Element, F: Fn(E, E) -> E, R: Fn(usize) -> F> WithSimd for ChangeRowsBy<'_, E, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.values.chunks_mut(self.length).zip(self.other.chunks(self.length));
        for (row, (values, other)) in rows.enumerate() {
            let function = (self.of_row)(self.first_row + row);
            for (value, &other) in values.iter_mut().zip(other) {
                *value = function(*value, other);
            }
        }
    }
}

struct MapRows<'a, E, R> {
    out: &'a mut [E],
    values: &'a [E],
    other: &'a [E],
    length: usize,
    first_row: usize,
    of_row: &'a R,
}

impl<E: Element, F: Fn(E, E) -> E, R: Fn(usize) -> F> WithSimd for MapRows<'_, E, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.values.chunks(self.length).zip(self.other.chunks(self.length));
        for (row, (out, (values, other))) in self.out.chunks_mut(self.length).zip(rows).enumerate() {
            let function = (self.of_row)(self.first_row + row);
            for (out, (&value, &other)) in out.iter_mut().zip(values.iter().zip(other)) {
                *out = function(value, other);
            }
        }
    }
}

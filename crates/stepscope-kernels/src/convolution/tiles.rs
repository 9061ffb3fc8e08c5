//! The two inner loops: sums of shifted rows, and products of shifted rows.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::element::Element;

/// Most numbers of a vector: 16 of f32 in 512 bits.
const MOST_LANES: usize = 16;
/// Vectors side by side in a tile.
pub(crate) const WIDE: usize = 3;
/// Outputs of a tile where the processor has 32 vector registers, and where it has 16.
pub(crate) const TALL: usize = 8;
pub(crate) const LOW: usize = 4;
/// Numbers that may be read and written beyond the end of a row.
pub(crate) const SLACK: usize = WIDE * MOST_LANES;

/// out[o][j] = bias[o] + Σ_t weights[o][t] · source[offsets[t] + j] for j in 0..length.
///
/// Weights are packed by [`pack`]. Rows of `out` are `pitch` long, at least `length` + [`SLACK`], and so long `source` is readable
/// from every offset.
pub(crate) struct ShiftedSums<'a, E> {
    pub(crate) weights: &'a [E],
    pub(crate) bias: &'a [E],
    pub(crate) offsets: &'a [usize],
    pub(crate) source: &'a [E],
    pub(crate) out: &'a mut [E],
    pub(crate) pitch: usize,
    pub(crate) length: usize,
}

/// Weights [outputs][taps] in blocks of [`TALL`] outputs, tap by tap, filled up with zeros.
pub(crate) fn pack<E: Element>(outputs: usize, taps: usize, weight: impl Fn(usize, usize) -> E) -> Vec<E> {
    let blocks = outputs.div_ceil(TALL);
    let mut packed = vec![E::default(); blocks * TALL * taps];
    for (block, packed) in packed.chunks_mut(TALL * taps).enumerate() {
        for (tap, packed) in packed.chunks_mut(TALL).enumerate() {
            for (row, packed) in packed.iter_mut().enumerate() {
                let output = block * TALL + row;
                if output < outputs {
                    *packed = weight(output, tap);
                }
            }
        }
    }
    packed
}

impl<E: Element> ShiftedSums<'_, E> {
    pub(crate) fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<E: Element> WithSimd for ShiftedSums<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = size_of::<E::Vector<S>>() / size_of::<E>();
        let taps = self.offsets.len();
        let step = WIDE * lanes;
        let outputs = self.bias.len();
        for start in (0..self.length).step_by(step) {
            for block in 0..outputs.div_ceil(TALL) {
                let weights = &self.weights[block * TALL * taps..][..TALL * taps];
                let first = block * TALL;
                // Registers: 24 sums of 32, or twice 12 of 16.
                if size_of::<E::Vector<S>>() == 64 {
                    self.tile::<S, TALL>(simd, weights, first, 0, start);
                } else {
                    self.tile::<S, LOW>(simd, weights, first, 0, start);
                    if first + LOW < outputs {
                        self.tile::<S, LOW>(simd, weights, first, LOW, start);
                    }
                }
            }
        }
    }
}

impl<E: Element> ShiftedSums<'_, E> {
    #[inline(always)]
    fn tile<S: Simd, const HIGH: usize>(&mut self, simd: S, weights: &[E], block: usize, row: usize, start: usize) {
        let first = block + row;
        let sums = biases::<E, S, HIGH, WIDE>(simd, self.bias, first);
        let sums = add_products::<E, S, HIGH, WIDE>(simd, sums, weights, row, self.offsets, &self.source[start..]);
        store::<E, S, HIGH, WIDE>(&sums, self.out, self.pitch, first..self.bias.len(), start);
    }
}

/// Sums that begin with the biases of the outputs from `first` on.
#[inline(always)]
pub(super) fn biases<E: Element, S: Simd, const HIGH: usize, const WIDTH: usize>(
    simd: S,
    bias: &[E],
    first: usize,
) -> [[E::Vector<S>; WIDTH]; HIGH] {
    std::array::from_fn(|index| [E::splat(simd, bias.get(first + index).copied().unwrap_or_default()); WIDTH])
}

/// Adds weight times source, tap by tap, to the sums of the outputs from `row` of a block on.
#[inline(always)]
pub(super) fn add_products<E: Element, S: Simd, const HIGH: usize, const WIDTH: usize>(
    simd: S,
    mut sums: [[E::Vector<S>; WIDTH]; HIGH],
    weights: &[E],
    row: usize,
    offsets: &[usize],
    source: &[E],
) -> [[E::Vector<S>; WIDTH]; HIGH] {
    let lanes = size_of::<E::Vector<S>>() / size_of::<E>();
    for (&offset, weights) in offsets.iter().zip(weights.chunks_exact(TALL)) {
        let source = E::vectors::<S>(&source[offset..][..WIDTH * lanes]);
        let Some(&source) = source.first_chunk::<WIDTH>() else { continue };
        let Some(weights) = weights[row..].first_chunk::<HIGH>() else { continue };
        for (sums, &weight) in sums.iter_mut().zip(weights) {
            let weight = E::splat(simd, weight);
            for (sum, &source) in sums.iter_mut().zip(&source) {
                *sum = E::mul_add(simd, weight, source, *sum);
            }
        }
    }
    sums
}

/// Writes the sums of those outputs that there are.
#[inline(always)]
pub(super) fn store<E: Element, S: Simd, const HIGH: usize, const WIDTH: usize>(
    sums: &[[E::Vector<S>; WIDTH]; HIGH],
    out: &mut [E],
    pitch: usize,
    outputs: Range<usize>,
    start: usize,
) {
    let lanes = size_of::<E::Vector<S>>() / size_of::<E>();
    for (output, sums) in outputs.zip(sums) {
        let out = &mut out[output * pitch + start..][..WIDTH * lanes];
        E::vectors_mut::<S>(out).copy_from_slice(sums);
    }
}

/// products[o][t] += Σ_j rows[o][j] · source[offsets[t] + j] for j in 0..length.
///
/// Rows are `pitch` long and zero from `length` to the next multiple of [`SLACK`]; `source` is readable so far from every offset.
pub(crate) struct ShiftedProducts<'a, E> {
    pub(crate) rows: &'a [E],
    pub(crate) num_rows: usize,
    pub(crate) pitch: usize,
    pub(crate) offsets: &'a [usize],
    pub(crate) source: &'a [E],
    pub(crate) products: &'a mut [E],
    pub(crate) length: usize,
}

impl<E: Element> ShiftedProducts<'_, E> {
    pub(crate) fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<E: Element> WithSimd for ShiftedProducts<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if size_of::<E::Vector<S>>() == 64 {
            self.blocks::<S, 4, 6>(simd);
        } else {
            self.blocks::<S, 3, 4>(simd);
        }
    }
}

impl<E: Element> ShiftedProducts<'_, E> {
    #[inline(always)]
    fn blocks<S: Simd, const ROWS: usize, const TAPS: usize>(&mut self, simd: S) {
        let taps = self.offsets.len();
        for row in (0..self.num_rows).step_by(ROWS) {
            for tap in (0..taps).step_by(TAPS) {
                let sums = self.tile::<S, ROWS, TAPS>(simd, row, tap);
                for (index, sums) in sums.iter().enumerate().take(self.num_rows - row) {
                    let products = &mut self.products[(row + index) * taps + tap..];
                    for (product, &sum) in products[..TAPS.min(taps - tap)].iter_mut().zip(sums) {
                        *product += E::reduce(simd, sum);
                    }
                }
            }
        }
    }

    /// The sums of a tile; places beyond the last row or tap repeat it.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const TAPS: usize>(
        &self,
        simd: S,
        row: usize,
        tap: usize,
    ) -> [[E::Vector<S>; TAPS]; ROWS] {
        let lanes = size_of::<E::Vector<S>>() / size_of::<E>();
        let count = self.length.div_ceil(lanes);
        let rows: [&[E::Vector<S>]; ROWS] = std::array::from_fn(|index| {
            let row = (row + index).min(self.num_rows - 1);
            &E::vectors::<S>(&self.rows[row * self.pitch..][..count * lanes])[..count]
        });
        let sources: [&[E::Vector<S>]; TAPS] = std::array::from_fn(|index| {
            let tap = (tap + index).min(self.offsets.len() - 1);
            &E::vectors::<S>(&self.source[self.offsets[tap]..][..count * lanes])[..count]
        });
        let mut sums = [[E::splat(simd, E::default()); TAPS]; ROWS];
        for place in 0..count {
            let source: [E::Vector<S>; TAPS] = std::array::from_fn(|index| sources[index][place]);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let row = row[place];
                for (sum, &source) in sums.iter_mut().zip(&source) {
                    *sum = E::mul_add(simd, row, source, *sum);
                }
            }
        }
        sums
    }
}

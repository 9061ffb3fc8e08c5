//! The inner loop of two rows of outputs at a time, and what is around it.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::geometry::Convolution;
use super::pairs::{KINDS, RowPairs, copy_row};
use super::tiles::{LOW, SLACK, TALL, WIDE, add_products, biases, pack, store};
use crate::element::Element;

impl Convolution {
    /// The outputs, with the weight of an output channel, input channel, row and column.
    pub(super) fn forward_by_pairs<E: Element>(
        &self,
        pairs: &RowPairs,
        images: &[E],
        weight: impl Fn(usize, usize, [usize; 2]) -> E,
        bias: &[E],
    ) -> Vec<E> {
        let packed = self.packed_pairs(weight);
        let offsets = pairs.offsets(self.channels_in, self.kernel[1]);
        let (image_length, output_length) = (self.image_length(), self.output_length());
        let [rows, columns] = self.output_size();
        let pitch = pairs.span(columns, pairs.group) + SLACK;
        let zeros = |length: usize| vec![E::default(); length];
        let mut out = zeros(images.len() / image_length * output_length);
        out.par_chunks_mut(pairs.group * output_length)
            .zip(images.par_chunks(pairs.group * image_length))
            .for_each_init(
                || {
                    (
                        zeros(pairs.length(self.channels_in)),
                        pairs.rows_apart(),
                        [(); 2].map(|()| zeros(self.channels_out * pitch)),
                    )
                },
                |(source, apart, wide), (out, images)| {
                    pairs.fill(source, apart, images, self.channels_in);
                    let length = pairs.span(columns, out.len() / output_length);
                    let plane = pairs.plane();
                    PairSums { weights: &packed, bias, offsets: &offsets, source, plane, out: wide, pitch, length }
                        .run();
                    for (index, out) in out.chunks_exact_mut(rows * columns).enumerate() {
                        let start = index % self.channels_out * pitch + index / self.channels_out * pairs.image();
                        for (row, out) in out.chunks_exact_mut(columns).enumerate() {
                            copy_row(out, &wide[row % 2][start + row / 2 * pairs.columns..][..columns]);
                        }
                    }
                },
            );
        out
    }

    /// Weights for each combination of rows, as [`pack`] lays them out.
    fn packed_pairs<E: Element>(&self, weight: impl Fn(usize, usize, [usize; 2]) -> E) -> [Vec<E>; KINDS] {
        let half = E::narrow(0.5);
        std::array::from_fn(|kind| {
            pack(self.channels_out, self.channels_in * self.kernel[1], |output, tap| {
                let of_row = |row: usize| weight(output, tap / self.kernel[1], [row, tap % self.kernel[1]]);
                match kind {
                    0 => of_row(0),
                    1 => half * (of_row(0) + of_row(1) + of_row(2)),
                    2 => half * (of_row(0) - of_row(1) + of_row(2)),
                    // The odd row of an output subtracts the last combination.
                    _ => E::default() - of_row(2),
                }
            })
        })
    }
}

/// Both rows of outputs, for j in 0..length: with s_k the sums over all taps of weights times source[offset + k plane + j],
/// out₀ = bias + s₀ + s₁ + s₂ and out₁ = bias + s₁ − s₂ + s₃.
///
/// Rows of `out` are `pitch` long, at least `length` + [`SLACK`], and so long `source` is readable from every offset.
struct PairSums<'a, E> {
    weights: &'a [Vec<E>; KINDS],
    bias: &'a [E],
    offsets: &'a [usize],
    source: &'a [E],
    plane: usize,
    out: &'a mut [Vec<E>; 2],
    pitch: usize,
    length: usize,
}

impl<E: Element> PairSums<'_, E> {
    fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<E: Element> WithSimd for PairSums<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = size_of::<E::Vector<S>>() / size_of::<E>();
        let vectors = self.length.div_ceil(lanes);
        for start in (0..vectors).step_by(WIDE) {
            match vectors - start {
                1 => self.strip::<S, 1>(simd, start * lanes),
                2 => self.strip::<S, 2>(simd, start * lanes),
                _ => self.strip::<S, WIDE>(simd, start * lanes),
            }
        }
    }
}

impl<E: Element> PairSums<'_, E> {
    /// `WIDTH` vectors of every output.
    #[inline(always)]
    fn strip<S: Simd, const WIDTH: usize>(&mut self, simd: S, start: usize) {
        for first in (0..self.bias.len()).step_by(TALL) {
            // Registers: 24 sums of 32, or 12 of 16.
            if size_of::<E::Vector<S>>() == 64 {
                self.tile::<S, TALL, WIDTH>(simd, first, 0, start);
            } else {
                self.tile::<S, LOW, WIDTH>(simd, first, 0, start);
                if first + LOW < self.bias.len() {
                    self.tile::<S, LOW, WIDTH>(simd, first, LOW, start);
                }
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const HIGH: usize, const WIDTH: usize>(
        &mut self,
        simd: S,
        block: usize,
        row: usize,
        start: usize,
    ) {
        let (first, place) = (block + row, [block, row, start]);
        let even = biases::<E, S, HIGH, WIDTH>(simd, self.bias, first);
        let odd = [[E::splat(simd, E::default()); WIDTH]; HIGH];
        let mut even = self.add::<S, HIGH, WIDTH>(simd, even, 1, place);
        let mut odd = self.add::<S, HIGH, WIDTH>(simd, odd, 2, place);
        for (even, odd) in even.iter_mut().flatten().zip(odd.iter_mut().flatten()) {
            (*even, *odd) = (E::plus(simd, *even, *odd), E::minus(simd, *even, *odd));
        }
        let even = self.add::<S, HIGH, WIDTH>(simd, even, 0, place);
        let odd = self.add::<S, HIGH, WIDTH>(simd, odd, 3, place);
        for (out, sums) in self.out.iter_mut().zip([even, odd]) {
            store::<E, S, HIGH, WIDTH>(&sums, out, self.pitch, first..self.bias.len(), start);
        }
    }

    /// Adds the products of one combination.
    // A method: a closure would not be compiled for the vectors of the processor.
    #[inline(always)]
    fn add<S: Simd, const HIGH: usize, const WIDTH: usize>(
        &self,
        simd: S,
        sums: [[E::Vector<S>; WIDTH]; HIGH],
        kind: usize,
        [block, row, start]: [usize; 3],
    ) -> [[E::Vector<S>; WIDTH]; HIGH] {
        let weights = &self.weights[kind][block * self.offsets.len()..];
        let source = &self.source[kind * self.plane + start..];
        add_products::<E, S, HIGH, WIDTH>(simd, sums, weights, row, self.offsets, source)
    }
}

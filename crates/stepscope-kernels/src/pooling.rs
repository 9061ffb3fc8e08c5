//! Max-pooling over squares side by side, without a table of places: where a maximum stands is found again when it is needed.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::element::Element;

/// The largest number of every `size` x `size` square of planes `[rows, columns]`, squares side by side; what is left over at the
/// right and below belongs to no square.
///
/// Where two numbers tie, the first one holds the maximum: in reading order.
///
/// ```
/// use stepscope_kernels::MaxPool;
/// let pool = MaxPool { rows: 2, columns: 3, size: 2 };
/// let x = [1.0, 5.0, 9.0, 4.0, 5.0, 9.0];
/// assert_eq!(pool.largest(&x), [5.0]);
/// assert_eq!(pool.spread(&x, &[7.0]), [0.0, 7.0, 0.0, 0.0, 0.0, 0.0]);
/// assert_eq!(pool.pick(&x, &[10.0, 11.0, 12.0, 13.0, 14.0, 15.0]), [11.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Rows of a plane.
    pub rows: usize,
    /// Columns of a plane.
    pub columns: usize,
    /// Rows and columns of a square; at least 1.
    pub size: usize,
}

impl MaxPool {
    /// Rows and columns of the result.
    pub fn output_size(&self) -> [usize; 2] {
        [self.rows / self.size, self.columns / self.size]
    }

    /// The maxima of `x`, plane by plane.
    pub fn largest<E: Element>(&self, x: &[E]) -> Vec<E> {
        self.pick(x, x)
    }

    /// What `values` holds where `x` has its maxima: the tangent of the maxima, where `values` is that of x.
    pub fn pick<E: Element>(&self, x: &[E], values: &[E]) -> Vec<E> {
        let (plane, output) = (self.rows * self.columns, self.output_size().iter().product::<usize>());
        if output == 0 {
            return Vec::new();
        }
        let mut out = vec![E::default(); x.len() / plane * output];
        let pick = |((out, x), values): ((&mut [E], &[E]), &[E])| {
            Arch::new().dispatch(Pick { pool: self, x, values, out });
        };
        out.par_chunks_mut(output).zip(x.par_chunks(plane)).zip(values.par_chunks(plane)).for_each(pick);
        out
    }

    /// Zeros, but `gradient` where `x` has its maxima: the gradient of x, where `gradient` is that of the maxima.
    pub fn spread<E: Element>(&self, x: &[E], gradient: &[E]) -> Vec<E> {
        let (plane, output) = (self.rows * self.columns, self.output_size().iter().product::<usize>());
        let mut out = vec![E::default(); x.len()];
        if output == 0 {
            return out;
        }
        let spread = |((out, x), gradient): ((&mut [E], &[E]), &[E])| {
            Arch::new().dispatch(Spread { pool: self, x, gradient, out });
        };
        out.par_chunks_mut(plane).zip(x.par_chunks(plane)).zip(gradient.par_chunks(output)).for_each(spread);
        out
    }

    /// One plane: the numbers of `values` at the maxima of `x`.
    #[inline(always)]
    fn pick_plane<E: Element>(&self, x: &[E], values: &[E], out: &mut [E]) {
        let [_, width] = self.output_size();
        let band = self.size * self.columns;
        for ((out, x), values) in out.chunks_exact_mut(width).zip(x.chunks(band)).zip(values.chunks(band)) {
            if self.size == 2 {
                let ([x_above, x_below], [above, below]) = (pairs(x, self.columns), pairs(values, self.columns));
                for (((out, a), b), (v, w)) in out.iter_mut().zip(x_above).zip(x_below).zip(above.iter().zip(below)) {
                    let (mut best, mut at) = (a[0], v[0]);
                    for (candidate, value) in [(a[1], v[1]), (b[0], w[0]), (b[1], w[1])] {
                        at = if beats(candidate, best) { value } else { at };
                        best = if beats(candidate, best) { candidate } else { best };
                    }
                    *out = at;
                }
                continue;
            }
            for (column, out) in out.iter_mut().enumerate() {
                *out = values[self.place(x, column)];
            }
        }
    }

    #[inline(always)]
    fn spread_plane<E: Element>(&self, x: &[E], gradient: &[E], out: &mut [E]) {
        let [_, width] = self.output_size();
        let band = self.size * self.columns;
        for ((out, x), gradient) in out.chunks_mut(band).zip(x.chunks(band)).zip(gradient.chunks_exact(width)) {
            if self.size == 2 {
                let (above, below) = out.split_at_mut(self.columns);
                let [x_above, x_below] = pairs(x, self.columns);
                let rows = above.as_chunks_mut::<2>().0.iter_mut().zip(below.as_chunks_mut::<2>().0);
                for (((o, p), &gradient), (a, b)) in rows.zip(gradient).zip(x_above.iter().zip(x_below)) {
                    let mut best = a[0];
                    let mut place = 0_u32;
                    for (index, candidate) in [(1, a[1]), (2, b[0]), (3, b[1])] {
                        place = if beats(candidate, best) { index } else { place };
                        best = if beats(candidate, best) { candidate } else { best };
                    }
                    let here = |index: u32| if place == index { gradient } else { E::default() };
                    *o = [here(0), here(1)];
                    *p = [here(2), here(3)];
                }
                continue;
            }
            for (column, &gradient) in gradient.iter().enumerate() {
                out[self.place(x, column)] = gradient;
            }
        }
    }

    /// Where in a band of rows the maximum of a square stands.
    #[inline(always)]
    fn place<E: Element>(&self, band: &[E], column: usize) -> usize {
        let first = column * self.size;
        let mut best = first;
        for row in 0..self.size {
            for place in row * self.columns + first..row * self.columns + first + self.size {
                if beats(band[place], band[best]) {
                    best = place;
                }
            }
        }
        best
    }
}

// Methods that have to be inlined, so that they are compiled for the vectors of the processor.

struct Pick<'a, E> {
    pool: &'a MaxPool,
    x: &'a [E],
    values: &'a [E],
    out: &'a mut [E],
}

impl<E: Element> WithSimd for Pick<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.pool.pick_plane(self.x, self.values, self.out);
    }
}

struct Spread<'a, E> {
    pool: &'a MaxPool,
    x: &'a [E],
    gradient: &'a [E],
    out: &'a mut [E],
}

impl<E: Element> WithSimd for Spread<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.pool.spread_plane(self.x, self.gradient, self.out);
    }
}

/// Whether it takes the place of the best so far. What is not a number does, so that it is not lost.
#[inline(always)]
#[allow(clippy::eq_op)]
fn beats<E: Element>(candidate: E, best: E) -> bool {
    candidate > best || candidate != candidate
}

/// The two rows of a band, in pairs.
#[inline(always)]
fn pairs<E>(band: &[E], columns: usize) -> [&[[E; 2]]; 2] {
    let (above, below) = band.split_at(columns);
    [above, &below[..columns]].map(|row| row.as_chunks().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition, a square at a time.
    fn by_definition(pool: MaxPool, x: &[f64], values: &[f64], gradient: &[f64]) -> [Vec<f64>; 3] {
        let [height, width] = pool.output_size();
        let plane = pool.rows * pool.columns;
        let (mut largest, mut picked, mut spread) = (Vec::new(), Vec::new(), vec![0.0; x.len()]);
        for start in (0..x.len()).step_by(plane) {
            for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
                let square = (0..pool.size * pool.size).map(|index| {
                    let (down, right) = (index / pool.size, index % pool.size);
                    start + (row * pool.size + down) * pool.columns + column * pool.size + right
                });
                let best = square.reduce(|best, place| if x[place] > x[best] { place } else { best }).unwrap();
                spread[best] = gradient[largest.len()];
                largest.push(x[best]);
                picked.push(values[best]);
            }
        }
        [largest, picked, spread]
    }

    #[test]
    fn squares_of_any_size_agree_with_the_definition() {
        for (rows, columns, size) in [(4, 4, 2), (5, 7, 2), (32, 30, 2), (9, 10, 3), (4, 4, 1), (2, 3, 4), (6, 2, 2)] {
            let pool = MaxPool { rows, columns, size };
            let numbers = |seed: usize, count: usize| -> Vec<f64> {
                // Few values, so that many tie.
                (0..count).map(|place| ((place * seed) % 23 % 7) as f64 - 3.0).collect()
            };
            let x = numbers(13, 6 * rows * columns);
            let values = numbers(17, x.len()).iter().enumerate().map(|(i, v)| v + i as f64).collect::<Vec<_>>();
            let gradient = numbers(19, x.len());
            let [largest, picked, spread] = by_definition(pool, &x, &values, &gradient);
            let gradient = &gradient[..largest.len()];
            assert_eq!(pool.largest(&x), largest, "{pool:?}");
            assert_eq!(pool.pick(&x, &values), picked, "{pool:?}");
            assert_eq!(pool.spread(&x, gradient), spread, "{pool:?}");
            let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
            assert_eq!(pool.spread(&narrow(&x), &narrow(gradient)), narrow(&spread), "{pool:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_the_maximum() {
        let pool = MaxPool { rows: 2, columns: 2, size: 2 };
        assert!(pool.largest(&[1.0, f32::NAN, 2.0, 3.0])[0].is_nan());
    }
}

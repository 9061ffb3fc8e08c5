//! Convolutions with three rows of weights and no stride between rows: two rows of outputs at a time.
//!
//! Two neighbouring outputs of a filter with three weights take six products, or four, by Winograd's minimal filtering F(2, 3). Here it is
//! applied to rows. With the rows d₀ to d₃ of the padded image, the rows w₀ to w₂ of the weights, and products that are convolutions along columns:
//!
//! ```text
//! m₀ = (d₀ − d₂) w₀    m₁ = (d₁ + d₂) (w₀ + w₁ + w₂)/2    m₂ = (d₂ − d₁) (w₀ − w₁ + w₂)/2    m₃ = (d₁ − d₃) w₂
//! y₀ = m₀ + m₁ + m₂    y₁ = m₁ − m₂ − m₃
//! ```
//!
//! That is two thirds of the multiplications, and images stand below each other without rows of zeros between them. The gradient of the weights is
//! the same scheme transposed: with the rows g₀, g₁ of the outputs' gradient and p the sums over all pixels of (g₀, g₀ + g₁, g₀ − g₁, g₁)
//! times the four combinations of d, it is p₀ + (p₁ + p₂)/2, (p₁ − p₂)/2, (p₁ + p₂)/2 − p₃.
//!
//! The combinations are sums of two numbers, so the rounding is that of sums twice as large. Source: Winograd 1980; Lavin and Gray 2016.

use pulp::{Arch, Simd, WithSimd};

use super::geometry::Convolution;
use super::tiles::SLACK;
use crate::element::Element;

/// Combinations of rows.
pub(super) const KINDS: usize = 4;
/// Tiles are long enough once a group of images has so many numbers in a plane.
pub(super) const LONG_ENOUGH: usize = 512;

/// Planes of a group of images: for each channel one of every combination, with the images one below the other, a row for each pair of
/// rows of the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPairs {
    /// Rows and columns of an image.
    size: [usize; 2],
    /// Zeros around it.
    padding: [usize; 2],
    /// Pairs of output rows, of which the last may have one only.
    pub(super) pairs: usize,
    /// Columns of a padded image.
    pub(super) columns: usize,
    /// Images below each other.
    pub(super) group: usize,
}

impl RowPairs {
    /// For a convolution over `num_images` images, in planes of at most `length` numbers or of one image; `None` where it has another number of rows,
    /// or a stride.
    pub(super) fn of(convolution: &Convolution, num_images: usize, length: usize) -> Option<Self> {
        if convolution.kernel[0] != 3 || convolution.stride != [1, 1] {
            return None;
        }
        let (size, padding) = (convolution.size, convolution.padding);
        let pairs = convolution.output_size()[0].div_ceil(2);
        let columns = size[1] + 2 * padding[1];
        // As many groups for each thread.
        let most = (length / (pairs * columns)).clamp(1, num_images.max(1));
        let groups = num_images.div_ceil(most).next_multiple_of(rayon::current_num_threads());
        let group = num_images.div_ceil(groups.max(1)).max(1);
        Some(Self { size, padding, pairs, columns, group })
    }

    /// Numbers of one image in a plane.
    pub(super) fn image(&self) -> usize {
        self.pairs * self.columns
    }

    /// Numbers of a plane, with room to write whole vectors.
    pub(super) fn plane(&self) -> usize {
        self.image() * self.group + SLACK
    }

    /// Numbers to reserve for images of so many channels, with room to read beyond the end.
    pub(super) fn length(&self, channels: usize) -> usize {
        channels * KINDS * self.plane() + SLACK
    }

    /// Numbers from the first to the last output of `num_images` images.
    pub(super) fn span(&self, output_columns: usize, num_images: usize) -> usize {
        num_images * self.image() - self.columns + output_columns
    }

    /// Where each weight of a row, of every input channel, reads the plane of the first combination.
    pub(super) fn offsets(&self, channels: usize, kernel_columns: usize) -> Vec<usize> {
        (0..channels)
            .flat_map(|channel| (0..kernel_columns).map(move |column| channel * KINDS * self.plane() + column))
            .collect()
    }

    /// Lays out the combinations of the rows of images.
    pub(super) fn fill<E: Element>(&self, planes: &mut [E], rows: &mut RowsApart<E>, images: &[E], channels: usize) {
        for (index, image) in images.chunks_exact(self.size[0] * self.size[1]).enumerate() {
            rows.read(image, self.size[1], self.padding);
            let start = index % channels * KINDS * self.plane() + index / channels * self.image();
            let out = &mut planes[start..];
            let (even, odd, length, plane, down) =
                (&rows.even[..], &rows.odd[..], self.image(), self.plane(), self.columns);
            Arch::new().dispatch(Combine { even, odd, out, length, plane, down });
        }
    }

    /// Lays out the combinations of the rows of the outputs' gradient, each kind `kind` numbers apart and each channel `pitch`.
    pub(super) fn fill_gradient<E: Element>(
        &self,
        out: &mut [E],
        rows: &mut RowsApart<E>,
        gradient: &[E],
        channels: usize,
        [kind, pitch]: [usize; 2],
        size: [usize; 2],
    ) {
        for (index, gradient) in gradient.chunks_exact(size[0] * size[1]).enumerate() {
            rows.read(gradient, size[1], [0, 0]);
            let out = &mut out[index % channels * pitch + index / channels * self.image()..];
            Arch::new().dispatch(CombineGradient { even: &rows.even, odd: &rows.odd, out, length: self.image(), kind });
        }
    }

    /// Buffers for the rows of one padded image.
    pub(super) fn rows_apart<E: Element>(&self) -> RowsApart<E> {
        RowsApart::new(self.pairs + 1, self.columns)
    }

    /// Buffers for the rows of one output, at the pitch of these planes.
    pub(super) fn output_rows_apart<E: Element>(&self) -> RowsApart<E> {
        RowsApart::new(self.pairs, self.columns)
    }
}

/// Even and odd rows of an image, with zeros around it.
pub(super) struct RowsApart<E> {
    pub(super) even: Vec<E>,
    pub(super) odd: Vec<E>,
    pitch: usize,
}

impl<E: Element> RowsApart<E> {
    fn new(rows: usize, pitch: usize) -> Self {
        let zeros = vec![E::default(); rows * pitch + SLACK];
        Self { even: zeros.clone(), odd: zeros, pitch }
    }

    /// Deals out the rows of an image that begins at `origin`; elsewhere there are zeros, since images are of one size.
    pub(super) fn read(&mut self, image: &[E], columns: usize, origin: [usize; 2]) {
        for (row, pixels) in image.chunks_exact(columns).enumerate() {
            let row = row + origin[0];
            let rows = if row.is_multiple_of(2) { &mut self.even } else { &mut self.odd };
            copy_row(&mut rows[row / 2 * self.pitch + origin[1]..][..columns], pixels);
        }
    }
}

/// Copies a row. Lengths of 8 to 32, those of most images, take a few moves where `copy_from_slice` makes a call.
#[inline]
pub(super) fn copy_row<E: Element>(to: &mut [E], from: &[E]) {
    match from.len() {
        8..=16 => copy_ends::<E, 8>(to, from),
        17..=32 => copy_ends::<E, 16>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first `N` and the last `N` numbers, which are all of up to twice as many.
#[inline]
fn copy_ends<E: Element, const N: usize>(to: &mut [E], from: &[E]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

/// The four combinations of d₀ = even[j], d₁ = odd[j], d₂ = even[j + down], d₃ = odd[j + down] for j in 0..length, `plane` apart.
///
/// Whole vectors are written: what is beyond the end belongs to the image that is laid out next, or to nobody.
struct Combine<'a, E> {
    even: &'a [E],
    odd: &'a [E],
    out: &'a mut [E],
    length: usize,
    plane: usize,
    down: usize,
}

impl<E: Element> WithSimd for Combine<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = size_of::<E::Vector<S>>() / size_of::<E>();
        let whole = self.length.next_multiple_of(lanes);
        let [d0, d1] = [self.even, self.odd].map(|rows| E::vectors::<S>(&rows[..whole]));
        let [d2, d3] = [self.even, self.odd].map(|rows| E::vectors::<S>(&rows[self.down..][..whole]));
        let [m0, m1, m2, m3] = fours(self.out, self.plane).map(|out| E::vectors_mut::<S>(&mut out[..whole]));
        let outs = m0.iter_mut().zip(m1).zip(m2.iter_mut().zip(m3));
        let sources = d0.iter().zip(d1).zip(d2.iter().zip(d3));
        for (((m0, m1), (m2, m3)), ((&d0, &d1), (&d2, &d3))) in outs.zip(sources) {
            *m0 = E::minus(simd, d0, d2);
            *m1 = E::plus(simd, d1, d2);
            *m2 = E::minus(simd, d2, d1);
            *m3 = E::minus(simd, d1, d3);
        }
    }
}

/// The four combinations of g₀ = even[j], g₁ = odd[j] for j in 0..length, `kind` apart; whole vectors as in [`Combine`].
struct CombineGradient<'a, E> {
    even: &'a [E],
    odd: &'a [E],
    out: &'a mut [E],
    length: usize,
    kind: usize,
}

impl<E: Element> WithSimd for CombineGradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = size_of::<E::Vector<S>>() / size_of::<E>();
        let whole = self.length.next_multiple_of(lanes);
        let [g0, g1] = [self.even, self.odd].map(|rows| E::vectors::<S>(&rows[..whole]));
        let [m0, m1, m2, m3] = fours(self.out, self.kind).map(|out| E::vectors_mut::<S>(&mut out[..whole]));
        let outs = m0.iter_mut().zip(m1).zip(m2.iter_mut().zip(m3));
        for (((m0, m1), (m2, m3)), (&g0, &g1)) in outs.zip(g0.iter().zip(g1)) {
            *m0 = g0;
            *m1 = E::plus(simd, g0, g1);
            *m2 = E::minus(simd, g0, g1);
            *m3 = g1;
        }
    }
}

/// Four parts that begin so far from each other.
#[inline(always)]
fn fours<E>(out: &mut [E], apart: usize) -> [&mut [E]; KINDS] {
    let (first, rest) = out.split_at_mut(apart);
    let (second, rest) = rest.split_at_mut(apart);
    let (third, fourth) = rest.split_at_mut(apart);
    [first, second, third, fourth]
}

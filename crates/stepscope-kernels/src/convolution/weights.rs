//! The gradient with respect to the weights: products of shifted rows.

use rayon::prelude::*;

use super::geometry::Convolution;
use super::pairs::{KINDS, LONG_ENOUGH, RowPairs, copy_row};
use super::planes::Planes;
use super::tiles::{SLACK, ShiftedProducts};
use crate::element::Element;

/// Numbers of all planes of one combination that stay close to a core.
const CACHED: usize = 1 << 15;

impl Convolution {
    /// The gradient with respect to the weights, where `gradient` is that with respect to the outputs.
    ///
    /// ∂w[o, i, a, b] = Σ x[n, i, r·stride + a − padding, c·stride + b − padding] · gradient[n, o, r, c] over n, r and c.
    ///
    /// Every thread sums over a fixed share of the images, and the shares are added in order.
    ///
    /// Cost: as [`Convolution::forward`]; one array of weights for each thread.
    pub fn weight_gradient<E: Element>(&self, images: &[E], gradient: &[E]) -> Vec<E> {
        let (image_length, output_length) = (self.image_length(), self.output_length());
        let num_images = (images.len() / image_length).min(gradient.len() / output_length);
        // Sums over longer rows end less often in one number; of few channels they still fit a core's second cache.
        let length = (CACHED / (self.channels_in + self.channels_out)).max(LONG_ENOUGH);
        let share = num_images.div_ceil(rayon::current_num_threads()).max(1);
        let shares: Vec<Vec<E>> = images
            .par_chunks(share * image_length)
            .zip(gradient.par_chunks(share * output_length))
            .map(|(images, gradient)| match RowPairs::of(self, images.len() / image_length, length) {
                Some(pairs) => self.weight_gradient_by_pairs(&pairs, images, gradient),
                None => self.weight_gradient_of(images, gradient),
            })
            .collect();
        let mut sum = vec![E::default(); self.channels_out * self.num_taps()];
        for share in shares {
            sum.iter_mut().zip(share).for_each(|(sum, share)| *sum += share);
        }
        sum
    }

    /// On one thread.
    fn weight_gradient_of<E: Element>(&self, images: &[E], gradient: &[E]) -> Vec<E> {
        let num_images = images.len() / self.image_length();
        let planes = Planes::of_images(self, num_images);
        let offsets = self.offsets(&planes);
        let size = self.output_size();
        let pitch = planes.span(size, planes.group).next_multiple_of(SLACK);
        let mut source = vec![E::default(); planes.length(self.channels_in)];
        let mut products = vec![E::default(); self.channels_out * offsets.len()];
        let groups =
            images.chunks(planes.group * self.image_length()).zip(gradient.chunks(planes.group * self.output_length()));
        let mut rows = vec![E::default(); self.channels_out * pitch];
        for (images, gradient) in groups {
            let count = gradient.len() / self.output_length();
            if count < planes.group {
                rows.fill(E::default());
            }
            planes.fill(&mut source, images, self.channels_in, self.size);
            for (index, gradient) in gradient.chunks_exact(size[0] * size[1]).enumerate() {
                let (image, channel) = (index / self.channels_out, index % self.channels_out);
                let wide = &mut rows[channel * pitch + image * planes.image()..];
                for (gradient, wide) in gradient.chunks_exact(size[1]).zip(wide.chunks_mut(planes.size[1])) {
                    copy_row(&mut wide[..size[1]], gradient);
                }
            }
            let (num_rows, length) = (self.channels_out, planes.span(size, count));
            let (rows, offsets, source, products) = (&rows, &offsets, &source, &mut products);
            ShiftedProducts { rows, num_rows, pitch, offsets, source, products, length }.run();
        }
        products
    }

    /// On one thread, two rows of outputs at a time.
    fn weight_gradient_by_pairs<E: Element>(&self, pairs: &RowPairs, images: &[E], gradient: &[E]) -> Vec<E> {
        let offsets = pairs.offsets(self.channels_in, self.kernel[1]);
        let (num_rows, size) = (self.channels_out, self.output_size());
        let zeros = |length: usize| vec![E::default(); length];
        let mut source = zeros(pairs.length(self.channels_in));
        let (mut apart, mut gradient_apart) = (pairs.rows_apart(), pairs.output_rows_apart());
        // Rows of zeros beyond the last image, up to whole vectors.
        let pitch = (pairs.image() * pairs.group + SLACK).next_multiple_of(SLACK);
        let kind = num_rows * pitch;
        let mut rows = zeros(KINDS * kind);
        let mut products = [(); KINDS].map(|()| zeros(num_rows * offsets.len()));
        let groups =
            images.chunks(pairs.group * self.image_length()).zip(gradient.chunks(pairs.group * self.output_length()));
        for (images, gradient) in groups {
            let count = gradient.len() / self.output_length();
            if count < pairs.group {
                rows.fill(E::default());
            }
            pairs.fill(&mut source, &mut apart, images, self.channels_in);
            pairs.fill_gradient(&mut rows, &mut gradient_apart, gradient, num_rows, [kind, pitch], size);
            let length = pairs.span(size[1], count);
            for ((index, products), rows) in products.iter_mut().enumerate().zip(rows.chunks_exact(kind)) {
                let (offsets, source) = (&offsets, &source[index * pairs.plane()..]);
                ShiftedProducts { rows, num_rows, pitch, offsets, source, products, length }.run();
            }
        }
        self.weights_of_pairs(&products)
    }

    /// The gradient from the sums of the four combinations.
    fn weights_of_pairs<E: Element>(&self, [first, second, third, fourth]: &[Vec<E>; KINDS]) -> Vec<E> {
        let (half, columns) = (E::narrow(0.5), self.kernel[1]);
        let mut gradient = vec![E::default(); self.channels_out * self.num_taps()];
        for (place, gradient) in gradient.chunks_exact_mut(3 * columns).enumerate() {
            for column in 0..columns {
                let at = place * columns + column;
                let (sum, difference) = (half * (second[at] + third[at]), half * (second[at] - third[at]));
                gradient[column] = first[at] + sum;
                gradient[columns + column] = difference;
                gradient[2 * columns + column] = sum - fourth[at];
            }
        }
        gradient
    }
}

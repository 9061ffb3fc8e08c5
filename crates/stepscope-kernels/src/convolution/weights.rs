//! The gradient with respect to the weights: products of shifted rows.

use rayon::prelude::*;

use super::geometry::Convolution;
use super::planes::Planes;
use super::tiles::{SLACK, ShiftedProducts};
use crate::element::Element;

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
        let share = num_images.div_ceil(rayon::current_num_threads()).max(1);
        let shares: Vec<Vec<E>> = images
            .par_chunks(share * image_length)
            .zip(gradient.par_chunks(share * output_length))
            .map(|(images, gradient)| self.weight_gradient_of(images, gradient))
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
                    wide[..size[1]].copy_from_slice(gradient);
                }
            }
            let (num_rows, length) = (self.channels_out, planes.span(size, count));
            let (rows, offsets, source, products) = (&rows, &offsets, &source, &mut products);
            ShiftedProducts { rows, num_rows, pitch, offsets, source, products, length }.run();
        }
        products
    }
}

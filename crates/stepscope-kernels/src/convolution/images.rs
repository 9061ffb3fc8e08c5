//! The convolution itself, and the gradient with respect to the images: both are sums of shifted rows.

use rayon::prelude::*;

use super::geometry::Convolution;
use super::pairs::{LONG_ENOUGH, RowPairs, copy_row};
use super::planes::Planes;
use super::tiles::{SLACK, ShiftedSums, pack};
use crate::element::Element;

impl Convolution {
    /// The outputs for images and weights: see [`Convolution`].
    ///
    /// Slices that are not a whole number of images give outputs for the whole ones.
    ///
    /// Cost: 2 · weights · output pixels operations, plus as much for the columns of the padded image that the kernel hangs over; one
    /// padded copy of a few images for each thread.
    ///
    /// # Panics
    /// As a slice does, where there are fewer weights or biases than the sizes say.
    pub fn forward<E: Element>(&self, images: &[E], weights: &[E], bias: Option<&[E]>) -> Vec<E> {
        let num_images = images.len() / self.image_length();
        let zeros = vec![E::default(); self.channels_out];
        let bias = bias.unwrap_or(&zeros);
        if let Some(pairs) = RowPairs::of(self, num_images, LONG_ENOUGH) {
            let weight =
                |output, input, [row, column]: [usize; 2]| weights[self.weight_index(output, input, row, column)];
            return self.forward_by_pairs(&pairs, images, weight, &bias[..self.channels_out]);
        }
        let planes = Planes::of_images(self, num_images);
        let taps = self.num_taps();
        let packed = pack(self.channels_out, taps, |output, tap| weights[output * taps + tap]);
        let offsets = self.offsets(&planes);
        let (image_length, size) = (self.image_length(), self.output_size());
        let mut out = vec![E::default(); num_images * self.output_length()];
        out.par_chunks_mut(planes.group * self.output_length())
            .zip(images.par_chunks(planes.group * image_length))
            .for_each_init(
                || Scratch::new(&planes, self.channels_in, self.channels_out, size),
                |scratch, (out, images)| {
                    let count = out.len() / self.output_length();
                    planes.fill(&mut scratch.source, images, self.channels_in, self.size);
                    scratch.sum(&packed, bias, &offsets, planes.span(size, count));
                    for (index, out) in out.chunks_exact_mut(size[0] * size[1]).enumerate() {
                        let (image, channel) = (index / self.channels_out, index % self.channels_out);
                        let wide = &scratch.wide[channel * scratch.pitch + image * planes.image()..];
                        for (out, wide) in out.chunks_exact_mut(size[1]).zip(wide.chunks(planes.size[1])) {
                            copy_row(out, &wide[..size[1]]);
                        }
                    }
                },
            );
        out
    }

    /// Where each weight of an output channel reads the planes.
    pub(super) fn offsets(&self, planes: &Planes) -> Vec<usize> {
        let [rows, columns] = self.kernel;
        (0..self.channels_in)
            .flat_map(|channel| {
                (0..rows).flat_map(move |row| (0..columns).map(move |column| planes.offset(channel, [row, column])))
            })
            .collect()
    }

    /// The gradient with respect to the images, where `gradient` is that with respect to the outputs.
    ///
    /// ∂x[n, i, p, q] = Σ weights[o, i, a, b] · gradient[n, o, r, c] over all o, a, b, r, c with r·stride + a − padding = p, likewise for q.
    ///
    /// Cost: as [`Convolution::forward`].
    ///
    /// # Panics
    /// As a slice does, where there are fewer weights than the sizes say.
    pub fn image_gradient<E: Element>(&self, weights: &[E], gradient: &[E]) -> Vec<E> {
        let num_images = gradient.len() / self.output_length();
        if let Some((adjoint, pairs)) =
            self.adjoint().and_then(|c| Some((c, RowPairs::of(&c, num_images, LONG_ENOUGH)?)))
        {
            let zeros = vec![E::default(); self.channels_in];
            let last = self.kernel.map(|length| length - 1);
            let weight = |input, output, [row, column]: [usize; 2]| {
                weights[self.weight_index(output, input, last[0] - row, last[1] - column)]
            };
            return adjoint.forward_by_pairs(&pairs, gradient, weight, &zeros);
        }
        let phases = self.phases(weights);
        // Rows and columns of an image's plane, and of the kernel in it.
        let plane: [usize; 2] =
            std::array::from_fn(|axis| (self.size[axis] + 2 * self.padding[axis]).div_ceil(self.stride[axis]));
        let reach: [usize; 2] = std::array::from_fn(|axis| self.kernel[axis].div_ceil(self.stride[axis]) - 1);
        let padded =
            std::array::from_fn(|axis| (plane[axis] + reach[axis]).max(self.output_size()[axis] + reach[axis]));
        let planes = Planes::new(padded, reach, [1, 1], num_images);
        let zeros = vec![E::default(); self.channels_in];
        let image_length = self.image_length();
        let mut out = vec![E::default(); num_images * image_length];
        out.par_chunks_mut(planes.group * image_length)
            .zip(gradient.par_chunks(planes.group * self.output_length()))
            .for_each_init(
                || Scratch::new(&planes, self.channels_out, self.channels_in, plane),
                |scratch, (out, gradient)| {
                    let count = out.len() / image_length;
                    planes.fill(&mut scratch.source, gradient, self.channels_out, self.output_size());
                    for phase in &phases {
                        let offsets: Vec<usize> = phase
                            .taps
                            .iter()
                            .map(|tap| planes.offset(tap.channel, [reach[0] - tap.shift[0], reach[1] - tap.shift[1]]))
                            .collect();
                        scratch.sum(&phase.packed, &zeros, &offsets, planes.span(plane, count));
                        self.collect(out, scratch, &planes, phase.remainder);
                    }
                },
            );
        out
    }

    /// Without a stride: the convolution of the outputs' gradient with the weights turned around that gives the gradient of the images.
    fn adjoint(&self) -> Option<Self> {
        let outside = |axis: usize| (self.kernel[axis] - 1).checked_sub(self.padding[axis]);
        let padding = [outside(0)?, outside(1)?];
        let (channels_in, channels_out, size) = (self.channels_out, self.channels_in, self.output_size());
        (self.stride == [1, 1]).then_some(Self { channels_in, channels_out, size, padding, ..*self })
    }

    /// Writes the pixels whose row and column have these remainders.
    fn collect<E: Element>(&self, out: &mut [E], scratch: &Scratch<E>, planes: &Planes, remainder: [usize; 2]) {
        let [rows, columns] = self.size;
        for (index, out) in out.chunks_exact_mut(rows * columns).enumerate() {
            let (image, channel) = (index / self.channels_in, index % self.channels_in);
            let wide = &scratch.wide[channel * scratch.pitch + image * planes.image()..];
            for (row, out) in out.chunks_exact_mut(columns).enumerate() {
                let row = row + self.padding[0];
                if row % self.stride[0] != remainder[0] {
                    continue;
                }
                let wide = &wide[row / self.stride[0] * planes.size[1]..];
                if self.stride[1] == 1 {
                    copy_row(out, &wide[self.padding[1]..][..columns]);
                    continue;
                }
                // The first pixel of that remainder, and where it stands among those of its kind.
                let first = (remainder[1] + self.stride[1] - self.padding[1] % self.stride[1]) % self.stride[1];
                let own = out.iter_mut().skip(first).step_by(self.stride[1]);
                own.zip(&wide[(first + self.padding[1]) / self.stride[1]..]).for_each(|(out, wide)| *out = *wide);
            }
        }
    }

    /// The weights that reach pixels of each remainder, with their shifts within a plane.
    fn phases<E: Element>(&self, weights: &[E]) -> Vec<Phase<E>> {
        let remainders = (0..self.stride[0]).flat_map(|row| (0..self.stride[1]).map(move |column| [row, column]));
        remainders
            .filter_map(|remainder| {
                let places = |axis: usize| (remainder[axis]..self.kernel[axis]).step_by(self.stride[axis]);
                let taps: Vec<Tap> = (0..self.channels_out)
                    .flat_map(|channel| {
                        places(0).flat_map(move |row| places(1).map(move |column| (channel, [row, column])))
                    })
                    .map(|(channel, place)| Tap {
                        channel,
                        place,
                        shift: [place[0] / self.stride[0], place[1] / self.stride[1]],
                    })
                    .collect();
                // Pixels that a kernel smaller than the stride steps over get nothing.
                if taps.is_empty() {
                    return None;
                }
                let packed = pack(self.channels_in, taps.len(), |input, tap| {
                    let Tap { channel, place: [row, column], .. } = taps[tap];
                    weights[self.weight_index(channel, input, row, column)]
                });
                Some(Phase { remainder, taps, packed })
            })
            .collect()
    }
}

/// What reaches the pixels of one remainder of row and column.
struct Phase<E> {
    remainder: [usize; 2],
    taps: Vec<Tap>,
    packed: Vec<E>,
}

/// A place of the kernel, seen from an output channel.
struct Tap {
    channel: usize,
    place: [usize; 2],
    shift: [usize; 2],
}

/// Buffers of a thread.
struct Scratch<E> {
    source: Vec<E>,
    wide: Vec<E>,
    pitch: usize,
}

impl<E: Element> Scratch<E> {
    fn new(planes: &Planes, channels_read: usize, channels_written: usize, output: [usize; 2]) -> Self {
        let pitch = planes.span(output, planes.group) + SLACK;
        Self {
            source: vec![E::default(); planes.length(channels_read)],
            wide: vec![E::default(); channels_written * pitch],
            pitch,
        }
    }

    fn sum(&mut self, weights: &[E], bias: &[E], offsets: &[usize], length: usize) {
        let (source, out, pitch) = (&self.source, &mut self.wide, self.pitch);
        ShiftedSums { weights, bias, offsets, source, out, pitch, length }.run();
    }
}

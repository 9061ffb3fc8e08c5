//! Images laid out so that every place of a kernel reads them at a constant shift.

use super::geometry::Convolution;
use super::pairs::copy_row;
use super::tiles::SLACK;
use crate::element::Element;

/// Tiles are long enough once a group of images has so many numbers in a plane.
const LONG_ENOUGH: usize = 512;

/// Planes of a group of images: for each channel and remainder of row and column one, with the images one below the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    /// Remainders that are told apart, in rows and columns.
    stride: [usize; 2],
    /// Where the image begins in the padded one.
    origin: [usize; 2],
    /// Rows and columns of one image in one plane.
    pub(super) size: [usize; 2],
    /// Images below each other.
    pub(super) group: usize,
}

impl Planes {
    /// For images of `size` that begin at `origin` of a padded image of `padded` rows and columns.
    pub(super) fn new(padded: [usize; 2], origin: [usize; 2], stride: [usize; 2], num_images: usize) -> Self {
        let size: [usize; 2] = std::array::from_fn(|axis| padded[axis].div_ceil(stride[axis]));
        let group = (LONG_ENOUGH / (size[0] * size[1])).clamp(1, num_images.max(1));
        Self { stride, origin, size, group }
    }

    /// Those that a convolution reads its images from.
    pub(super) fn of_images(convolution: &Convolution, num_images: usize) -> Self {
        let padded = std::array::from_fn(|axis| convolution.size[axis] + 2 * convolution.padding[axis]);
        Self::new(padded, convolution.padding, convolution.stride, num_images)
    }

    /// Numbers of one image in a plane.
    pub(super) fn image(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Numbers of a plane.
    fn plane(&self) -> usize {
        self.image() * self.group
    }

    /// Numbers to reserve for images of so many channels, with room to read beyond the end.
    pub(super) fn length(&self, channels: usize) -> usize {
        channels * self.stride[0] * self.stride[1] * self.plane() + SLACK
    }

    /// Where the pixel under a place of the kernel stands, for the output at 0.
    #[inline]
    pub(super) fn offset(&self, channel: usize, place: [usize; 2]) -> usize {
        let remainder: [usize; 2] = std::array::from_fn(|axis| place[axis] % self.stride[axis]);
        let plane = (channel * self.stride[0] + remainder[0]) * self.stride[1] + remainder[1];
        let shift = place[0] / self.stride[0] * self.size[1] + place[1] / self.stride[1];
        plane * self.plane() + shift
    }

    /// Numbers from the first to the last output of `num_images` images, at the pitch of these planes.
    pub(super) fn span(&self, output: [usize; 2], num_images: usize) -> usize {
        (num_images - 1) * self.image() + (output[0] - 1) * self.size[1] + output[1]
    }

    /// Lays out images of `channels` channels and `size`; `planes` holds zeros wherever no pixel stands.
    pub(super) fn fill<E: Element>(&self, planes: &mut [E], images: &[E], channels: usize, size: [usize; 2]) {
        let [rows, columns] = size;
        for (index, image) in images.chunks_exact(rows * columns).enumerate() {
            let (base, channel) = (index / channels * self.image(), index % channels);
            for (row, pixels) in image.chunks_exact(columns).enumerate() {
                let row = row + self.origin[0];
                // Every stride-th pixel goes to one plane.
                for remainder in 0..self.stride[1].min(columns) {
                    let start = base + self.offset(channel, [row, self.origin[1] + remainder]);
                    if self.stride[1] == 1 {
                        copy_row(&mut planes[start..][..columns], pixels);
                        continue;
                    }
                    let own = pixels[remainder..].iter().step_by(self.stride[1]);
                    planes[start..].iter_mut().zip(own).for_each(|(place, pixel)| *place = *pixel);
                }
            }
        }
    }
}

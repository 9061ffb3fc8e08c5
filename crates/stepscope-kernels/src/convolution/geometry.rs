//! Sizes of a convolution.

use thiserror::Error;

/// `y[n, o, r, c] = bias[o] + Σ weights[o, i, a, b] · x[n, i, r·stride + a − padding, c·stride + b − padding]`, with zeros outside x.
///
/// Images are `[n, channels_in, rows, columns]`, weights `[channels_out, channels_in, kernel rows, kernel columns]`, all
/// with the last index fastest. One group, no dilation.
///
/// ```
/// use stepscope_kernels::Convolution;
/// let sums = Convolution::new([1, 2, 2], 1, [2, 2], [1, 1], [0, 0])?;
/// assert_eq!(sums.forward(&[1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, 1.0, 1.0], Some(&[0.5])), [10.5]);
/// # Ok::<(), stepscope_kernels::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    pub(super) channels_in: usize,
    pub(super) channels_out: usize,
    pub(super) size: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
}

/// Sizes that make no convolution.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a kernel of {kernel:?} with stride {stride:?} does not fit images of {size:?} with padding {padding:?}: no size may \
     be 0 and the kernel may not be larger than the padded image"
)]
pub struct ShapeError {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// The stride.
    pub stride: [usize; 2],
    /// Channels, rows and columns of an image.
    pub size: [usize; 3],
    /// The padding on each side.
    pub padding: [usize; 2],
}

impl Convolution {
    /// A convolution of images `[channels, rows, columns]` to `channels_out` channels. Pairs are for rows and columns.
    ///
    /// # Errors
    /// [`ShapeError`] where there is nothing to compute.
    pub fn new(
        [channels_in, rows, columns]: [usize; 3],
        channels_out: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Result<Self, ShapeError> {
        let size = [rows, columns];
        let sizes = [channels_in, channels_out, rows, columns, kernel[0], kernel[1], stride[0], stride[1]];
        let fits = |axis: usize| kernel[axis] <= size[axis] + 2 * padding[axis];
        if sizes.contains(&0) || !fits(0) || !fits(1) {
            return Err(ShapeError { kernel, stride, size: [channels_in, rows, columns], padding });
        }
        Ok(Self { channels_in, channels_out, size, kernel, stride, padding })
    }

    /// Rows and columns of the output.
    pub fn output_size(&self) -> [usize; 2] {
        std::array::from_fn(|axis| {
            (self.size[axis] + 2 * self.padding[axis] - self.kernel[axis]) / self.stride[axis] + 1
        })
    }

    /// Numbers of an image.
    pub(super) fn image_length(&self) -> usize {
        self.channels_in * self.size[0] * self.size[1]
    }

    /// Numbers of an output.
    pub(super) fn output_length(&self) -> usize {
        let [rows, columns] = self.output_size();
        self.channels_out * rows * columns
    }

    /// Weights of one output channel.
    pub(super) fn num_taps(&self) -> usize {
        self.channels_in * self.kernel[0] * self.kernel[1]
    }

    /// Where a weight stands.
    pub(super) fn weight_index(&self, output: usize, input: usize, row: usize, column: usize) -> usize {
        ((output * self.channels_in + input) * self.kernel[0] + row) * self.kernel[1] + column
    }
}

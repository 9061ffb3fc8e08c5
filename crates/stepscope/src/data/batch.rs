//! Examples as tensors.

use burn::Tensor;
use burn::tensor::{DType, Device, Int, TensorData};

use super::split::Split;
use super::target::Target;

/// Images with their labels, on a device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[batch, channels, rows, columns]`.
    pub images: Tensor<4>,
    /// `[batch]`.
    pub labels: Tensor<1, Int>,
    /// Place of the first example within what the batch is a part of: dropout masks go by places, so that
    /// micro-batches get the masks that the whole would have. 0 for a batch of its own.
    pub first_example: u64,
    /// What outputs are compared with.
    pub target: Target,
}

impl Batch {
    /// The examples of `split` at `indices`, in that order. Indices are below `split.num_examples()`.
    pub fn gather(split: &Split, shape: [usize; 3], indices: &[u32], device: &Device, dtype: DType) -> Self {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        split.gather(indices, &mut images, &mut labels);
        Self::of_numbers(images, &labels, shape, split.target(), device, dtype)
    }

    /// The batch of these images, one after the other, and their labels.
    pub(super) fn of_numbers(
        images: Vec<f32>,
        labels: &[u8],
        [channels, rows, columns]: [usize; 3],
        target: Target,
        device: &Device,
        dtype: DType,
    ) -> Self {
        let count = labels.len();
        let labels: Vec<i64> = labels.iter().copied().map(i64::from).collect();
        let images = TensorData::new(images, [count, channels, rows, columns]);
        Self {
            images: Tensor::from_data(images, (device, dtype)),
            labels: Tensor::from_data(TensorData::new(labels, [count]), device),
            first_example: 0,
            target,
        }
    }

    /// The examples `range` of this batch; within [`Batch::len`].
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        Self {
            first_example: self.first_example + range.start as u64,
            images: self.images.clone().slice([range.clone()]),
            labels: self.labels.clone().slice([range]),
            target: self.target,
        }
    }

    /// The same examples, as those from place `first_example` on of a larger whole.
    #[must_use]
    pub fn starting_at(self, first_example: u64) -> Self {
        Self { first_example, ..self }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.dims()[0]
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

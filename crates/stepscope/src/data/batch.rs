//! Examples as tensors.

use burn::Tensor;
use burn::tensor::{DType, Device, Int, TensorData};

use super::dataset::Split;

/// Images with their labels, on a device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[batch, channels, rows, columns]`.
    pub images: Tensor<4>,
    /// `[batch]`.
    pub labels: Tensor<1, Int>,
}

impl Batch {
    /// The examples of `split` at `indices`, in that order. Indices are below `split.num_examples()`.
    pub fn gather(split: &Split, shape: [usize; 3], indices: &[u32], device: &Device, dtype: DType) -> Self {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        split.gather(indices, &mut images, &mut labels);
        let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
        let [channels, rows, columns] = shape;
        Self {
            images: Tensor::from_data(
                TensorData::new(images, [indices.len(), channels, rows, columns]),
                (device, dtype),
            ),
            labels: Tensor::from_data(TensorData::new(labels, [indices.len()]), device),
        }
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

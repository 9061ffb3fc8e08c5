//! Inner products of many vectors of the size of the network.

use burn::Tensor;
use burn::tensor::{DType, Device, TensorData};

/// ⟨gᵢ, gⱼ⟩ of all pairs, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gram {
    pub(super) len: usize,
    entries: Vec<f64>,
}

impl Gram {
    /// Columns that one matrix product takes: bounds the memory to so many entries of each vector.
    const BLOCK: usize = 1 << 16;

    /// Of `vectors` of equal length, as f64 matrix products on `device`, block by block.
    pub(super) fn of(vectors: &[Vec<f64>], device: &Device) -> Self {
        let len = vectors.len();
        let dim = vectors.first().map_or(0, Vec::len);
        let mut entries = vec![0.0; len * len];
        for start in (0..dim).step_by(Self::BLOCK) {
            let end = (start + Self::BLOCK).min(dim);
            let block: Vec<f64> = vectors.iter().flat_map(|vector| &vector[start..end]).copied().collect();
            let block: Tensor<2> = Tensor::from_data(TensorData::new(block, [len, end - start]), (device, DType::F64));
            let part = block.clone().matmul(block.transpose()).into_data();
            super::objective::accumulate(&mut entries, &part.iter::<f64>().collect::<Vec<f64>>(), 1.0);
        }
        Self { len, entries }
    }

    /// All of them, row by row.
    pub(super) fn entries(&self) -> &[f64] {
        &self.entries
    }

    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        self.entries[row * self.len + column]
    }

    /// The same without vector number `index`.
    pub(super) fn without(&self, index: usize) -> Self {
        let kept = || (0..self.len).filter(move |&other| other != index);
        let entries = kept().flat_map(|row| kept().map(move |column| self.at(row, column))).collect();
        Self { len: self.len - 1, entries }
    }
}

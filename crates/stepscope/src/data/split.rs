//! The examples of a split in memory.

use std::sync::Arc;

use super::target::Target;

/// Examples with their labels. Cloning shares the memory.
///
/// Pixels are kept as the bytes of the files and normalised when they are read, which takes a quarter of the memory of
/// floating-point numbers: 184 MB for the 60,000 images of CIFAR-10.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    examples: Arc<Examples>,
    labels: Arc<[u8]>,
    example_length: usize,
    target: Target,
}

/// What an example consists of.
#[derive(Debug, PartialEq)]
enum Examples {
    /// Bytes, channel by channel, and what each byte of each channel becomes.
    Pixels { bytes: Vec<u8>, tables: Vec<[f32; 256]> },
    /// Numbers of words, which a network looks up.
    Tokens(Vec<u16>),
}

impl Split {
    /// Images: `bytes` holds example after example, each channel after channel. One table a channel says what a byte becomes.
    pub(super) fn of_pixels(bytes: Vec<u8>, tables: Vec<[f32; 256]>, labels: Vec<u8>) -> Self {
        let example_length = bytes.len() / labels.len().max(1);
        Self::new(Examples::Pixels { bytes, tables }, labels, example_length)
    }

    /// Texts: `tokens` holds example after example, all of one length.
    pub(super) fn of_tokens(tokens: Vec<u16>, labels: Vec<u8>) -> Self {
        let example_length = tokens.len() / labels.len().max(1);
        Self::new(Examples::Tokens(tokens), labels, example_length)
    }

    fn new(examples: Examples, labels: Vec<u8>, example_length: usize) -> Self {
        Self { examples: Arc::new(examples), labels: labels.into(), example_length, target: Target::Class }
    }

    /// The same examples, compared with `target`.
    pub(super) fn with_target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    /// What outputs are compared with.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Number of examples, at least 1.
    pub fn num_examples(&self) -> usize {
        self.labels.len()
    }

    /// Numbers that an example consists of: its pixels over all channels, or its tokens.
    pub fn example_length(&self) -> usize {
        self.example_length
    }

    /// One class for each example.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The normalised pixels (channel, row, column, the last one fastest) or the tokens of one example.
    ///
    /// # Panics
    /// As a slice does, for an index that is not below [`Split::num_examples`].
    pub fn example(&self, index: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.example_length);
        self.write_example(index, &mut out);
        out
    }

    /// Appends what [`Split::example`] returns.
    pub(super) fn write_example(&self, index: usize, out: &mut Vec<f32>) {
        let range = index * self.example_length..(index + 1) * self.example_length;
        match &*self.examples {
            Examples::Pixels { bytes, tables } => {
                let channel_length = (self.example_length / tables.len().max(1)).max(1);
                for (channel, table) in bytes[range].chunks(channel_length).zip(tables) {
                    out.extend(channel.iter().map(|&pixel| table[usize::from(pixel)]));
                }
            }
            Examples::Tokens(tokens) => out.extend(tokens[range].iter().map(|&token| f32::from(token))),
        }
    }

    /// What a black pixel becomes, channel by channel; empty for texts.
    pub(super) fn black(&self) -> Vec<f32> {
        match &*self.examples {
            Examples::Pixels { tables, .. } => tables.iter().map(|table| table[0]).collect(),
            Examples::Tokens(_) => Vec::new(),
        }
    }

    /// Pixels and labels of the examples of a batch, in its order; the buffers are cleared first, so that a
    /// loop can use the same ones at every step.
    ///
    /// # Panics
    /// As a slice does, for an index that is not below [`Split::num_examples`].
    pub fn gather(&self, indices: &[u32], images: &mut Vec<f32>, labels: &mut Vec<u8>) {
        images.clear();
        labels.clear();
        images.reserve(indices.len() * self.example_length);
        for &index in indices {
            self.write_example(index as usize, images);
            labels.push(self.labels[index as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(factor: f32) -> [f32; 256] {
        std::array::from_fn(|value| factor * value as f32)
    }

    #[test]
    fn every_channel_goes_through_its_own_table() {
        let split = Split::of_pixels((1..=8).collect(), vec![table(1.0), table(-1.0)], vec![3, 4]);
        assert_eq!(split.example(0), [1.0, 2.0, -3.0, -4.0]);
        assert_eq!(split.example(1), [5.0, 6.0, -7.0, -8.0]);
        assert_eq!((split.num_examples(), split.example_length(), split.labels()), (2, 4, [3, 4].as_slice()));
    }

    #[test]
    fn a_batch_is_gathered_in_the_order_of_its_indices() {
        let split = Split::of_pixels((0..6).collect(), vec![table(2.0)], vec![0, 1, 2]);
        let (mut images, mut labels) = (vec![9.0], vec![9]);
        split.gather(&[2, 0], &mut images, &mut labels);
        assert_eq!(labels, [2, 0]);
        assert_eq!(images, [8.0, 10.0, 0.0, 2.0]);
    }

    #[test]
    fn tokens_are_exact_as_numbers() {
        let split = Split::of_tokens(vec![0, 1, u16::MAX, 7], vec![0, 1]);
        assert_eq!(split.example(1), [65_535.0, 7.0]);
        assert!(split.black().is_empty());
    }
}

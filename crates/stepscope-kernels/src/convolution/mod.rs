//! Two-dimensional convolutions and their two gradients.
//!
//! The usual way copies every patch of an image into a row of a matrix and multiplies matrices. Here nothing is
//! copied but the image once, with its padding: seen as one long row of numbers, the pixels under a fixed place of the
//! kernel are the image shifted by a constant, so that an output is a sum of shifted rows with the weights as factors. The price is a few
//! sums at the ends of rows that nobody asked for.
//!
//! With a stride s the image is first dealt out to s² planes, one for each remainder of row and column: within a plane the
//! shifts are constant again.
//!
//! Kernels of three rows without a stride, most of those of today's networks, go another way that takes two thirds of the multiplications: two rows of
//! outputs at a time (`pairs.rs`).

mod geometry;
mod images;
mod pair_sums;
mod pairs;
mod planes;
mod tiles;
mod weights;

pub use geometry::{Convolution, ShapeError};

#[cfg(test)]
mod tests;

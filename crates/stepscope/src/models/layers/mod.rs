//! Tangent-aware layers: each defines its forward pass once, over [`Dual`](super::Dual) tensors.

pub mod activation;
mod conv2d;
mod linear;
pub mod pooling;

pub use conv2d::Conv2d;
pub use linear::Linear;

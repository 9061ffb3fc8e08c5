//! Tangent-aware layers: each defines its forward pass once, over [`Dual`](super::Dual) tensors.
//!
//! A residual connection is a sum of two [`Dual`](super::Dual)s. A layer that has no tangent rule goes through
//! [`Pass::without_rule`](super::Pass::without_rule), so that products refuse the network by the layer's name.

pub mod activation;
mod attention;
mod batch_norm;
mod conv2d;
mod dropout;
mod embedding;
mod group_norm;
mod layer_norm;
mod linear;
mod lstm;
mod norm;
mod normalise;
pub mod pooling;
pub mod softmax;

pub use attention::Attention;
pub use batch_norm::BatchNorm;
pub use conv2d::Conv2d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use lstm::Lstm;
pub use norm::Norm;

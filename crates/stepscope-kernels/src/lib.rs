//! The inner loops of training on a processor: convolutions without copies of patches, rectifiers, tanh, pooling, batch normalisation, the
//! passes of an optimizer.
//!
//! Plain slices in, plain slices out: this crate knows no tensors. Every kernel runs on vectors of whatever length the
//! processor has, found at run time, and on all threads of the present rayon pool. For a given number of threads a result is the same
//! to the bit on every call.

mod channels;
mod convolution;
mod element;
mod hyperbolic;
mod pieces;
mod pooling;
mod rectifier;
mod step;

pub use channels::Channels;
pub use convolution::{Convolution, ShapeError};
pub use element::Element;
pub use hyperbolic::{tanh, tanh_bend, tanh_bend_in_place, tanh_in_place, tanh_slope, tanh_slope_in_place};
pub use pooling::MaxPool;
pub use rectifier::{gate, gated, rectified, rectified_sum, rectify, rectify_sum};
pub use step::scale_and_add;

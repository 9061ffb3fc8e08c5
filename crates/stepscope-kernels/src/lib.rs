//! The inner loops of training on a processor: convolutions without copies of patches.
//!
//! Plain slices in, plain slices out: this crate knows no tensors. Every kernel runs on vectors of whatever length the
//! processor has, found at run time, and on all threads of the present rayon pool. For a given number of threads a result is the same
//! to the bit on every call.

mod convolution;
mod element;

pub use convolution::{Convolution, ShapeError};
pub use element::Element;

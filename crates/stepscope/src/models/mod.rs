//! Networks over tangent-aware layers: one definition gives values, Jacobian-vector and Hessian-vector products.

mod batch_statistics;
pub mod buffers;
mod dual;
pub mod init;
pub mod layers;
pub mod loss;
mod model;
pub mod networks;
mod param_layout;
mod param_tensors;
mod pass;

use burn::module::Module;

pub use batch_statistics::BatchStatistics;
pub use dual::Dual;
pub use model::{Model, ModelError, describe};
pub use networks::{Mlp, SimpleCnn};
pub use param_layout::ParamLayout;
pub use param_tensors::ParamTensors;
pub use pass::{DropoutMode, NormalisationMode, Pass, PassFault};

/// A classifier whose forward pass is written over [`Dual`] tensors.
///
/// Whoever implements the one method gets losses, gradients and exact Hessian-vector products.
pub trait Network: Module {
    /// Logits `[batch, classes]` of images `[batch, channels, rows, columns]`. Token sequences are images
    /// `[batch, 1, 1, length]` of whole numbers.
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2>;
}

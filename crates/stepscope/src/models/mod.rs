//! Networks over tangent-aware layers: one definition gives values, Jacobian-vector and Hessian-vector products.

mod architecture;
mod batch_statistics;
pub mod buffers;
mod dual;
mod in_mode;
pub mod init;
pub mod layers;
mod linearisation;
pub mod loss;
mod model;
pub mod networks;
mod param_layout;
mod param_pattern;
mod param_tensors;
mod pass;
mod precision;
mod taps;

use burn::module::{Module, ModuleDisplay};

pub use architecture::{Architecture, ModelError, describe};
pub use batch_statistics::BatchStatistics;
pub use dual::Dual;
pub use in_mode::InMode;
pub use linearisation::Sharing;
pub(crate) use linearisation::{Linearisation, OtherOrder};
pub use model::Model;
pub use networks::{Mlp, SimpleCnn};
pub use param_layout::ParamLayout;
pub use param_pattern::PatternError;
pub use param_tensors::ParamTensors;
pub use pass::{DropoutMode, Multiplications, NormalisationMode, Pass, PassFault};
pub(crate) use precision::cast_to;
pub use precision::in_precision;
pub(crate) use taps::Tap;

/// A network whose forward pass is written over [`Dual`] tensors.
///
/// Whoever implements the one method gets losses, gradients and exact Hessian-vector products.
// `ModuleDisplay` comes with Burn's derive, and what wraps a network needs it.
pub trait Network: Module + ModuleDisplay {
    /// Logits `[batch, classes]`, or outputs of a regression, of images `[batch, channels, rows, columns]`. Token sequences are images
    /// `[batch, 1, 1, length]` of whole numbers.
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2>;

    /// Names of the layers whose derivative jumps (`relu`, `max-pool`), where differences of gradients are no Hessian.
    fn kinks(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

//! Networks over tangent-aware layers: one definition gives values, Jacobian-vector and Hessian-vector products.

mod dual;
pub mod init;
pub mod layers;
pub mod loss;
mod mlp;
mod param_layout;
mod param_pattern;
mod param_tensors;
mod pass;
mod simple_cnn;

use burn::module::Module;
use stepscope_spectral::random::RandomStream;
use stepscope_types::spec::{ModelKind, ModelSpec};
use thiserror::Error;

pub use dual::Dual;
use init::WeightInit;
pub use mlp::Mlp;
pub use param_layout::ParamLayout;
pub use param_pattern::PatternError;
pub use param_tensors::ParamTensors;
pub use pass::Pass;
pub use simple_cnn::SimpleCnn;

use crate::backend::Backend;

/// A classifier whose forward pass is written over [`Dual`] tensors.
///
/// Whoever implements the one method gets losses, gradients and exact Hessian-vector products.
pub trait Network: Module {
    /// Logits `[batch, classes]` of images `[batch, channels, rows, columns]`.
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2>;

    /// Names of the layers whose derivative jumps (`relu`, `max-pool`), where differences of gradients are no Hessian.
    fn kinks(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// The networks that a specification can name.
// One network lives a whole run: its own size does not matter, and boxing it would cost every layer an indirection.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Model {
    /// Fully connected.
    Mlp(Mlp),
    /// Small and convolutional.
    SimpleCnn(SimpleCnn),
}

/// A network that cannot be built for these images.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// The images are too small for the convolutions.
    #[error(
        "model.kind: simple-cnn needs images of at least {least}x{least}, these are {rows}x{columns}: \
         use model.kind = \"mlp\" or larger images"
    )]
    ImagesTooSmall {
        /// Rows of the images.
        rows: usize,
        /// Columns of the images.
        columns: usize,
        /// Smallest side that works.
        least: usize,
    },
}

impl Model {
    /// The network of `spec` for images `[channels, rows, columns]` and that many classes, with initial weights
    /// from `random`.
    ///
    /// # Errors
    /// [`ModelError`] where the images do not fit the architecture.
    pub fn new(
        spec: &ModelSpec,
        shape: [usize; 3],
        classes: usize,
        random: RandomStream,
        backend: &Backend,
    ) -> Result<Self, ModelError> {
        let mut init = WeightInit::new(spec, random, backend);
        match spec.kind {
            ModelKind::Mlp => {
                let hidden: Vec<usize> = spec.hidden_widths().into_iter().map(|width| width as usize).collect();
                let inputs = shape.iter().product();
                Ok(Self::Mlp(Mlp::new(inputs, &hidden, classes, spec.activation, &mut init)))
            }
            ModelKind::SimpleCnn => {
                let [_, rows, columns] = shape;
                let least = SimpleCnn::SMALLEST_SIDE;
                if rows < least || columns < least {
                    return Err(ModelError::ImagesTooSmall { rows, columns, least });
                }
                Ok(Self::SimpleCnn(SimpleCnn::new(shape, classes, spec.activation, &mut init)))
            }
        }
    }
}

impl Network for Model {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        match self {
            Self::Mlp(network) => network.logits(images, pass),
            Self::SimpleCnn(network) => network.logits(images, pass),
        }
    }

    fn kinks(&self) -> Vec<&'static str> {
        match self {
            Self::Mlp(network) => network.kinks(),
            Self::SimpleCnn(network) => network.kinks(),
        }
    }
}

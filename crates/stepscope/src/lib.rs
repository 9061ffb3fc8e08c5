//! stepscope measures, predicts and controls what the step does in mini-batch SGD.

pub mod backend;
pub mod control;
pub mod data;
pub mod measure;
pub mod models;
pub mod predict;
pub mod record;
pub mod spec;
pub mod train;

pub use stepscope_spectral as spectral;
pub use stepscope_theory as theory;
pub use stepscope_types as types;

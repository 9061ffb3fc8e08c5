//! Running statistics of any Burn module, set aside and put back.

use burn::module::Module;

use crate::models::ParamTensors;

/// The float tensors of a module that no gradient reaches, as they were: what forward passes in training mode change.
///
/// Burn's normalisation layers share their running statistics among clones and write them in every training-mode forward
/// pass, one of them with a delay. Networks of stepscope change nothing in a pass; for them this costs a visit.
#[derive(Debug, Clone)]
pub struct Statistics {
    buffers: ParamTensors,
}

impl Statistics {
    /// Sets the statistics of `model` aside. Shares memory until they change.
    pub fn of<M: Module>(model: &M) -> Self {
        flush(model);
        Self { buffers: ParamTensors::buffers(model) }
    }

    /// `model`, and all its clones, with these statistics.
    pub fn restore<M: Module>(&self, model: M) -> M {
        if self.buffers.is_empty() {
            return model;
        }
        flush(&model);
        self.buffers.assign_to(model)
    }
}

/// An update that a forward pass left pending would otherwise overwrite the value later.
fn flush<M: Module>(model: &M) {
    drop(model.valid());
}

//! A probe that the training itself depends on.

use stepscope_types::SavedSpectrum;

use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::{Measured, Probe, ProbeError, ProbePoint};

/// A probe whose readings decide about the learning rate: they belong to the training and not to what is measured beside it, so no budget
/// for measurements leaves them out, and they cost it nothing.
#[derive(Debug)]
pub(super) struct Steering<P>(pub(super) P);

impl<N, P: Probe<N>> Probe<N> for Steering<P> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        self.0.measure(at)
    }

    fn take_spectrum(&mut self) -> Option<SavedSpectrum> {
        self.0.take_spectrum()
    }
}

impl<P: Stateful> Stateful for Steering<P> {
    fn save_state(&self, state: &mut State) {
        self.0.save_state(state);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.0.load_state(state)
    }
}

//! The probes that a specification asks for.

use stepscope_spectral::random::RandomStream;
use stepscope_types::RunSpec;

use super::plan::Plan;
use super::run_loop::ScheduledProbe;
use super::schedule::Due;
use crate::backend::Backend;
use crate::data::{Dataset, SamplingError, probe_subset};
use crate::measure::{LossProbe, NoiseProbe, Objective, Probe, SharpnessProbe};
use crate::models::Network;

/// The probes of a run, each with its own random stream. Empty where the specification measures nothing.
pub(super) struct RunProbes<'d, N> {
    probes: Vec<Box<dyn Probe<N> + 'd>>,
}

impl<'d, N: Network> RunProbes<'d, N> {
    pub(super) fn new(spec: &RunSpec, dataset: &'d Dataset, backend: &Backend) -> Result<Self, SamplingError> {
        if !spec.measure.enabled {
            return Ok(Self { probes: Vec::new() });
        }
        let (num_train, shape) = (dataset.train.num_examples(), dataset.shape);
        let (plain, tracked, dtype) = (backend.plain(), backend.tracked(), backend.dtype());
        let random = |name| RandomStream::named(spec.seeds.probe_seed(), name);
        let examples = spec.measure.examples.min(num_train as u64);
        let subset = probe_subset(num_train, examples, spec.seeds.probe_seed())?;
        let on_subset = Objective::new(&dataset.train, shape, &subset, &tracked, dtype);
        let loss = LossProbe::new(
            Objective::whole(&dataset.train, shape, &plain, dtype),
            Objective::whole(&dataset.test, shape, &plain, dtype),
        );
        let sharpness = SharpnessProbe::new(on_subset, &spec.measure, random("sharpness"));
        let noise = NoiseProbe::new(dataset, &spec.measure, tracked, dtype, random("gradient noise"));
        Ok(Self { probes: vec![Box::new(loss), Box::new(sharpness), Box::new(noise)] })
    }

    /// The probes with the steps at which they measure.
    pub(super) fn scheduled(&mut self, plan: &Plan) -> Vec<ScheduledProbe<'_, N>> {
        let due = || Due::Every(plan.measure_every);
        self.probes.iter_mut().map(|probe| ScheduledProbe { probe: probe.as_mut(), due: due() }).collect()
    }
}

//! Measuring a run at a point where it stands still: a checkpoint.

use std::time::Instant;

use stepscope_types::spec::Instrument;
use stepscope_types::{Measurement, SavedSpectrum, Step, Timing};

use super::afford::Means;
use super::probes::RunProbes;
use super::run::{Run, RunError};
use super::run_loop::TrainError;
use crate::control::{Method, method};
use crate::data::Batch;
use crate::measure::{ProbePoint, SharedReadings};
use crate::models::{Model, ParamLayout, in_precision};

/// What an instrument read at a point.
#[derive(Debug, Clone)]
pub struct InstrumentReading {
    /// The instrument.
    pub instrument: Instrument,
    /// Its quantities.
    pub measurements: Vec<Measurement>,
    /// The spectrum that it measured, where it is one that does.
    pub spectrum: Option<SavedSpectrum>,
}

impl Run<'_> {
    /// Reads the instruments of the specification once, at the point where the run would go on from: its checkpoint after
    /// [`Run::resumed_from`], its initial weights without.
    ///
    /// Velocity and learning rate are those of the checkpoint. Probes start cold, from the beginnings of their own random streams, so that a
    /// reading does not depend on what was measured before; what needs an earlier reading is left out.
    ///
    /// # Errors
    /// [`RunError::Train`] where a probe cannot measure, or the checkpoint holds no state of the optimizer.
    pub fn measure(&self) -> Result<Vec<InstrumentReading>, RunError> {
        let layout = ParamLayout::of(&self.network);
        let num_examples = self.dataset.train.num_examples() as u64;
        let mut method: Box<dyn Method<Model, Batch>> = method(self.spec, &self.plan, num_examples, &layout)?;
        let mut step = Step(0);
        if let Some(from) = &self.resume {
            step = from.step;
            from.state.restore_weights("method", method.as_mut(), &layout).map_err(TrainError::from)?;
        }
        if let Some(momentum) = &self.plan.momentum {
            method.set_momentum(momentum.at(step.0));
        }
        let backend = Self::measured_on(self.spec, &self.backend)?;
        let (shared, mut probes) =
            (SharedReadings::default(), RunProbes::new(self.spec, self.dataset, &backend, &Means::unlimited())?);
        let mode = self.measured_mode(&backend)?;
        let network = in_precision(self.network.clone(), backend.dtype());
        let layout = ParamLayout::of(&network);
        let (view, _) = mode.view(&network);
        let at = ProbePoint {
            motion: method.motion(),
            batch_size: Some(self.plan.batches.size(step.0)),
            shared: Some(&shared),
            mode: mode.mode(),
            learning_rate: method.learning_rate(),
            ..ProbePoint::new(&view, &layout, step, 0.0)
        };
        let began = Instant::now();
        let mut readings = Vec::new();
        for (instrument, probe) in probes.iter_mut() {
            let started = Instant::now();
            let measured = probe.measure(&at).map_err(|source| TrainError::Probe { step, source })?;
            let cost = started.elapsed().as_secs_f64() / measured.len().max(1) as f64;
            let timing = Timing { wall_seconds: began.elapsed().as_secs_f64(), cost_seconds: Some(cost) };
            let measurements = measured.into_iter().map(|measured| {
                let epoch = self.plan.epoch(step.0);
                let mut measurement = Measurement::new(step, epoch, measured.quantity.name, measured.reading);
                measurement.timing = Some(timing);
                self.dataset.train.target().in_unit(measurement)
            });
            let (measurements, spectrum) = (measurements.collect(), probe.take_spectrum());
            readings.push(InstrumentReading { instrument, measurements, spectrum });
        }
        Ok(readings)
    }

    /// The network where the run stands: its checkpoint's after [`Run::resumed_from`], the initial one without.
    pub fn network(&self) -> &Model {
        &self.network
    }
}

//! What is measured at a step.

use std::sync::Arc;
use std::time::Instant;

use super::budget::Wanted;
use super::event::{Event, Sink};
use super::lending::Lender;
use super::run_loop::{Progress, ScheduledProbe, TrainError, TrainingLoop};
use crate::control::pass_seed;
use crate::measure::{ComingStep, Measured, ProbePoint, SharedReadings};
use crate::models::{InMode, Network, ParamLayout, in_precision};

impl<N: Network> TrainingLoop<'_, N> {
    /// Measures what is due, and lets the learning rate decide on it.
    pub(super) fn measure_due(
        &mut self,
        now: &mut Progress,
        network: &N,
        layout: &ParamLayout,
        sink: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let (step, measured) = (now.step, self.take_readings(now, network, layout, sink)?);
        if let Some(decision) = self.method.decide(step, &measured) {
            let (epoch, timing) = (self.plan.epoch(step.0), now.clock.now(None));
            sink.receive(&Event::Decided { step, epoch, decision, timing })?;
        }
        self.plan.num_steps = self.method.end().unwrap_or(self.plan.num_steps);
        Ok(())
    }

    /// Whether a probe is to read at this step, if it can be paid.
    pub(super) fn is_wanted(&self, index: usize, now: &Progress) -> bool {
        let ScheduledProbe { probe, due, .. } = &self.probes[index];
        due.at(now.step.0, self.plan.num_steps) || now.budget.is_late(probe.name())
    }

    fn take_readings(
        &mut self,
        now: &mut Progress,
        network: &N,
        layout: &ParamLayout,
        sink: &mut dyn Sink,
    ) -> Result<Vec<Measured>, TrainError> {
        let step = now.step;
        let due: Vec<usize> = (0..self.probes.len()).filter(|&index| self.is_wanted(index, now)).collect();
        let wanted = |&index: &usize| {
            let ScheduledProbe { probe, due, claim } = &self.probes[index];
            let is_late = !due.at(step.0, self.plan.num_steps);
            Wanted { name: probe.name(), cost: probe.next_cost(), claim: *claim, is_late }
        };
        let wanted: Vec<Wanted<'_>> = due.iter().map(wanted).collect();
        let admitted = now.budget.admit(step.0, &wanted);
        let mut all = Vec::new();
        if !admitted.contains(&true) {
            return Ok(all);
        }
        let due: Vec<usize> =
            due.into_iter().zip(admitted).filter_map(|(index, taken)| taken.then_some(index)).collect();
        let is_wanted = due.iter().any(|&index| self.probes[index].probe.looks_at_coming_step());
        let drawn = (is_wanted && step.0 < self.plan.num_steps && self.lends).then(|| self.draw());
        let lender = drawn.map(|drawn| Lender::new(network, drawn, pass_seed(self.dropout_seed, step.0, 0)));
        let cast;
        let (network, layout) = if self.measure_dtype == self.dtype {
            (network, layout)
        } else {
            let there = in_precision(network.clone(), self.measure_dtype);
            cast = (ParamLayout::of(&there), there);
            (&cast.1, &cast.0)
        };
        let (view, cost) = self.measured_mode.view(network);
        now.budget.charge_preparation(cost);
        let mode = self.measured_mode.mode();
        let batch_size = Some(self.plan.batches.size(step.0));
        let (shared, motion, learning_rate) =
            (SharedReadings::default(), self.method.motion(), self.method.learning_rate());
        let coming = lender.as_ref().map(|lender| lender as &dyn ComingStep<InMode<N>>);
        let (network, shared) = (&view, Some(&shared));
        let point = ProbePoint { network, layout, step, learning_rate, batch_size, motion, shared, coming, mode };
        for index in due {
            let probe = &mut self.probes[index].probe;
            let (started, lent) = (Instant::now(), lender.as_ref().map_or(0.0, Lender::seconds));
            let measured = probe.measure(&point).map_err(|source| TrainError::Probe { step, source })?;
            now.budget.charge(probe.name(), probe.cost());
            let lent = lender.as_ref().map_or(0.0, Lender::seconds) - lent;
            let cost = (started.elapsed().as_secs_f64() - lent) / measured.len().max(1) as f64;
            all.extend(measured.iter().cloned());
            for measured in measured {
                sink.receive(&Event::Measured(self.measurement(step, measured, now.clock.now(Some(cost)))))?;
            }
            if let Some(spectrum) = self.probes[index].probe.take_spectrum() {
                sink.receive(&Event::Spectrum(Arc::new(spectrum)))?;
            }
        }
        now.drawn = lender.map(Lender::take_back);
        Ok(all)
    }
}

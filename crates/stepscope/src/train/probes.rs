//! The probes that a specification asks for.

use stepscope_spectral::random::RandomStream;
use stepscope_theory::Sampling;
use stepscope_types::schedule::Shape;
use stepscope_types::spec::{self, Instrument};
use stepscope_types::{RunSpec, TrainingDuration};

use super::afford::Means;
use super::plan::Plan;
use super::run_loop::ScheduledProbe;
use super::schedule::Due;
use super::steering::Steering;
use crate::backend::Backend;
use crate::control::schedule::cooldown;
use crate::data::{Batch, Dataset, SamplingError, Split, probe_subset};
use crate::measure::{
    BatchSharpnessProbe, BatchSource, BreakEvenMeter, ChordPlan, Cost, CriticalSharpnessProbe, DistanceProbe,
    FixedBatchesProbe, GradientCovarianceProbe, HalfRateGaugeProbe, HessianSpectrumProbe, LossProbe, NoiseProbe,
    Objective, OneStepProbe, Probe, SharpnessProbe, TwoPointProbe,
};
use crate::models::{Network, Sharing};

/// The probes of a run, each with its own random stream. Empty where the specification measures nothing.
pub(super) struct RunProbes<'d, N> {
    probes: Vec<(Instrument, Box<dyn Probe<N> + 'd>)>,
}

impl<'d, N: Network> RunProbes<'d, N> {
    /// With what `means` allow to look at.
    pub(super) fn new(
        spec: &'d RunSpec,
        dataset: &'d Dataset,
        backend: &Backend,
        means: &Means,
    ) -> Result<Self, SamplingError> {
        let mut instruments = spec.measure.chosen_instruments();
        if is_gauged(spec) && !instruments.contains(&Instrument::TwoPoint) {
            instruments.push(Instrument::TwoPoint);
        }
        let bench = Bench { spec, dataset, backend, means };
        let mut probes = Vec::new();
        for &instrument in &instruments {
            if let Some(probe) = bench.probe(instrument, &instruments)? {
                probes.push((instrument, probe));
            }
        }
        Ok(Self { probes })
    }

    /// Every probe with the instrument that it is.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Instrument, &mut (dyn Probe<N> + 'd))> {
        self.probes.iter_mut().map(|(instrument, probe)| (*instrument, probe.as_mut()))
    }

    /// The probes with the steps at which they measure, and what they may claim of the budget.
    pub(super) fn scheduled(&mut self, plan: &Plan, means: &Means) -> Vec<ScheduledProbe<'_, N>> {
        let scheduled = self.probes.iter_mut().map(|(instrument, probe)| ScheduledProbe {
            probe: probe.as_mut(),
            due: due(*instrument, plan, means),
            claim: means.claim(*instrument),
        });
        scheduled.collect()
    }
}

/// Whether the learning rate is decided on along the run, by what the two-point instrument reads.
fn is_gauged(spec: &RunSpec) -> bool {
    spec.schedule.learning_rate.as_ref().is_some_and(|schedule| schedule.gauged().is_some())
}

/// When an instrument reads: cheap ones between the others as well, dear ones seldom; more often, where a budget promises it.
fn due(instrument: Instrument, plan: &Plan, means: &Means) -> Due {
    let every = plan.measure_every;
    match instrument {
        Instrument::TwoPoint => two_point_due(plan),
        Instrument::CriticalSharpness | Instrument::Distance => Due::Every(means.every(instrument, (every / 5).max(1))),
        Instrument::HessianSpectrum => Due::Every(every.saturating_mul(4)),
        _ => Due::Every(means.every(instrument, every)),
    }
}

/// The multipliers of the cooldown that the specification plans, or of one over the last fifth of the run.
fn planned_cooldown(spec: &RunSpec, plan: &Plan) -> Vec<f64> {
    let planned = spec.schedule.learning_rate.as_ref().and_then(|schedule| schedule.cooldown());
    let length = planned.map_or(TrainingDuration::Fraction(0.2), |(length, _)| length);
    cooldown(plan.steps(length), planned.map_or(Shape::OneMinusSqrt, |(_, shape)| shape))
}

fn two_point_due(plan: &Plan) -> Due {
    let chords = ChordPlan::of_steps(plan.num_steps);
    Due::Chords { every: chords.every, lags: chords.lags }
}

/// What probes are made from.
struct Bench<'d, 'b> {
    spec: &'d RunSpec,
    dataset: &'d Dataset,
    backend: &'b Backend,
    means: &'b Means,
}

impl<'d> Bench<'d, '_> {
    /// The probe of an instrument; `None` where it is a part of another one.
    fn probe<N: Network>(
        &self,
        instrument: Instrument,
        chosen: &[Instrument],
    ) -> Result<Option<Box<dyn Probe<N> + 'd>>, SamplingError> {
        let measure = &self.spec.measure;
        let probe: Box<dyn Probe<N> + 'd> = match instrument {
            Instrument::Loss => Box::new(self.losses()?),
            // The meter needs the eigenvector, so asking for it alone brings the sharpness with it.
            Instrument::BreakEven if chosen.contains(&Instrument::Sharpness) => return Ok(None),
            Instrument::Sharpness | Instrument::BreakEven => {
                Box::new(self.sharpness(chosen.contains(&Instrument::BreakEven))?)
            }
            Instrument::GradientNoise => Box::new(self.noise()),
            Instrument::CriticalSharpness => {
                let examples = self.subset(CRITICAL_EXAMPLES)?;
                let probe = CriticalSharpnessProbe::new(self.batches("critical sharpness"), examples);
                match self.means.are_limited() {
                    true => Box::new(probe.with_raising_every(RAISING_EVERY).with_ratio(WIDE_BRACKET)),
                    false => Box::new(probe),
                }
            }
            Instrument::BatchSharpness => {
                let batches = self.batches("batch sharpness");
                let most = self.means.sharpness_batches(MAX_SHARPNESS_BATCHES, batches.batch_size());
                Box::new(BatchSharpnessProbe::new(batches, most, BATCH_SHARPNESS_TOLERANCE))
            }
            Instrument::FixedBatches => Box::new(FixedBatchesProbe::new(
                self.batches("fixed batches"),
                NUM_FIXED_BATCHES,
                self.random("remembered points"),
            )),
            Instrument::OneStep => {
                let examples = self.subset(CRITICAL_EXAMPLES)?;
                Box::new(OneStepProbe::new(self.batches("one step"), examples, NUM_STEP_BATCHES))
            }
            Instrument::HalfRateGauge => {
                let examples = self.subset(GAUGE_EXAMPLES)?;
                Box::new(HalfRateGaugeProbe::new(self.batches("half-rate gauge"), examples, NUM_GAUGE_UPDATES))
            }
            Instrument::GradientCovariance => {
                let (examples, random) = (self.subset(u64::MAX)?, self.random("gradient covariance"));
                let probe = GradientCovarianceProbe::new(examples, measure.max_products, measure.tolerance, random);
                Box::new(probe.sharing(Sharing::up_to_mebibytes(measure.shared_mebibytes)))
            }
            Instrument::HessianSpectrum => {
                let (examples, random) = (self.subset(u64::MAX)?, self.random("hessian spectrum"));
                let probe = HessianSpectrumProbe::new(examples, measure.max_products, measure.tolerance, random);
                Box::new(probe.sharing(Sharing::up_to_mebibytes(measure.shared_mebibytes)))
            }
            Instrument::TwoPoint if is_gauged(self.spec) => Box::new(Steering(self.two_point()?)),
            Instrument::TwoPoint => Box::new(self.two_point()?),
            Instrument::Distance => Box::new(DistanceProbe::new(self.spec.seeds.probe_seed())),
        };
        Ok(Some(probe))
    }

    /// Of whole splits, or of the samples of them that can be afforded.
    fn losses(&self) -> Result<LossProbe, SamplingError> {
        let Dataset { train, test, .. } = self.dataset;
        let counts = self.means.losses([train.num_examples(), test.num_examples()]);
        let sample = |split: &Split, count: usize| match count < split.num_examples() {
            true => probe_subset(split.num_examples(), count as u64, self.spec.seeds.probe_seed()),
            false => Ok((0..split.num_examples() as u32).collect()),
        };
        let (of_train, of_test) = (sample(train, counts[0])?, sample(test, counts[1])?);
        let is_random = |(_, index): &(u32, &u32)| self.dataset.random_labels.binary_search(index).is_ok();
        let places = (0..).zip(&of_train).filter(is_random).map(|(place, _)| place).collect();
        let probe = LossProbe::new(self.objective(train, &of_train), self.objective(test, &of_test));
        Ok(probe.sampled_from(train.num_examples()).with_random_labels(places))
    }

    fn sharpness(&self, with_break_even: bool) -> Result<SharpnessProbe, SamplingError> {
        let examples = self.spec.measure.examples.min(self.num_train() as u64);
        let plan = self.means.sharpness(examples, with_break_even);
        let random = self.random("sharpness");
        let mut probe = SharpnessProbe::new(self.subset(plan.num_examples)?, &self.spec.measure, random);
        if plan.num_scouts > 0 {
            probe = probe.with_scout(self.subset(plan.num_scouts)?);
        }
        let probe = probe.at_pace(plan.pace);
        if !with_break_even {
            return Ok(probe);
        }
        let (batch_size, num_examples) = (self.spec.train.batch_size, self.num_train() as u64);
        Ok(probe.with_break_even(BreakEvenMeter::new(self.sampling(), batch_size, num_examples)))
    }

    fn noise(&self) -> NoiseProbe<'d> {
        let measure = &self.spec.measure;
        let batches = self.batches_of(measure.noise_batch_size.get(), "gradient noise");
        let (batch_size, passes) = (batches.batch_size(), NoiseProbe::<Batch>::PASSES);
        let batch = Cost::gradients(batch_size) + Cost::passes(passes);
        let probe = NoiseProbe::new(batches, self.means.noise_batches(measure.noise_batches, batch) as usize);
        // The plan has refused a batch larger than the training set, the only one without a factor.
        probe.with_tests(self.sampling(), self.spec.train.batch_size)
    }

    fn two_point(&self) -> Result<TwoPointProbe<'d>, SamplingError> {
        // A plan that does not fit has been refused before.
        let plan = Plan::new(self.spec, self.num_train() as u64).ok();
        let num_steps = plan.as_ref().map_or(1, |plan| plan.num_steps);
        let cooldown = plan.map_or_else(Vec::new, |plan| planned_cooldown(self.spec, &plan));
        let (batches, examples) = (self.batches("two-point curve"), self.subset(u64::MAX)?);
        Ok(TwoPointProbe::new(batches, self.spec.train.sampling, examples, ChordPlan::of_steps(num_steps), cooldown))
    }

    fn num_train(&self) -> usize {
        self.dataset.train.num_examples()
    }

    fn random(&self, name: &str) -> RandomStream {
        RandomStream::named(self.spec.seeds.probe_seed(), name)
    }

    /// How training draws its batches, as the theory names it.
    fn sampling(&self) -> Sampling {
        match self.spec.train.sampling {
            spec::Sampling::WithoutReplacement => Sampling::Finite { num_examples: self.num_train() as u64 },
            spec::Sampling::WithReplacement => Sampling::Stream,
        }
    }

    /// Batches of the training's size.
    fn batches(&self, name: &str) -> BatchSource<'d> {
        self.batches_of(self.spec.train.batch_size.get(), name)
    }

    fn batches_of(&self, batch_size: u64, name: &str) -> BatchSource<'d> {
        BatchSource::new(self.dataset, batch_size, self.backend.tracked(), self.backend.dtype(), self.random(name))
    }

    /// The probe examples, or the smaller subset of them of at most `most`.
    fn subset(&self, most: u64) -> Result<Objective, SamplingError> {
        let examples = self.spec.measure.examples.min(self.num_train() as u64).min(most);
        let subset = probe_subset(self.num_train(), examples, self.spec.seeds.probe_seed())?;
        Ok(self.objective(&self.dataset.train, &subset))
    }

    /// Examples of a split, in micro-batches of whatever size; in those of the training where they make their own statistics.
    fn objective(&self, split: &Split, indices: &[u32]) -> Objective {
        let size = match self.spec.measure.mode {
            spec::MeasureMode::TrainBatch => self.spec.train.batch_size.get() as usize,
            _ => Objective::MICRO_BATCH_SIZE,
        };
        let (device, dtype) = (self.backend.tracked(), self.backend.dtype());
        Objective::with_micro_batch_size(split, self.dataset.shape, indices, &device, dtype, size)
    }
}

/// Probe examples on which the raising of the loss is watched: a rise of a fifth needs no more.
pub(super) const CRITICAL_EXAMPLES: u64 = 256;
/// Batches that a reading of the batch sharpness may draw.
const MAX_SHARPNESS_BATCHES: usize = 64;
/// Half the 95 % interval of the batch sharpness at which a reading stops, relative to its value.
const BATCH_SHARPNESS_TOLERANCE: f64 = 0.1;
/// Mini-batches that stay the same along the run.
const NUM_FIXED_BATCHES: usize = 4;
/// Batches whose own best step is looked for.
const NUM_STEP_BATCHES: usize = 4;
/// Updates that the half-rate gauge averages.
const NUM_GAUGE_UPDATES: usize = 8;
/// Probe examples on which it evaluates them.
const GAUGE_EXAMPLES: u64 = 512;
/// Readings of the critical learning rate for one of the steps that raise the loss, where there is a budget.
pub(super) const RAISING_EVERY: u64 = 50;
/// Ratio of the ends of a critical rate's bracket, where there is a budget.
const WIDE_BRACKET: f64 = 1.5;

//! Probes on a model that burn-train's `Learner` trains.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::{Module, ModuleDisplay};
use burn_optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn_optim::{GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn_train::{InferenceStep, Interrupter, TrainOutput, TrainStep};
use stepscope::measure::{Measured, Probe, ProbePoint};
use stepscope::models::ParamLayout;
use stepscope::train::{Event, Sink};
use stepscope_types::{Measurement, Step};

/// A model with probes that look at it before every update that they are due at. Give it to `Learner` in the model's
/// place.
///
/// Training is the same to the last bit: probes borrow the model, and steps, updates and inference are the model's own.
/// Paths in records of burn-train begin with `model.`; probes see the model itself.
///
/// Cost: that of the probes at their steps, nothing at the others.
#[derive(Module, Debug)]
pub struct Probed<M: Module> {
    model: M,
    #[module(skip)]
    look: Look,
}

/// Hands the model and the learning rate to a watch. A field that is no parameter may not name the module's type, so the
/// type is known to the closure alone.
#[derive(Clone)]
struct Look(Arc<LookFn>);

type LookFn = dyn Fn(&dyn Any, f64) + Send + Sync;

impl<M: Module + 'static> Probed<M> {
    /// `model` under `watch`. Keep a clone of the watch to read from it.
    pub fn new(model: M, watch: Watch<M>) -> Self {
        let look = move |model: &dyn Any, learning_rate| {
            if let Some(model) = model.downcast_ref::<M>() {
                watch.look(model, learning_rate);
            }
        };
        Self { model, look: Look(Arc::new(look)) }
    }

    /// The model.
    pub fn into_inner(self) -> M {
        self.model
    }
}

impl<M: Module + ModuleDisplay + TrainStep + 'static> TrainStep for Probed<M> {
    type Input = M::Input;
    type Output = M::Output;

    fn step(&self, item: M::Input) -> TrainOutput<M::Output> {
        TrainStep::step(&self.model, item)
    }

    fn optimize(self, optim: &mut ModuleOptimizer, lr: ModuleLearningRate, grads: GradientsParams) -> Self {
        (self.look.0)(&self.model, lr.base());
        Self { model: self.model.optimize(optim, lr, grads), look: self.look }
    }

    fn optimize_multi(self, optim: &mut ModuleOptimizer, lr: ModuleLearningRate, grads: MultiGradientsParams) -> Self {
        (self.look.0)(&self.model, lr.base());
        Self { model: self.model.optimize_multi(optim, lr, grads), look: self.look }
    }
}

impl<M: Module + InferenceStep + 'static> InferenceStep for Probed<M> {
    type Input = M::Input;
    type Output = M::Output;

    fn step(&self, item: M::Input) -> M::Output {
        InferenceStep::step(&self.model, item)
    }
}

/// Which probes measure when, and what they found. Clones are handles to one watch.
pub struct Watch<M> {
    inner: Arc<Mutex<Inner<M>>>,
}

struct Inner<M> {
    probes: Vec<Scheduled<M>>,
    sink: Option<Box<dyn Sink + Send>>,
    interrupter: Option<Interrupter>,
    layout: Option<ParamLayout>,
    steps_per_epoch: u64,
    step: u64,
    measurements: Vec<Measurement>,
    failure: Option<String>,
}

struct Scheduled<M> {
    every: u64,
    probe: Box<dyn Probe<M> + Send>,
}

impl<M: Module> Watch<M> {
    /// A watch without probes over epochs of that many updates (at least 1), which place measurements in epochs.
    pub fn new(steps_per_epoch: u64) -> Self {
        let inner = Inner {
            probes: Vec::new(),
            sink: None,
            interrupter: None,
            layout: None,
            steps_per_epoch: steps_per_epoch.max(1),
            step: 0,
            measurements: Vec::new(),
            failure: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Adds `probe`, which measures before the first update and every `every` updates (at least 1).
    #[must_use]
    pub fn with_probe(self, every: u64, probe: impl Probe<M> + Send + 'static) -> Self {
        self.lock().probes.push(Scheduled { every: every.max(1), probe: Box::new(probe) });
        self
    }

    /// Passes every measurement on as an event, too: to a run folder, for one.
    #[must_use]
    pub fn with_sink(self, sink: impl Sink + Send + 'static) -> Self {
        self.lock().sink = Some(Box::new(sink));
        self
    }

    /// Stops the training, through the interrupter that the training was given, once a probe fails.
    #[must_use]
    pub fn with_interrupter(self, interrupter: Interrupter) -> Self {
        self.lock().interrupter = Some(interrupter);
        self
    }

    /// Everything measured so far, in order.
    pub fn measurements(&self) -> Vec<Measurement> {
        self.lock().measurements.clone()
    }

    /// Why a probe or the sink failed, if one did; nothing is measured after that. burn-train gives an update no way to
    /// fail, so ask here, or stop with [`Watch::with_interrupter`].
    pub fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    fn look(&self, model: &M, learning_rate: f64) {
        let mut inner = self.lock();
        if inner.failure.is_none()
            && let Err(reason) = inner.measure(model, learning_rate)
        {
            if let Some(interrupter) = &inner.interrupter {
                interrupter.stop(Some(&reason));
            }
            inner.failure = Some(reason);
        }
        inner.step += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        // A probe that panicked left at worst a reading out.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Module> Inner<M> {
    fn measure(&mut self, model: &M, learning_rate: f64) -> Result<(), String> {
        let step = Step(self.step);
        let mut measured = Vec::new();
        for scheduled in self.probes.iter_mut().filter(|scheduled| step.0.is_multiple_of(scheduled.every)) {
            let layout = self.layout.get_or_insert_with(|| ParamLayout::of(model));
            let at = ProbePoint::new(model, layout, step, learning_rate);
            let probe = &mut scheduled.probe;
            measured
                .extend(probe.measure(&at).map_err(|error| format!("{} at step {}: {error}", probe.name(), step.0))?);
        }
        measured.into_iter().try_for_each(|measured| self.take_in(measured))
    }

    fn take_in(&mut self, measured: Measured) -> Result<(), String> {
        let epoch = self.step as f64 / self.steps_per_epoch as f64;
        let measurement = Measurement::new(Step(self.step), epoch, measured.quantity.name, measured.reading);
        if let Some(sink) = &mut self.sink {
            sink.receive(&Event::Measured(measurement.clone())).map_err(|error| format!("recording: {error}"))?;
        }
        self.measurements.push(measurement);
        Ok(())
    }
}

impl<M> Clone for Watch<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

impl<M> fmt::Debug for Watch<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

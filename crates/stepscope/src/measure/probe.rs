//! What every probe is: something that looks at a network between two steps and leaves no trace.

use burn::module::Module;
use stepscope_spectral::{ComposeError, LanczosError, TraceError};
use stepscope_theory::TheoryError;
use stepscope_types::quantity::Quantity;
use stepscope_types::{BatchSize, Mode, Reading, SavedSpectrum, Step};
use thiserror::Error;

use super::coming_step::ComingStep;
use super::cost::Cost;
use super::motion::Motion;
use super::operators::ProductError;
use super::shared::SharedReadings;
use crate::checkpoint::Stateful;
use crate::models::ParamLayout;

/// A measurement that plugs into the training loop.
///
/// The network is borrowed and comes back untouched: parameters, normalisation statistics, the run's random
/// streams and the optimizer's state are bit-identical before and after (a test holds every probe to it). What a
/// probe draws, it draws from its own stream; what it remembers (a warm start) is its own state, which goes into every
/// checkpoint.
pub trait Probe<N>: Stateful {
    /// Name of the probe in messages and cost tables.
    fn name(&self) -> &'static str;

    /// Measures at this point.
    ///
    /// # Errors
    /// [`ProbeError`] where measuring is impossible. A quantity that merely cannot be resolved is a
    /// [`Reading::Unresolved`], not an error.
    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError>;

    /// The spectrum of the last reading, handed out once; most probes have none.
    fn take_spectrum(&mut self) -> Option<SavedSpectrum> {
        None
    }

    /// What a reading costs: the last one, where readings differ; before the first, what one is expected to cost.
    ///
    /// A budget leaves readings out by this number. The default is for probes that cost nothing.
    fn cost(&self) -> Cost {
        Cost::ZERO
    }

    /// What the next reading is expected to cost; as much as the last one, unless the probe knows better.
    fn next_cost(&self) -> Cost {
        self.cost()
    }

    /// Whether it looks at [`ProbePoint::coming`], which is lent to those alone.
    fn looks_at_coming_step(&self) -> bool {
        false
    }
}

/// Where a probe measures.
#[derive(Debug, Clone, Copy)]
pub struct ProbePoint<'a, N> {
    /// The network on the tracked device.
    pub network: &'a N,
    /// Its parameters as a vector.
    pub layout: &'a ParamLayout,
    /// Updates applied so far.
    pub step: Step,
    /// The learning rate of the coming step, where the method has one: LABPAL has none before its first measurement.
    pub learning_rate: Option<f64>,
    /// Examples of the coming step's batch; the specification's batch size, where it is not given.
    pub batch_size: Option<u64>,
    /// The rule of the coming step, and the velocity that it starts from.
    pub motion: Motion<'a>,
    /// What other probes measured at this step.
    pub shared: Option<&'a SharedReadings>,
    /// The coming step's batch and gradient, where they are lent.
    pub coming: Option<&'a dyn ComingStep<N>>,
    /// How the network is evaluated, in the word that every estimate records. The network itself sees to it
    /// ([`InMode`](crate::models::InMode)); this says it.
    pub mode: Mode,
}

impl<'a, N> ProbePoint<'a, N> {
    /// Examples of the coming step's batch, `usual` where the point does not say.
    pub(super) fn batch_size_or(&self, usual: BatchSize) -> BatchSize {
        self.batch_size.and_then(|size| BatchSize::new(size).ok()).unwrap_or(usual)
    }

    /// A point of plain SGD in evaluation mode, with nothing measured yet.
    pub fn new(network: &'a N, layout: &'a ParamLayout, step: Step, learning_rate: f64) -> Self {
        Self {
            network,
            layout,
            step,
            learning_rate: Some(learning_rate),
            batch_size: None,
            motion: Motion::default(),
            shared: None,
            coming: None,
            mode: Mode::Eval,
        }
    }

    /// The same point of a network that is evaluated in `mode`.
    pub fn in_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// A reading that is about the coming step's learning rate; unresolved where the method has none yet.
    pub(super) fn at_rate<R: Into<Reading>>(&self, of: impl FnOnce(f64) -> R) -> Reading {
        self.learning_rate.map_or_else(no_learning_rate, |rate| of(rate).into())
    }

    /// A reading in units of the coming step; unresolved where there is no learning rate yet, and where it has fallen to 0.
    pub(super) fn in_steps<R: Into<Reading>>(&self, of: impl FnOnce(f64) -> R) -> Reading {
        match self.learning_rate {
            Some(rate) if rate > 0.0 => of(rate).into(),
            Some(_) => {
                let reason = "the learning rate is 0 here, and nothing can be measured in steps of length 0: look at an earlier step";
                Reading::Unresolved { reason: reason.to_owned(), num_examples: 0 }
            }
            None => no_learning_rate(),
        }
    }

    /// The learning rate from which a search along a direction begins: any will do, a good one is quicker.
    pub(super) fn first_rate(&self) -> f64 {
        self.learning_rate.filter(|rate| *rate > 0.0).unwrap_or(0.1)
    }

    /// Refuses a mode in which examples see each other, for a probe that is about examples one by one.
    pub(super) fn check_examples_are_independent(&self, probe: &'static str) -> Result<(), ProbeError> {
        match self.mode {
            Mode::TrainBatch | Mode::Train => Err(ProbeError::DependentExamples { probe, mode: self.mode.word() }),
            _ => Ok(()),
        }
    }
}

/// What there is to say about a learning rate that is not known.
pub(super) fn no_learning_rate() -> Reading {
    let reason =
        "the method has not measured its learning rate yet, which it does with the first batches: look at a later step";
    Reading::Unresolved { reason: reason.to_owned(), num_examples: 0 }
}

impl<N: Module> ProbePoint<'_, N> {
    /// The network where only values are wanted: it records nothing for a backward pass.
    pub(super) fn values(&self) -> N {
        self.network.clone().no_grad()
    }
}

/// One quantity that a probe measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Which quantity.
    pub quantity: &'static Quantity,
    /// Its value with its doubt, or why there is none.
    pub reading: Reading,
}

impl Measured {
    /// A quantity with its reading.
    pub fn new(quantity: &'static Quantity, reading: impl Into<Reading>) -> Self {
        Self { quantity, reading: reading.into() }
    }

    /// The same, with the mode recorded where there is a value.
    pub(super) fn in_mode(self, mode: Mode) -> Self {
        let reading = match self.reading {
            Reading::Value(estimate) => Reading::Value(estimate.in_mode(mode)),
            unresolved => unresolved,
        };
        Self { reading, ..self }
    }
}

/// Measuring is impossible here.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The Krylov iteration could not go on.
    #[error("the sharpness probe stopped: {0}")]
    Lanczos(#[from] LanczosError<ProductError>),
    /// The mode lets examples see each other.
    #[error(
        "{probe} measures examples one by one, and in mode {mode} they see each other through the statistics of their \
         batch: measure in mode eval or frozen-full"
    )]
    DependentExamples {
        /// The probe.
        probe: &'static str,
        /// The mode.
        mode: &'static str,
    },
    /// A gradient or product could not be formed.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// The trace of an operator could not be estimated.
    #[error(transparent)]
    Trace(#[from] TraceError<ProductError>),
    /// The scaling of the optimizer is no positive diagonal.
    #[error("the sharpness that the optimizer feels: {0}")]
    Scaling(#[from] ComposeError),
    /// A formula refused the training's settings.
    #[error(transparent)]
    Theory(#[from] TheoryError),
}

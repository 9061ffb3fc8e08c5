//! Many running averages of one network, updated together.

use burn::module::Module;

use super::shadow::{self, Shadow};
use super::{AverageError, Decay, ShadowPrecision, WarmUp};
use crate::checkpoint::{State, StateError, WeightState};
use crate::models::ParamLayout;

/// Smallest share of an update that a bf16 shadow follows.
const SMALLEST_BF16_INTAKE: f64 = 1.0 / 256.0;

/// What a running average y ← y + d(x − y) takes in: its share d of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// d = 1 − β^D for an update D steps after the last one: exponential, whatever D is.
    Ema {
        /// β a step.
        decay: Decay,
        /// How it begins.
        warm_up: WarmUp,
    },
    /// d = 1 − (1 − D/t)^(γ + 1) at step t: the power-function profile of Karras et al. 2024, of constant relative width.
    Power {
        /// γ ≥ 0; see [`stepscope_theory::PowerProfile`] for widths. 0 is the mean.
        exponent: f64,
    },
    /// d = 1/n at the n-th iterate: the mean of all it has seen. With a late start it is a tail or suffix average, with
    /// updates every so often SWA.
    Mean,
}

/// One average of a bank: its rule, where it begins and how often it is updated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Running {
    rule: Rule,
    start: u64,
    every: u64,
}

impl Running {
    /// An average of every iterate from the first on.
    ///
    /// # Errors
    /// [`AverageError::Number`] for a warm-up or an exponent without a meaning.
    pub fn new(rule: Rule) -> Result<Self, AverageError> {
        match rule {
            Rule::Ema { warm_up, .. } => drop(warm_up.checked()?),
            Rule::Power { exponent } if !(exponent.is_finite() && exponent >= 0.0) => {
                let what = "exponent of a power-function average";
                return Err(AverageError::Number { what, got: exponent, expected: "a finite number of at least 0" });
            }
            Rule::Power { .. } | Rule::Mean => {}
        }
        Ok(Self { rule, start: 0, every: 1 })
    }

    /// An EMA without warm-up.
    pub fn ema(decay: Decay) -> Self {
        Self { rule: Rule::Ema { decay, warm_up: WarmUp::None }, start: 0, every: 1 }
    }

    /// The same, beginning after `step` updates of the network.
    pub fn from_step(mut self, step: u64) -> Self {
        self.start = step;
        self
    }

    /// The same, updated at every `every`-th step after its start.
    ///
    /// # Errors
    /// [`AverageError::Zero`].
    pub fn every(mut self, every: u64) -> Result<Self, AverageError> {
        if every == 0 {
            return Err(AverageError::Zero { what: "steps between two updates of an average" });
        }
        self.every = every;
        Ok(self)
    }

    /// The share that an update at `time` steps after the start takes in, `elapsed` steps after the last one and with
    /// `taken` before it.
    fn intake(&self, time: u64, elapsed: u64, taken: u64) -> f64 {
        if taken == 0 {
            return 1.0;
        }
        match self.rule {
            Rule::Ema { decay, warm_up } => 1.0 - warm_up.kept(decay, time, elapsed, taken),
            Rule::Power { exponent } => 1.0 - (1.0 - elapsed as f64 / time.max(1) as f64).powf(exponent + 1.0),
            Rule::Mean => 1.0 / (taken + 1) as f64,
        }
    }

    /// The smallest share in the long run.
    fn smallest_intake(&self) -> f64 {
        match self.rule {
            Rule::Ema { decay, .. } => 1.0 - decay.over(self.every),
            Rule::Power { .. } | Rule::Mean => 0.0,
        }
    }

    fn words(&self) -> String {
        match self.rule {
            Rule::Ema { decay, .. } => format!("an EMA of decay {} every {} steps", decay.get(), self.every),
            Rule::Power { exponent } => format!("a power-function average of exponent {exponent}"),
            Rule::Mean => "a mean".to_owned(),
        }
    }
}

/// Running averages of a network's parameters, all updated in one pass over memory.
///
/// Every average has a shadow of its own on the host, in f32 or better whatever the network trains in: 4 bytes a parameter
/// and average (8 for f64 networks). An update reads the network once and reads and writes the shadows that are due; nothing
/// is allocated. Running statistics of normalisation layers are not averaged: they are estimated anew, see
/// [`BatchStatistics`](crate::models::BatchStatistics).
///
/// For any Burn module, in a loop of one's own; `cargo run --example average_any_module` shows one:
///
/// ```
/// # use burn::module::{Module, Param};
/// # use burn::tensor::Tensor;
/// # #[derive(Module, Debug)]
/// # struct Line { weight: Param<Tensor<1>> }
/// # let device = stepscope::backend::Backend::cpu(stepscope::types::spec::Precision::F32).plain();
/// # let mut network = Line { weight: Param::from_data([0.0], &device) };
/// use stepscope::control::average::{AverageBank, Decay, swap_in};
/// let mut bank = AverageBank::emas([Decay::with_half_life(10.0)?, Decay::new(0.999)?]);
/// for step in 1..=3 {
///     network = Line { weight: Param::from_data([step as f32], &device) };
///     bank.update(step, &network);
/// }
/// if let Some(average) = bank.network(1, &network) {
///     let swapped = swap_in(&mut network, average);
///     assert!(swapped.weight.val().into_scalar::<f32>() < 1.01);
/// } // here the trained weights are back, also after a panic or an early return
/// assert_eq!(network.weight.val().into_scalar::<f32>(), 3.0);
/// # Ok::<(), stepscope::control::average::AverageError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AverageBank {
    members: Vec<Member>,
    precision: ShadowPrecision,
}

#[derive(Debug, Clone)]
struct Member {
    average: Running,
    taken: u64,
    last: u64,
    shadow: Option<Shadow>,
}

impl AverageBank {
    /// A bank of these averages.
    pub fn new(averages: impl IntoIterator<Item = Running>) -> Self {
        let member = |average| Member { average, taken: 0, last: 0, shadow: None };
        Self { members: averages.into_iter().map(member).collect(), precision: ShadowPrecision::Full }
    }

    /// A bank of EMAs of every iterate.
    pub fn emas(decays: impl IntoIterator<Item = Decay>) -> Self {
        Self::new(decays.into_iter().map(Running::ema))
    }

    /// The same with shadows in other numbers.
    ///
    /// # Errors
    /// [`AverageError::Vanishes`] names the first average whose updates a bf16 shadow would lose.
    pub fn with_shadow(mut self, precision: ShadowPrecision) -> Result<Self, AverageError> {
        let too_small = |member: &&Member| member.average.smallest_intake() < SMALLEST_BF16_INTAKE;
        if precision == ShadowPrecision::Bf16
            && let Some(member) = self.members.iter().find(too_small)
        {
            let (average, intake) = (member.average.words(), member.average.smallest_intake());
            return Err(AverageError::Vanishes { average, intake });
        }
        self.precision = precision;
        Ok(self)
    }

    /// Number of averages.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Averages that would begin after `step` begin there: for a run that ends earlier than was planned.
    pub fn begin_by(&mut self, step: u64) {
        self.members.iter_mut().for_each(|member| member.average.start = member.average.start.min(step));
    }

    /// Takes in the parameters of `network` after `step` updates of it, wherever an average is due.
    ///
    /// Steps that are left out are accounted for: an EMA decays by the steps that have passed. A step that was taken in
    /// already is not taken in again.
    pub fn update<M: Module>(&mut self, step: u64, network: &M) {
        let mut due: Vec<(&mut Shadow, f64)> = Vec::new();
        let mut layout = None;
        for member in &mut self.members {
            let Running { start, every, .. } = member.average;
            let is_new = member.taken == 0 || step > member.last;
            if step < start || !(step - start).is_multiple_of(every) || !is_new {
                continue;
            }
            let intake = member.average.intake(step - start, step - member.last, member.taken);
            (member.taken, member.last) = (member.taken + 1, step);
            let shadow = member.shadow.get_or_insert_with(|| {
                Shadow::zeros(self.precision, layout.get_or_insert_with(|| ParamLayout::of(network)))
            });
            due.push((shadow, intake));
        }
        if !due.is_empty() {
            shadow::blend(&mut due, network);
        }
    }

    /// The network at an average; `None` before its first update, and where there is no such average. `network` is
    /// untouched.
    pub fn network<M: Module>(&self, index: usize, network: &M) -> Option<M> {
        let shadow = self.members.get(index)?.shadow.as_ref()?;
        Some(shadow.assign_to(network.clone()))
    }

    /// How many iterates an average has taken in.
    pub fn num_taken(&self, index: usize) -> u64 {
        self.members.get(index).map_or(0, |member| member.taken)
    }
}

impl WeightState for AverageBank {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        for (index, member) in self.members.iter().enumerate() {
            state.put(&format!("{index}/start"), &member.average.start);
            state.put(&format!("{index}/taken"), &member.taken);
            state.put(&format!("{index}/last"), &member.last);
            if let Some(shadow) = &member.shadow {
                shadow.save(state, &format!("{index}/shadow"), layout);
            }
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        for (index, member) in self.members.iter_mut().enumerate() {
            member.average.start = state.get(&format!("{index}/start"))?;
            member.taken = state.get(&format!("{index}/taken"))?;
            member.last = state.get(&format!("{index}/last"))?;
            let name = format!("{index}/shadow");
            let is_started = member.taken > 0;
            member.shadow = is_started.then(|| Shadow::load(state, &name, self.precision, layout)).transpose()?;
        }
        Ok(())
    }
}

//! Armijo searches on the batch that gave the direction: SLS, and PoNoS, which is not monotone.

use stepscope_types::{Reading, quantity};

use crate::checkpoint::{State, StateError, Stateful};
use crate::control::{Chosen, Line, StepLength};
use crate::measure::Measured;

/// Tries before a search gives up.
pub const MAX_TRIES: u32 = 100;
/// The rate that is taken where none was accepted.
pub const SMALLEST_RATE: f64 = 1e-6;

/// Shrinks `rate` by `factor` until ℓ(rate) ≤ reference + c · rate · slope, as measured on the batch that gave the direction, with
/// its seed; the rate, and how often it was shrunk. `None` where [`MAX_TRIES`] did not suffice.
///
/// A loss that is not finite is not accepted. One forward pass a try.
fn armijo(line: &mut dyn Line, start: f64, factor: f64, c: f64, reference: f64) -> Option<(f64, u32)> {
    let (mut rate, slope) = (start, line.slope());
    for tried in 0..MAX_TRIES {
        let loss = line.own_losses(&[rate]).first().copied().unwrap_or(f64::NAN);
        if loss <= reference + c * rate * slope {
            return Some((rate, tried));
        }
        rate *= factor;
    }
    None
}

fn refused(rate: f64, reason: String) -> Chosen {
    let reading = Reading::Unresolved { reason, num_examples: 0 };
    Chosen { learning_rate: rate, measured: vec![Measured::new(&quantity::LINE_MINIMUM, reading)] }
}

fn uphill(slope: f64, rate: f64) -> Chosen {
    refused(
        rate,
        format!("the step does not descend on its own batch, slope {slope:.3e}: the last learning rate is kept"),
    )
}

fn exhausted(start: f64) -> Chosen {
    let reason = format!(
        "none of {MAX_TRIES} learning rates from {start:.3e} down lowered the batch's loss enough: {SMALLEST_RATE} was taken"
    );
    refused(SMALLEST_RATE, reason)
}

/// Where SLS starts a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// At the last rate accepted: rates only shrink.
    Keep,
    /// At the last rate times γ^{B/N}: it may double in an epoch at most with γ = 2.
    Grow,
    /// At the initial rate, every time.
    Restart,
}

/// SLS, stochastic line search: the largest rate of a geometric series for which ℓ_B(θ − ηv) ≤ ℓ_B(θ) − c η ⟨g, v⟩.
///
/// Cost: a forward pass a try, one at least. Source: Vaswani et al. 2019, Algorithm 1 and their rules for the start (options 0, 1 and 2). The
/// search is on the batch that gave the gradient, as in their code. Invalid away from interpolation: a batch's own loss
/// accepts rates several times those that lower the whole loss (`line-search`, section 1.2, O3).
#[derive(Debug, Clone)]
pub struct ArmijoSearch {
    settings: ArmijoSettings,
    latest: f64,
}

/// What SLS is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmijoSettings {
    /// Rate of the first try of all, above 0.
    pub initial_learning_rate: f64,
    /// No try exceeds this, above 0.
    pub max_learning_rate: f64,
    /// c, between 0 and 1.
    pub c: f64,
    /// Factor from one try to the next, between 0 and 1.
    pub shrink: f64,
    /// γ, at least 1.
    pub growth: f64,
    /// Where a search starts.
    pub reset: Reset,
    /// N/B, above 0.
    pub steps_per_epoch: f64,
}

impl ArmijoSearch {
    /// At its start.
    pub fn new(settings: ArmijoSettings) -> Self {
        Self { settings, latest: settings.initial_learning_rate }
    }
}

impl StepLength for ArmijoSearch {
    fn choose(&mut self, line: &mut dyn Line) -> Chosen {
        let ArmijoSettings { c, shrink, growth, reset, steps_per_epoch, .. } = self.settings;
        let slope = line.slope();
        if slope >= 0.0 {
            return uphill(slope, self.latest);
        }
        let start = match reset {
            Reset::Keep => self.latest,
            Reset::Grow => self.latest * growth.powf(1.0 / steps_per_epoch),
            Reset::Restart => self.settings.initial_learning_rate,
        };
        let (start, reference) = (start.min(self.settings.max_learning_rate), line.loss());
        match armijo(line, start, shrink, c, reference) {
            Some((rate, _)) => {
                self.latest = rate;
                rate.into()
            }
            // What is remembered is not the emergency rate, from which a growing search would need many epochs to come back.
            None => exhausted(start),
        }
    }

    fn current(&self) -> f64 {
        self.latest
    }
}

/// PoNoS: an Armijo search that may rise up to a mean of earlier losses, from Polyak's step.
///
/// η is accepted where ℓ_B(θ − ηv) ≤ max(C, ℓ_B(θ)) − c η ⟨g, v⟩, with the mean C ← (ξ Q C + ℓ_B)/Q', Q' = ξ Q + 1 from Q = 0
/// (Zhang and Hager). The first try is Polyak's (ℓ_B − f*)/(c_p ⟨g, v⟩), shrunk as often as memory says:
/// k ← max(k + tries of the last search − 1, 0) less one, which makes one try suffice for most updates; within \[η_min, η_max\].
///
/// Cost: a forward pass a try, one at least. Source: Galli et al. 2023, Algorithm 1 and section 3. Invalid as for [`ArmijoSearch`].
#[derive(Debug, Clone)]
pub struct NonMonotoneSearch {
    settings: NonMonotoneSettings,
    weight: f64,
    reference: f64,
    shrunk: u32,
    latest: f64,
}

/// What PoNoS is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NonMonotoneSettings {
    /// c, between 0 and 1.
    pub c: f64,
    /// c_p, above 0.
    pub polyak_c: f64,
    /// Factor from one try to the next, between 0 and 1.
    pub shrink: f64,
    /// ξ, between 0 (monotone) and 1 (the mean of all losses).
    pub memory: f64,
    /// f*, finite.
    pub lower_bound: f64,
    /// η_min, above 0.
    pub min_learning_rate: f64,
    /// η_max, at least η_min.
    pub max_learning_rate: f64,
}

impl NonMonotoneSearch {
    /// At its start.
    pub fn new(settings: NonMonotoneSettings) -> Self {
        Self { settings, weight: 0.0, reference: 0.0, shrunk: 0, latest: settings.max_learning_rate }
    }
}

impl StepLength for NonMonotoneSearch {
    fn choose(&mut self, line: &mut dyn Line) -> Chosen {
        let NonMonotoneSettings { c, polyak_c, shrink, memory, lower_bound, .. } = self.settings;
        let (loss, slope) = (line.loss(), line.slope());
        let next = memory * self.weight + 1.0;
        self.reference = (memory * self.weight * self.reference + loss) / next;
        self.weight = next;
        if slope >= 0.0 {
            return uphill(slope, self.latest);
        }
        let polyak = (loss - lower_bound) / (polyak_c * -slope);
        let start = polyak * shrink.powf(f64::from(self.shrunk));
        let start = start.min(self.settings.max_learning_rate).max(self.settings.min_learning_rate);
        match armijo(line, start, shrink, c, self.reference.max(loss)) {
            Some((rate, tried)) => {
                self.shrunk = (self.shrunk + tried).saturating_sub(1);
                self.latest = rate;
                rate.into()
            }
            None => {
                self.shrunk = (self.shrunk + MAX_TRIES - 1).saturating_sub(1);
                exhausted(start)
            }
        }
    }

    fn current(&self) -> f64 {
        self.latest
    }
}

impl Stateful for ArmijoSearch {
    fn save_state(&self, state: &mut State) {
        state.put_vector("latest", vec![self.latest]);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.latest = state.vector("latest", 1)?[0];
        Ok(())
    }
}

impl Stateful for NonMonotoneSearch {
    fn save_state(&self, state: &mut State) {
        state.put_vector("numbers", vec![self.weight, self.reference, self.latest]);
        state.put("shrunk", &self.shrunk);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        let numbers = state.vector("numbers", 3)?;
        (self.weight, self.reference, self.latest) = (numbers[0], numbers[1], numbers[2]);
        self.shrunk = state.get("shrunk")?;
        Ok(())
    }
}

//! Which readings a run can afford.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stepscope_types::quantity;
use stepscope_types::spec::MeasureBudget;
use stepscope_types::{Estimate, LeftOut, Uncertainty};

use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::{Cost, CostModel, Measured};

/// What a probe may claim of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Claim {
    /// So many shares of what is promised to none, where others have one: above 0.
    Shares(f64),
    /// This part of the whole, whatever the others want: enough for a reading at every step at which one is due.
    Promised(f64),
}

impl Claim {
    fn shares(self) -> Option<f64> {
        match self {
            Self::Shares(shares) => Some(shares),
            Self::Promised(_) => None,
        }
    }
}

/// A reading that a probe wants to take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'n> {
    pub(super) name: &'n str,
    pub(super) cost: Cost,
    pub(super) claim: Claim,
    /// Whether it was due at an earlier step, and there was not enough for it.
    pub(super) is_late: bool,
}

/// The accounts of a run's probes.
///
/// Costs are counted ([`Cost`]), weighed with a [`CostModel`] of the network in gradients of one example, and never timed, so
/// that the same specification leaves the same readings out on every machine and a run can be repeated byte for byte.
///
/// With a budget of share b, the readings of a run of T steps may cost [`Budget::COUNTED`]·b·C together, with C the
/// cost of the whole training. What is not counted on is for what counting does not see, so that the time, too, stays below the share.
///
/// A part f of it that is promised to a probe ([`Claim::Promised`]) is the probe's own: up to step k the price p of its first reading and
/// (f − p) k/T, so that readings at equal intervals are taken when they are due; one that is dearer than the mean, a few steps later. Of the rest
/// [`Budget::AT_START`] is there for the start, and more comes with the steps. It
/// goes to the due probe whose cost so far, with the coming reading, is least for its shares; a probe that is due and cannot
/// be paid is waited for, by those that have had more. So all probes that want more than they get end with costs in
/// proportion to their shares: cheap ones read often, dear ones seldom. Before the last step as much stays aside as the
/// last readings cost, the cheapest for its shares first, up to three quarters of what the run has: the end of a run is what is
/// asked for most. A probe whose single reading costs more than what is left is not read at all: the event at the end names it. A reading that
/// costs more than it was expected to is paid for by those after it.
///
/// Source: ours; the order is that of fair queueing.
#[derive(Debug)]
pub(super) struct Budget {
    share: Option<MeasureBudget>,
    num_steps: u64,
    /// Examples a step, in the mean over the run.
    batch_size: f64,
    model: CostModel,
    accounts: BTreeMap<String, Account>,
    /// What brought the network into the mode that it is measured in.
    preparation: f64,
}

/// What one probe asked for and got. Costs in gradients of one example.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Account {
    spent: f64,
    num_due: u64,
    num_taken: u64,
    claim: Claim,
    /// What the first reading was to cost.
    first: f64,
    /// What the next reading will cost.
    price: f64,
    /// The least that one was to cost.
    least: f64,
    /// Whether a reading is due and not taken.
    is_waiting: bool,
}

impl Account {
    fn new(claim: Claim, first: f64) -> Self {
        Self { spent: 0.0, num_due: 0, num_taken: 0, claim, first, price: first, least: first, is_waiting: false }
    }

    /// What is promised to it of a `whole`, and how much of that is there after `progress` (0 to 1) of the run.
    fn promised(&self, whole: f64, progress: f64) -> Option<(f64, f64)> {
        let Claim::Promised(part) = self.claim else { return None };
        let own = part * whole;
        let first = self.first.min(own);
        Some((own, first + (own - first) * progress))
    }
}

impl Budget {
    /// Part of a budget that is spent by count.
    pub(super) const COUNTED: f64 = 0.97;
    /// Part of what is promised to none that is there at step 0.
    const AT_START: f64 = 0.2;
    /// Most of it that is kept for the last readings.
    const FOR_THE_END: f64 = 0.75;

    pub(super) fn new(share: Option<MeasureBudget>, num_steps: u64, batch_size: f64, model: CostModel) -> Self {
        Self { share, num_steps, batch_size, model, accounts: BTreeMap::new(), preparation: 0.0 }
    }

    /// Which of the readings that are wanted at `step` are taken.
    pub(super) fn admit(&mut self, step: u64, wanted: &[Wanted<'_>]) -> Vec<bool> {
        for &Wanted { name, cost, claim, is_late } in wanted {
            let price = self.model.worth(cost);
            let account = self.accounts.entry(name.to_owned()).or_insert_with(|| Account::new(claim, price));
            account.num_due += u64::from(!is_late);
            (account.claim, account.price, account.least) = (claim, price, account.least.min(price));
            // What costs nothing waits for nothing.
            account.is_waiting = price > 0.0;
        }
        let admitted: BTreeSet<String> = match step >= self.num_steps {
            true => self.admit_last(),
            false => self.admit_promised(step).into_iter().chain(self.admit_by_shares(step)).collect(),
        };
        let is_free = |cost| self.model.worth(cost) == 0.0;
        wanted.iter().map(|reading| is_free(reading.cost) || admitted.contains(reading.name)).collect()
    }

    /// Whether a promised reading of the probe is due and was not paid yet.
    pub(super) fn is_late(&self, name: &str) -> bool {
        let is_promised = |account: &Account| account.is_waiting && account.claim.shares().is_none();
        self.accounts.get(name).is_some_and(is_promised)
    }

    /// The promised readings that can be paid before the end, each by its own part and all by what all have.
    fn admit_promised(&self, step: u64) -> Vec<String> {
        let (whole, progress) = (self.whole(), self.progress(step));
        let mut left = self.allowance(step) - self.spent();
        let mut admitted = Vec::new();
        for (name, account) in self.accounts.iter().filter(|(_, account)| account.is_waiting) {
            let Some((own, allowed)) = account.promised(whole, progress) else { continue };
            // The last reading is paid for in any case; the first, which may be dear, is planned for.
            let kept = if account.num_taken == 0 { 0.0 } else { account.least };
            if account.spent + account.price <= allowed.min(own - kept) && account.price <= left {
                left -= account.price;
                admitted.push(name.clone());
            }
        }
        admitted
    }

    /// The readings that are paid before the end from what is promised to none.
    fn admit_by_shares(&self, step: u64) -> Vec<String> {
        let whole = self.unpromised(1.0) - self.kept_for_the_end();
        let allowed = self.unpromised(self.progress(step)).min(whole);
        let of_shares = |account: &Account| if account.claim.shares().is_some() { account.spent } else { 0.0 };
        let mut spent = self.accounts.values().map(of_shares).sum::<f64>() + self.preparation;
        let waiting = self.accounts.iter().filter(|(_, account)| account.is_waiting);
        let mut queue: Vec<(f64, f64, &String)> = waiting
            .filter_map(|(name, account)| {
                Some(((account.spent + account.price) / account.claim.shares()?, account.price, name))
            })
            // What can never be paid is not waited for.
            .filter(|(_, price, _)| spent + price <= whole)
            .collect();
        queue.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut admitted = Vec::new();
        for (_, price, name) in queue {
            if spent + price > allowed {
                break;
            }
            // What is waited for and can be paid, but is not due now, keeps its money.
            spent += price;
            admitted.push(name.clone());
        }
        admitted
    }

    /// The last readings, from all that is left: the promised ones first, then the cheapest for their shares.
    fn admit_last(&self) -> BTreeSet<String> {
        let order = |account: &Account| account.claim.shares().map_or(-1.0, |shares| account.price / shares);
        let mut queue: Vec<(&String, &Account)> =
            self.accounts.iter().filter(|(_, account)| account.is_waiting).collect();
        queue.sort_by(|a, b| order(a.1).total_cmp(&order(b.1)));
        let mut left = self.whole() - self.spent();
        let mut admitted = BTreeSet::new();
        for (name, account) in queue {
            if account.price <= left {
                left -= account.price;
                admitted.insert(name.clone());
            }
        }
        admitted
    }

    /// Books a reading that was taken.
    pub(super) fn charge(&mut self, name: &str, cost: Cost) {
        let worth = self.model.worth(cost);
        let account = self.accounts.entry(name.to_owned()).or_insert_with(|| Account::new(Claim::Shares(1.0), worth));
        account.spent += worth;
        account.num_taken += 1;
        account.is_waiting = false;
    }

    /// Books what readings at a step needed together.
    pub(super) fn charge_preparation(&mut self, cost: Cost) {
        self.preparation += self.model.worth(cost);
    }

    /// What the readings of a whole run may cost together, in example gradients; infinite without a budget.
    pub(super) fn affordable(share: Option<MeasureBudget>, num_steps: u64, batch_size: f64) -> f64 {
        share.map_or(f64::INFINITY, |share| share.share() * Self::COUNTED * num_steps as f64 * batch_size)
    }

    fn whole(&self) -> f64 {
        Self::affordable(self.share, self.num_steps, self.batch_size)
    }

    fn progress(&self, step: u64) -> f64 {
        step as f64 / self.num_steps.max(1) as f64
    }

    /// What all readings up to `step` may cost, in example gradients.
    fn allowance(&self, step: u64) -> f64 {
        let (whole, progress) = (self.whole(), self.progress(step));
        let promised = self.accounts.values().filter_map(|account| account.promised(whole, progress));
        promised.map(|(_, allowed)| allowed).sum::<f64>() + self.unpromised(progress)
    }

    /// What is promised to none and there after `progress` of the run.
    fn unpromised(&self, progress: f64) -> f64 {
        let whole = self.whole();
        let promised = self.accounts.values().filter_map(|account| account.promised(whole, 1.0));
        // Without a limit there is nothing to promise.
        let rest = if whole.is_finite() { (whole - promised.map(|(own, _)| own).sum::<f64>()).max(0.0) } else { whole };
        rest * (Self::AT_START + (1.0 - Self::AT_START) * progress)
    }

    /// The prices of the last readings by shares, the lowest for its shares first, as far as they fit.
    fn kept_for_the_end(&self) -> f64 {
        let most = Self::FOR_THE_END * self.unpromised(1.0);
        let with_shares = |account: &Account| Some((account.price / account.claim.shares()?, account.price));
        let mut prices: Vec<(f64, f64)> = self.accounts.values().filter_map(with_shares).collect();
        prices.sort_by(|a, b| a.0.total_cmp(&b.0));
        let keep = |kept: f64, price: f64| if kept + price <= most { kept + price } else { kept };
        prices.into_iter().fold(0.0, |kept, (_, price)| keep(kept, price))
    }

    fn spent(&self) -> f64 {
        self.accounts.values().map(|account| account.spent).sum::<f64>() + self.preparation
    }

    /// The account of a run after `step` steps; nothing for a run without probes.
    pub(super) fn summary(&self, step: u64) -> Vec<Measured> {
        let total = |part: fn(&Account) -> u64| self.accounts.values().map(part).sum::<u64>();
        let (due, taken) = (total(|account| account.num_due), total(|account| account.num_taken));
        if due == 0 || step == 0 {
            return Vec::new();
        }
        let training = self.batch_size * step as f64;
        let exact = |quantity: &'static quantity::Quantity, value: f64| {
            Measured::new(quantity, Estimate::new(value, quantity.unit, Uncertainty::Exact))
        };
        vec![
            exact(&quantity::PROBE_COST, self.spent() / training),
            exact(&quantity::READINGS_TAKEN, taken as f64 / due as f64),
        ]
    }

    /// The probes whose readings were not all taken, in the order of their names.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        let thinned = self.accounts.iter().filter(|(_, account)| account.num_taken < account.num_due);
        thinned
            .map(|(name, account)| LeftOut {
                probe: name.clone(),
                num_due: account.num_due,
                num_taken: account.num_taken,
            })
            .collect()
    }

    /// The share that the readings may cost.
    pub(super) fn share(&self) -> Option<MeasureBudget> {
        self.share
    }
}

impl Stateful for Budget {
    fn save_state(&self, state: &mut State) {
        state.put("accounts", &self.accounts);
        state.put("preparation", &self.preparation);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        self.accounts = state.get("accounts")?;
        self.preparation = state.get("preparation")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Claim = Claim::Shares(1.0);

    /// A run of 1000 steps of cost 10 under 5 %: 485 in all. Probes as name, interval, cost, claim. Their accounts, the most that
    /// was ever spent of what was allowed, and the steps of all readings.
    fn run(probes: &[(&str, u64, usize, Claim)]) -> (Budget, f64, Vec<(String, u64)>) {
        let mut budget = Budget::new("5%".parse().ok(), 1000, 10.0, CostModel::with(1, 0, 1));
        let (mut most, mut readings) = (0.0_f64, Vec::new());
        for step in 0..=1000 {
            let is_due = |every: u64| step % every == 0 || step == 1000;
            let due: Vec<Wanted<'_>> = probes
                .iter()
                .filter(|(name, every, ..)| is_due(*every) || budget.is_late(name))
                .map(|&(name, every, cost, claim)| Wanted {
                    name,
                    cost: Cost::gradients(cost),
                    claim,
                    is_late: !is_due(every),
                })
                .collect();
            let admitted = budget.admit(step, &due);
            for (reading, _) in due.iter().zip(&admitted).filter(|(_, admitted)| **admitted) {
                budget.charge(reading.name, reading.cost);
                readings.push((reading.name.to_owned(), step));
            }
            most = most.max(budget.spent() / budget.allowance(step));
        }
        (budget, most, readings)
    }

    #[test]
    fn the_cost_never_exceeds_what_is_allowed_at_any_step_and_little_is_left_at_the_end() {
        let (budget, most, _) = run(&[("cheap", 10, 2, ONE), ("middling", 50, 20, ONE), ("dear", 100, 60, ONE)]);
        assert!(most <= 1.0 && budget.spent() > 280.0, "{most} {}", budget.spent());
    }

    #[test]
    fn probes_that_want_more_than_they_get_end_with_equal_costs_and_none_starves() {
        let (budget, ..) = run(&[("cheap", 10, 2, ONE), ("middling", 50, 20, ONE), ("dear", 100, 60, ONE)]);
        let spent: Vec<f64> = budget.accounts.values().map(|account| account.spent).collect();
        assert!(budget.accounts.values().all(|account| account.num_taken > 0), "{budget:?}");
        let (least, most) = (spent.iter().copied().fold(f64::MAX, f64::min), spent.iter().copied().fold(0.0, f64::max));
        assert!(most - least <= 60.0 + 20.0, "within a reading or two: {spent:?}");
    }

    #[test]
    fn the_last_readings_are_taken_however_much_was_wanted_before() {
        // One reading of each is 162, less than three quarters of 485.
        let (_, most, readings) = run(&[("cheap", 1, 2, ONE), ("middling", 10, 60, ONE), ("dear", 100, 100, ONE)]);
        for name in ["cheap", "middling", "dear"] {
            assert!(readings.contains(&(name.to_owned(), 1000)), "{name}: {readings:?}");
        }
        assert!(most <= 1.0, "{most}");
    }

    #[test]
    fn what_can_never_be_paid_holds_nobody_up_and_is_named() {
        let (budget, ..) = run(&[("cheap", 10, 2, ONE), ("hopeless", 100, 10_000, ONE)]);
        assert_eq!((budget.accounts["hopeless"].num_taken, budget.accounts["cheap"].num_taken), (0, 101));
        let left_out = budget.left_out();
        assert_eq!((left_out.len(), left_out[0].probe.as_str(), left_out[0].num_due), (1, "hopeless", 11));
    }

    #[test]
    fn what_is_promised_is_read_whenever_it_is_due_however_much_the_others_want() {
        // 41 readings of 6 and 5 of 30 are 396 of 485.
        let promised = |cost: f64| Claim::Promised(cost / 485.0);
        let probes = [
            ("often", 25, 6, promised(41.0 * 6.0)),
            ("seldom", 250, 30, promised(5.0 * 30.0)),
            ("greedy", 1, 5, Claim::Shares(100.0)),
        ];
        let (budget, most, readings) = run(&probes);
        let steps = |name: &str| -> Vec<u64> { readings.iter().filter(|(n, _)| n == name).map(|(_, s)| *s).collect() };
        assert_eq!(steps("often"), (0..=1000).step_by(25).collect::<Vec<u64>>());
        assert_eq!(steps("seldom"), [0, 250, 500, 750, 1000]);
        assert!(most <= 1.0 && (14..=18).contains(&steps("greedy").len()), "{budget:?}");
    }

    #[test]
    fn a_first_reading_that_is_dearer_than_those_after_it_is_taken_at_the_start() {
        let mut budget = Budget::new("5%".parse().ok(), 1000, 10.0, CostModel::with(1, 0, 1));
        // 100 at first and 4 of 10 later, all of which is promised.
        let wanted = |cost| Wanted {
            name: "dear",
            cost: Cost::gradients(cost),
            claim: Claim::Promised(140.0 / 485.0),
            is_late: false,
        };
        for (step, cost) in [(0, 100), (250, 10), (500, 10), (750, 10), (1000, 10)] {
            assert_eq!(budget.admit(step, &[wanted(cost)]), [true], "{step}");
            budget.charge("dear", Cost::gradients(cost));
        }
    }

    #[test]
    fn a_promised_reading_that_cannot_be_paid_when_it_is_due_comes_as_soon_as_it_can() {
        // A twentieth too little: every reading but the first is later by more, until one of the forty is gone.
        let (budget, most, readings) = run(&[("often", 25, 6, Claim::Promised(39.0 * 6.0 / 485.0))]);
        let steps: Vec<u64> = readings.iter().map(|(_, step)| *step).collect();
        let widest = steps.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(most <= 1.0 && steps.len() == 39 && widest < Some(30), "{steps:?}");
        // Waiting is no further reading.
        assert_eq!(budget.left_out().first().map(|left_out| left_out.num_due), Some(41));
    }

    #[test]
    fn without_a_budget_everything_is_taken() {
        let mut budget = Budget::new(None, 10, 1.0, CostModel::with(1, 0, 1));
        let wanted = |name, cost| Wanted { name, cost, claim: ONE, is_late: false };
        let both = [wanted("a", Cost::gradients(1 << 40)), wanted("b", Cost::ZERO)];
        assert_eq!(budget.admit(0, &both), [true, true]);
    }
}

//! Which readings a run can afford.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepscope_types::quantity;
use stepscope_types::spec::MeasureBudget;
use stepscope_types::{Estimate, LeftOut, Uncertainty};

use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::{Cost, CostModel, Measured};

/// The accounts of a run's probes.
///
/// Costs are counted ([`Cost`]), weighed with a [`CostModel`] of the network in gradients of one example, and never timed, so
/// that the same specification leaves the same readings out on every machine and a run can be repeated byte for byte.
///
/// With a budget of share b, the readings up to step k of T may cost [`Budget::COUNTED`]·b·C·(s + (1 − s) k/T) together, with C the
/// cost of the whole training and s = [`Budget::AT_START`]: a part is there for the start, the rest comes with the steps. What
/// is not counted on is for what counting does not see, so that the time, too, stays below the share. s is smaller where the first readings
/// need less ([`Budget::starting_with`]).
///
/// What there is goes to the due probe whose cost so far, with the coming reading, is least for its shares; a probe that is due and cannot
/// be paid is waited for, by those that have had more. So all probes that want more than they get end with costs in
/// proportion to their shares: cheap ones read often, dear ones seldom. Before the last step as much stays aside as the
/// last readings cost, the cheapest for its shares first, up to three quarters of what the run has: the end of a run is what is
/// asked for most. A probe whose single reading costs more than what is left is not read at all: the event at the end names it. A reading that
/// costs more than the last one did is paid for by those after it.
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
    at_start: f64,
}

/// What one probe asked for and got. Costs in gradients of one example.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
    spent: f64,
    num_due: u64,
    num_taken: u64,
    /// Shares of the budget.
    weight: f64,
    /// What the next reading will cost.
    price: f64,
    /// Whether a reading is due and not taken.
    is_waiting: bool,
}

impl Budget {
    /// Part of a budget that is spent by count.
    pub(super) const COUNTED: f64 = 0.97;
    /// Most of a budget that is there at step 0.
    const AT_START: f64 = 0.2;
    /// Most of a budget that is kept for the last readings.
    const FOR_THE_END: f64 = 0.75;

    pub(super) fn new(share: Option<MeasureBudget>, num_steps: u64, batch_size: f64, model: CostModel) -> Self {
        Self {
            share,
            num_steps,
            batch_size,
            model,
            accounts: BTreeMap::new(),
            preparation: 0.0,
            at_start: Self::AT_START,
        }
    }

    /// The same with this share of it at step 0, at most [`Budget::AT_START`].
    pub(super) fn starting_with(mut self, share: f64) -> Self {
        self.at_start = share.clamp(0.0, Self::AT_START);
        self
    }

    /// Which of the readings due at `step`, each with its probe's name, what it will cost and its shares, are taken.
    pub(super) fn admit(&mut self, step: u64, due: &[(&str, Cost, f64)]) -> Vec<bool> {
        for &(name, cost, weight) in due {
            let account = self.accounts.entry(name.to_owned()).or_default();
            account.num_due += 1;
            account.weight = weight;
            account.price = self.model.worth(cost);
            // What costs nothing waits for nothing.
            account.is_waiting = account.price > 0.0;
        }
        let is_end = step >= self.num_steps;
        let whole = self.allowance(self.num_steps) - if is_end { 0.0 } else { self.kept_for_the_end() };
        let allowed = self.allowance(step).min(whole);
        let mut spent = self.spent();
        let mut queue: Vec<(f64, f64, String)> = self
            .accounts
            .iter()
            .filter(|(_, account)| account.is_waiting)
            .map(|(name, account)| {
                let after = (account.spent + account.price) / account.weight;
                // At the end the cheapest for their shares come first: what was kept aside is theirs.
                (if is_end { account.price / account.weight } else { after }, account.price, name.clone())
            })
            // What can never be paid is not waited for.
            .filter(|(_, price, _)| spent + price <= whole)
            .collect();
        queue.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut admitted: Vec<bool> = due.iter().map(|&(_, cost, _)| self.model.worth(cost) == 0.0).collect();
        for (_, price, name) in queue {
            if spent + price > allowed {
                break;
            }
            // What is waited for and can be paid, but is not due now, keeps its money.
            spent += price;
            if let Some(index) = due.iter().position(|&(other, ..)| other == name) {
                admitted[index] = true;
            }
        }
        admitted
    }

    /// Books a reading that was taken.
    pub(super) fn charge(&mut self, name: &str, cost: Cost) {
        let worth = self.model.worth(cost);
        let account = self.accounts.entry(name.to_owned()).or_default();
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

    /// What all readings up to `step` may cost, in example gradients.
    fn allowance(&self, step: u64) -> f64 {
        let progress = step as f64 / self.num_steps.max(1) as f64;
        let whole = Self::affordable(self.share, self.num_steps, self.batch_size);
        whole * (self.at_start + (1.0 - self.at_start) * progress)
    }

    /// The prices of the last readings, the lowest for its shares first, as far as they fit.
    fn kept_for_the_end(&self) -> f64 {
        let most = Self::FOR_THE_END * self.allowance(self.num_steps);
        let mut accounts: Vec<&Account> = self.accounts.values().collect();
        accounts.sort_by(|a, b| (a.price / a.weight).total_cmp(&(b.price / b.weight)));
        let keep = |kept: f64, price: f64| if kept + price <= most { kept + price } else { kept };
        accounts.into_iter().fold(0.0, |kept, account| keep(kept, account.price))
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

    /// A run of 1000 steps of cost 10 under 5 %: 350 in all. Probes as name, interval, cost. Their accounts, the most that
    /// was ever spent of what was allowed, and the steps of all readings.
    fn run(probes: &[(&str, u64, usize)]) -> (Budget, f64, Vec<(String, u64)>) {
        let mut budget = Budget::new("5%".parse().ok(), 1000, 10.0, CostModel::with(1, 0, 1));
        let (mut most, mut readings) = (0.0_f64, Vec::new());
        for step in 0..=1000 {
            let due: Vec<(&str, Cost, f64)> = probes
                .iter()
                .filter(|(_, every, _)| step % every == 0)
                .map(|&(name, _, cost)| (name, Cost::gradients(cost), 1.0))
                .collect();
            let admitted = budget.admit(step, &due);
            for (&(name, cost, _), _) in due.iter().zip(&admitted).filter(|(_, admitted)| **admitted) {
                budget.charge(name, cost);
                readings.push((name.to_owned(), step));
            }
            most = most.max(budget.spent() / budget.allowance(step));
        }
        (budget, most, readings)
    }

    #[test]
    fn the_cost_never_exceeds_what_is_allowed_at_any_step_and_little_is_left_at_the_end() {
        let (budget, most, _) = run(&[("cheap", 10, 2), ("middling", 50, 20), ("dear", 100, 60)]);
        assert!(most <= 1.0 && budget.spent() > 280.0, "{most} {}", budget.spent());
    }

    #[test]
    fn probes_that_want_more_than_they_get_end_with_equal_costs_and_none_starves() {
        let (budget, ..) = run(&[("cheap", 10, 2), ("middling", 50, 20), ("dear", 100, 60)]);
        let spent: Vec<f64> = budget.accounts.values().map(|account| account.spent).collect();
        assert!(budget.accounts.values().all(|account| account.num_taken > 0), "{budget:?}");
        let (least, most) = (spent.iter().copied().fold(f64::MAX, f64::min), spent.iter().copied().fold(0.0, f64::max));
        assert!(most - least <= 60.0 + 20.0, "within a reading or two: {spent:?}");
    }

    #[test]
    fn the_last_readings_are_taken_however_much_was_wanted_before() {
        // One reading of each is 162, less than three quarters of 350.
        let (_, most, readings) = run(&[("cheap", 1, 2), ("middling", 10, 60), ("dear", 100, 100)]);
        for name in ["cheap", "middling", "dear"] {
            assert!(readings.contains(&(name.to_owned(), 1000)), "{name}: {readings:?}");
        }
        assert!(most <= 1.0, "{most}");
    }

    #[test]
    fn what_can_never_be_paid_holds_nobody_up_and_is_named() {
        let (budget, ..) = run(&[("cheap", 10, 2), ("hopeless", 100, 10_000)]);
        assert_eq!((budget.accounts["hopeless"].num_taken, budget.accounts["cheap"].num_taken), (0, 101));
        let left_out = budget.left_out();
        assert_eq!((left_out.len(), left_out[0].probe.as_str(), left_out[0].num_due), (1, "hopeless", 11));
    }

    #[test]
    fn without_a_budget_everything_is_taken() {
        let mut budget = Budget::new(None, 10, 1.0, CostModel::with(1, 0, 1));
        assert_eq!(budget.admit(0, &[("a", Cost::gradients(1 << 40), 1.0), ("b", Cost::ZERO, 1.0)]), [true, true]);
    }
}

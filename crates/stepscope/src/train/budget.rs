//! Which readings a run can afford.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepscope_types::quantity;
use stepscope_types::spec::MeasureBudget;
use stepscope_types::{Estimate, LeftOut, Uncertainty};

use crate::checkpoint::{State, StateError, Stateful};
use crate::measure::{Cost, Measured};

/// The accounts of a run's probes.
///
/// Costs are counted in gradients of one example ([`Cost`]) and never timed, so that the same specification leaves the same readings
/// out on every machine and a run can be repeated byte for byte.
///
/// With a budget of share b, the readings up to step k of T may cost ¾b·C·(0.1 + 0.9 k/T) together, with C the cost of the
/// whole training: a tenth is there for the start, the rest comes with the steps. The quarter is for what counting does not see,
/// so that the time, too, stays below the share. What there is goes to the due probe whose
/// cost so far, with the coming reading, is least; a probe that is due and cannot be paid is waited for, by those that have
/// had more. So all probes that want more than they get end with costs in proportion to their shares: cheap ones read often, dear ones seldom, and one whose
/// single reading costs more than its share of the run's whole budget not at all: the event at the end names it. A reading
/// that costs more than the last one did is paid for by those after it.
///
/// Source: ours; the order is that of fair queueing.
#[derive(Debug)]
pub(super) struct Budget {
    share: Option<MeasureBudget>,
    num_steps: u64,
    cost_of_step: Cost,
    accounts: BTreeMap<String, Account>,
    /// What brought the network into the mode that it is measured in.
    preparation: Cost,
}

/// What one probe asked for and got.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
    spent: Cost,
    num_due: u64,
    num_taken: u64,
    /// Shares of the budget.
    weight: f64,
    /// The reading that is waited for.
    waiting: Option<Cost>,
}

impl Budget {
    /// Part of a budget that is spent by count.
    const COUNTED: f64 = 0.75;
    /// Share of a budget that is there at step 0.
    const AT_START: f64 = 0.1;

    pub(super) fn new(share: Option<MeasureBudget>, num_steps: u64, cost_of_step: Cost) -> Self {
        Self { share, num_steps, cost_of_step, accounts: BTreeMap::new(), preparation: Cost::ZERO }
    }

    /// Which of the readings due at `step`, each with its probe's name, what it will cost and its shares, are taken.
    pub(super) fn admit(&mut self, step: u64, due: &[(&str, Cost, f64)]) -> Vec<bool> {
        for &(name, cost, weight) in due {
            let account = self.accounts.entry(name.to_owned()).or_default();
            account.num_due += 1;
            account.weight = weight;
            // What costs nothing waits for nothing.
            account.waiting = Some(cost).filter(|&cost| cost > Cost::ZERO);
        }
        let (allowed, whole) = (self.allowance(step), self.allowance(self.num_steps));
        let mut spent = self.spent().example_gradients();
        let mut queue: Vec<(f64, f64, String)> = self
            .accounts
            .iter()
            .filter_map(|(name, account)| {
                let cost = account.waiting?.example_gradients();
                Some(((account.spent.example_gradients() + cost) / account.weight, cost, name.clone()))
            })
            // What can never be paid is not waited for.
            .filter(|(_, cost, _)| spent + cost <= whole)
            .collect();
        queue.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut admitted: Vec<bool> = due.iter().map(|&(_, cost, _)| cost == Cost::ZERO).collect();
        for (_, cost, name) in queue {
            if spent + cost > allowed {
                break;
            }
            if let Some(index) = due.iter().position(|&(other, ..)| other == name) {
                admitted[index] = true;
                spent += cost;
            } else {
                // It is waited for and can be paid, but is not due now: its money stays.
                spent += cost;
            }
        }
        admitted
    }

    /// Books a reading that was taken.
    pub(super) fn charge(&mut self, name: &str, cost: Cost) {
        let account = self.accounts.entry(name.to_owned()).or_default();
        account.spent = account.spent + cost;
        account.num_taken += 1;
        account.waiting = None;
    }

    /// Books what readings at a step needed together.
    pub(super) fn charge_preparation(&mut self, cost: Cost) {
        self.preparation = self.preparation + cost;
    }

    /// What all readings up to `step` may cost, in example gradients.
    fn allowance(&self, step: u64) -> f64 {
        let Some(share) = self.share else { return f64::INFINITY };
        let training = self.cost_of_step.example_gradients() * self.num_steps as f64;
        let progress = step as f64 / self.num_steps.max(1) as f64;
        share.share() * Self::COUNTED * training * (Self::AT_START + (1.0 - Self::AT_START) * progress)
    }

    fn spent(&self) -> Cost {
        self.accounts.values().map(|account| account.spent).sum::<Cost>() + self.preparation
    }

    /// The account of a run after `step` steps; nothing for a run without probes.
    pub(super) fn summary(&self, step: u64) -> Vec<Measured> {
        let total = |part: fn(&Account) -> u64| self.accounts.values().map(part).sum::<u64>();
        let (due, taken) = (total(|account| account.num_due), total(|account| account.num_taken));
        if due == 0 || step == 0 {
            return Vec::new();
        }
        let training = self.cost_of_step.example_gradients() * step as f64;
        let exact = |quantity: &'static quantity::Quantity, value: f64| {
            Measured::new(quantity, Estimate::new(value, quantity.unit, Uncertainty::Exact))
        };
        vec![
            exact(&quantity::PROBE_COST, self.spent().example_gradients() / training),
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

    /// A run of 1000 steps of cost 10 under 5 %: 375 in all. Probes as name, interval, cost. Costs and readings by name.
    fn run(probes: &[(&str, u64, usize)]) -> (BTreeMap<String, Account>, f64) {
        let mut budget = Budget::new("5%".parse().ok(), 1000, Cost::gradients(10));
        let mut most = 0.0_f64;
        for step in 0..=1000 {
            let due: Vec<(&str, Cost, f64)> = probes
                .iter()
                .filter(|(_, every, _)| step % every == 0)
                .map(|&(name, _, cost)| (name, Cost::gradients(cost), 1.0))
                .collect();
            let admitted = budget.admit(step, &due);
            for (&(name, cost, _), _) in due.iter().zip(&admitted).filter(|(_, admitted)| **admitted) {
                budget.charge(name, cost);
            }
            most = most.max(budget.spent().example_gradients() / budget.allowance(step));
        }
        (budget.accounts, most)
    }

    #[test]
    fn the_cost_never_exceeds_what_is_allowed_at_any_step_and_little_is_left_at_the_end() {
        let (accounts, most) = run(&[("cheap", 10, 2), ("middling", 50, 20), ("dear", 100, 60)]);
        let spent: f64 = accounts.values().map(|a| a.spent.example_gradients()).sum();
        assert!(most <= 1.0 && spent > 300.0, "{most} {spent}");
    }

    #[test]
    fn probes_that_want_more_than_they_get_end_with_equal_costs_and_none_starves() {
        let (accounts, _) = run(&[("cheap", 10, 2), ("middling", 50, 20), ("dear", 100, 60)]);
        let spent: Vec<f64> = accounts.values().map(|a| a.spent.example_gradients()).collect();
        assert!(accounts.values().all(|a| a.num_taken > 0), "{accounts:?}");
        let (least, most) = (spent.iter().copied().fold(f64::MAX, f64::min), spent.iter().copied().fold(0.0, f64::max));
        assert!(most - least <= 60.0 + 20.0, "within a reading or two: {spent:?}");
    }

    #[test]
    fn what_can_never_be_paid_holds_nobody_up_and_is_named() {
        let (accounts, _) = run(&[("cheap", 10, 2), ("hopeless", 100, 10_000)]);
        assert_eq!((accounts["hopeless"].num_taken, accounts["cheap"].num_taken), (0, 101));
        let budget = Budget { accounts, ..Budget::new("5%".parse().ok(), 1000, Cost::gradients(10)) };
        let left_out = budget.left_out();
        assert_eq!((left_out.len(), left_out[0].probe.as_str(), left_out[0].num_due), (1, "hopeless", 11));
    }

    #[test]
    fn without_a_budget_everything_is_taken() {
        let mut budget = Budget::new(None, 10, Cost::gradients(1));
        assert_eq!(budget.admit(0, &[("a", Cost::gradients(1 << 40), 1.0), ("b", Cost::ZERO, 1.0)]), [true, true]);
    }
}

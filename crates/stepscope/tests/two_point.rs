//! The two-point probe against losses evaluated one by one, and what a change of the rate does to it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{model, random_vector};
use stepscope::backend::Backend;
use stepscope::data::Dataset;
use stepscope::measure::{BatchSource, ChordPlan, Measured, Objective, Probe, ProbePoint, TwoPointProbe};
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::types::quantity::{self, Quantity};
use stepscope::types::spec::{Activation, DataSpec, ModelKind, Precision, Sampling};
use stepscope::types::{Estimate, Step};

const F64: Precision = Precision::F64;

fn estimate<'m>(measured: &'m [Measured], quantity: &Quantity) -> &'m Estimate {
    let found = measured.iter().find(|m| m.quantity == quantity);
    found.and_then(|m| m.reading.estimate()).expect(quantity.name)
}

fn has(measured: &[Measured], quantity: &Quantity) -> bool {
    measured.iter().any(|m| m.quantity == quantity)
}

/// A trajectory that wanders about a point, and the losses on it.
struct Walk {
    dataset: Dataset,
    network: Model,
    layout: ParamLayout,
    points: Vec<Vec<f64>>,
}

impl Walk {
    fn new(steps: usize) -> Self {
        let dataset = Dataset::load(&DataSpec { train_examples: Some(40), ..DataSpec::default() }).unwrap();
        let network = model(ModelKind::Mlp, Activation::Softplus, F64, &dataset);
        let layout = ParamLayout::of(&network);
        let center = layout.values(&network);
        let mut offset = vec![0.0; center.len()];
        let points = (0..steps)
            .map(|step| {
                let kick = random_vector(center.len(), step as u64);
                offset.iter_mut().zip(&kick).for_each(|(x, kick)| *x = 0.8 * *x + 0.3 * kick);
                center.iter().zip(&offset).map(|(c, x)| c + x).collect()
            })
            .collect();
        Self { dataset, network, layout, points }
    }

    fn objective(&self) -> Objective {
        let backend = Backend::cpu(F64);
        Objective::whole(&self.dataset.train, self.dataset.shape, &backend.tracked(), backend.dtype())
    }

    fn loss(&self, values: &[f64]) -> f64 {
        let backend = Backend::cpu(F64);
        let tracked = Objective::whole(&self.dataset.train, self.dataset.shape, &backend.tracked(), backend.dtype());
        tracked.loss_and_gradient(&self.layout.assign(self.network.clone(), values), &self.layout).unwrap().0
    }

    fn probe(&self, plan: ChordPlan) -> TwoPointProbe<'_> {
        let backend = Backend::cpu(F64);
        let random = RandomStream::named(4, "batches");
        let batches = BatchSource::new(&self.dataset, 20, backend.tracked(), backend.dtype(), random);
        TwoPointProbe::new(batches, Sampling::WithoutReplacement, self.objective(), plan, vec![1.0, 0.5])
    }

    fn measure(&self, probe: &mut TwoPointProbe<'_>, step: usize, rate: f64) -> Vec<Measured> {
        let network = self.layout.assign(self.network.clone(), &self.points[step]);
        probe.measure(&ProbePoint::new(&network, &self.layout, Step(step as u64), rate)).unwrap()
    }
}

#[test]
fn drops_and_chord_gauges_are_means_of_what_losses_one_by_one_say() {
    let walk = Walk::new(61);
    let plan = ChordPlan { every: 5, lags: vec![1, 3, 10] };
    let mut probe = walk.probe(plan.clone());
    let mut last = Vec::new();
    for step in 0..=60_usize {
        let is_due = step.is_multiple_of(5)
            || plan.lags.iter().any(|&lag| step >= lag as usize && (step - lag as usize).is_multiple_of(5));
        if is_due {
            let measured = walk.measure(&mut probe, step, 0.1);
            if step.is_multiple_of(5) {
                last = measured;
            }
        }
    }
    // At step 60 the latest stretch with a chord began at 55; those from half-way, 27.5, on count.
    for (lag, index) in [(1, 0), (3, 1), (10, 2)] {
        let starts: Vec<usize> = (30..=55).step_by(5).filter(|start| start + lag <= 60).collect();
        let (mut drops, mut falls) = (0.0, 0.0);
        for &start in &starts {
            let (a, b) = (&walk.points[start], &walk.points[start + lag]);
            let middle: Vec<f64> = a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect();
            drops += 0.5 * (walk.loss(a) + walk.loss(b)) - walk.loss(&middle);
            falls += walk.loss(a) - walk.loss(b);
        }
        let count = starts.len() as f64;
        let drop = estimate(&last, &quantity::TWO_POINT_DROP[index].1).value;
        assert!((drop / (drops / count) - 1.0).abs() < 1e-9, "lag {lag}: {drop} {}", drops / count);
        if has(&last, &quantity::CHORD_GAUGE[index].1) {
            let gauge = estimate(&last, &quantity::CHORD_GAUGE[index].1).value;
            assert!((gauge - (0.5 + falls / (8.0 * drops))).abs() < 1e-9, "lag {lag}: {gauge}");
        }
    }
    let total = estimate(&last, &quantity::EXCESS_TWO_POINTS);
    let (low, high) = total.interval();
    assert!(low <= total.value && total.value <= high && low > 0.0, "{total:?}");
    assert!(estimate(&last, &quantity::GAIN_COOLDOWN).value < total.value);
    assert!(estimate(&last, &quantity::EXCESS_NOISE).value > 0.0);
    assert!(
        has(&last, &quantity::GAIN_EMA[0].1) && !has(&last, &quantity::GAIN_EMA[3].1),
        "nothing beyond the longest lag"
    );
}

#[test]
fn a_change_of_the_rate_begins_anew_and_says_what_it_has_removed() {
    let walk = Walk::new(90);
    let mut probe = walk.probe(ChordPlan { every: 2, lags: vec![1] });
    for step in 0..41 {
        walk.measure(&mut probe, step, 0.1);
    }
    let measured = walk.measure(&mut probe, 42, 0.05);
    assert!(!has(&measured, &quantity::EXCESS_TWO_POINTS), "stretches at two rates are not mixed");
    // The later half of 0..=40: the stretches from 20 on that have a chord.
    let losses: Vec<f64> = (20..=38).step_by(2).chain([40]).map(|step| walk.loss(&walk.points[step])).collect();
    let realised = estimate(&measured, &quantity::EXCESS_REALISED).value + walk.loss(&walk.points[42]);
    let with_last = losses.iter().sum::<f64>() / losses.len() as f64;
    let without_last = losses[..losses.len() - 1].iter().sum::<f64>() / (losses.len() - 1) as f64;
    assert!((realised - with_last).abs().min((realised - without_last).abs()) < 1e-9, "{realised} {with_last}");
}

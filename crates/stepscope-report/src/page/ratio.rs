//! Prediction over measurement, step by step.

use std::collections::HashMap;

use stepscope_types::{Step, Uncertainty};

use crate::page::lineup::{Lineup, Role};
use crate::{Point, Series};

/// A quantity that was predicted and measured.
pub(super) struct Ratio<'a> {
    pub(super) name: &'a str,
    /// Position of the prediction among the entries, and its ratio.
    pub(super) curves: Vec<(usize, Series)>,
}

/// Ratios of every prediction to what it predicts, by quantity, where both have at least three readings in common.
pub(super) fn series<'a>(lineup: &'a Lineup) -> Vec<Ratio<'a>> {
    let mut ratios: Vec<Ratio<'a>> = Vec::new();
    for (index, entry) in lineup.entries.iter().enumerate() {
        let Role::Prediction(Some(target)) = entry.role else { continue };
        let measured = &lineup.entries[target].run;
        for name in entry.run.names() {
            let ratio = ratio(entry.run.series(name), measured.series(name));
            if ratio.points().len() < 3 {
                continue;
            }
            match ratios.iter_mut().find(|known| known.name == name) {
                Some(known) => known.curves.push((index, ratio)),
                None => ratios.push(Ratio { name, curves: vec![(index, ratio)] }),
            }
        }
    }
    ratios
}

/// Prediction over measurement at common steps; the error is that of the measurement. Values of 0 have no ratio.
fn ratio(predicted: &Series, measured: &Series) -> Series {
    let measured: HashMap<Step, &Point> = measured.values().map(|(point, _)| (point.step, point)).collect();
    let points = predicted.values().filter_map(|(point, prediction)| {
        let reading = measured.get(&point.step)?;
        let over = |value: f64| Some(prediction / value).filter(|ratio| ratio.is_finite());
        let value = over(reading.value?)?;
        // An error that reaches to 0 or below leaves the ratio without an upper end.
        let interval = reading.interval.filter(|(low, _)| *low > 0.0).and_then(|(low, high)| over(high).zip(over(low)));
        let interval = interval.filter(|(low, high)| low < high);
        // The ends are those of the measurement's error, whatever its kind: they have no coverage of their own.
        let error = interval.is_none().then_some(Uncertainty::Exact);
        Some(Point { value: Some(value), error, interval, unresolved: None, ..point.clone() })
    });
    Series::of("1", points.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, synthetic};

    #[test]
    fn the_ratio_is_taken_at_common_steps_with_the_error_of_the_measurement() {
        let mut manifest = synthetic::manifest("measured", 0.1);
        let measured: Vec<_> =
            [(0, 2.0), (10, 0.5), (20, 0.0), (30, 0.25)].map(|(step, loss)| synthetic::loss(step, loss)).to_vec();
        let runs = [Run::from_records(manifest.clone(), measured), {
            manifest.process = "theory".to_owned();
            Run::from_records(manifest, (0..=30).map(|step| synthetic::loss(step, 1.0)))
        }];
        let lineup = Lineup::new(&runs);
        let ratios = series(&lineup);
        assert_eq!((ratios.len(), ratios[0].name), (1, "train/loss"));
        let (run, ratio) = &ratios[0].curves[0];
        assert_eq!(*run, 1);
        let values: Vec<_> = ratio.values().map(|(point, value)| (point.step.0, value)).collect();
        assert_eq!(values, [(0, 0.5), (10, 2.0), (30, 4.0)]);
        let (low, high) = ratio.points()[1].interval.unwrap();
        assert!((low - 1.0 / 0.51).abs() < 1e-12 && (high - 1.0 / 0.49).abs() < 1e-12);
    }
}

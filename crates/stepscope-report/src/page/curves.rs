//! What the page's script draws: axes, runs and panels, as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use stepscope_types::StopReason;
use stepscope_types::quantity::{self, Quantity};

use crate::page::lineup::Lineup;
use crate::{Point, Run};

/// Points of a curve beyond which it is thinned: four for each pixel of a wide panel.
const MOST_POINTS: usize = 4000;

/// Curves that answer the questions of the page, first; then those that explain them; then all others by name.
const MAIN: [Quantity; 7] = [
    quantity::TRAIN_LOSS,
    quantity::TEST_LOSS,
    quantity::TEST_ACCURACY,
    quantity::EFFECTIVE_SHARPNESS,
    quantity::HESSIAN_TOP_EIGENVALUE,
    quantity::NOISE_SCALE,
    quantity::LEARNING_RATE,
];
const MORE: [Quantity; 5] = [
    quantity::TRAIN_ACCURACY,
    quantity::BATCH_LOSS,
    quantity::GRADIENT_NORM,
    quantity::NOISE_TRACE,
    quantity::LINE_MINIMUM,
];

/// A largest value this many times the smallest one is drawn on a logarithmic axis at first.
const LOG_RATIO: f64 = 30.0;

#[derive(Serialize)]
pub(super) struct Curves {
    runs: Vec<RunLook>,
    /// Abscissae, shared by the curves that have the same.
    axes: Vec<Axis>,
    panels: Vec<Panel>,
}

#[derive(Serialize)]
struct RunLook {
    name: String,
    look: usize,
    prediction: bool,
    /// Whether the run ended by diverging; its curves are marked where they end.
    diverged: bool,
}

#[derive(Serialize, PartialEq)]
struct Axis {
    step: Vec<u64>,
    epoch: Vec<f64>,
}

#[derive(Serialize)]
struct Panel {
    name: String,
    title: String,
    description: String,
    /// Beside the title.
    unit: String,
    /// After a value.
    suffix: String,
    percent: bool,
    main: bool,
    shape: &'static str,
    log_y: bool,
    limits: Vec<Limit>,
    curves: Vec<Curve>,
}

#[derive(Serialize)]
struct Limit {
    value: f64,
    label: String,
}

#[derive(Serialize)]
struct Curve {
    run: usize,
    axis: usize,
    value: Vec<Option<f64>>,
    /// Ends of the errors; left out where every value is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<Vec<Option<f64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<Vec<Option<f64>>>,
    /// Reasons by position.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unresolved: BTreeMap<usize, String>,
}

impl Curves {
    pub(super) fn new(lineup: &Lineup) -> Self {
        let runs = lineup.entries.iter().map(|entry| RunLook {
            name: entry.run.name().to_owned(),
            look: entry.look,
            prediction: entry.run.is_prediction(),
            diverged: matches!(entry.run.stop_reason(), Some(StopReason::Diverged { .. })),
        });
        let mut curves = Self { runs: runs.collect(), axes: Vec::new(), panels: Vec::new() };
        let runs: Vec<&Run> = lineup.entries.iter().map(|entry| entry.run).collect();
        for name in panel_names(&runs) {
            let panel = curves.panel(name, &runs);
            curves.panels.extend(panel);
        }
        curves
    }

    /// The panel of a quantity, unless no run has a value of it.
    fn panel(&mut self, name: &str, runs: &[&Run]) -> Option<Panel> {
        let drawn: Vec<Curve> = runs.iter().enumerate().filter_map(|(run, r)| self.curve(name, run, r)).collect();
        let unit = runs.iter().map(|run| run.series(name).unit()).find(|unit| !unit.is_empty())?;
        if drawn.is_empty() {
            return None;
        }
        let known = quantity::by_name(name);
        let percent = name.ends_with("accuracy");
        let (unit, suffix) = if percent { ("", "") } else { unit_texts(unit) };
        Some(Panel {
            name: name.to_owned(),
            title: known.map_or(name, |quantity| quantity.title).replace(" x ", " × "),
            description: known.map_or("", |quantity| quantity.description).to_owned(),
            unit: unit.to_owned(),
            suffix: suffix.to_owned(),
            percent,
            main: MAIN.iter().any(|quantity| quantity.name == name),
            shape: shape(name),
            log_y: spans_decades(&drawn),
            limits: if name == quantity::EFFECTIVE_SHARPNESS.name { stability_limits(runs) } else { Vec::new() },
            curves: drawn,
        })
    }

    fn curve(&mut self, name: &str, run: usize, data: &Run) -> Option<Curve> {
        let points = data.series(name).thinned(MOST_POINTS);
        if points.iter().all(|point| point.value.is_none()) {
            return None;
        }
        let column = |value: fn(&Point) -> Option<f64>| -> Vec<Option<f64>> {
            points.iter().map(|point| value(point).map(rounded)).collect()
        };
        let low = column(|point| point.interval.map(|(low, _)| low));
        let high = column(|point| point.interval.map(|(_, high)| high));
        let has_errors = low.iter().any(Option::is_some);
        let without_value = points.iter().enumerate().filter(|(_, point)| point.value.is_none());
        let reasons =
            without_value.map(|(index, point)| (index, point.unresolved.as_deref().unwrap_or("no value").to_owned()));
        Some(Curve {
            run,
            axis: self.axis(&points),
            value: column(|point| point.value),
            low: has_errors.then_some(low),
            high: has_errors.then_some(high),
            unresolved: reasons.collect(),
        })
    }

    fn axis(&mut self, points: &[&Point]) -> usize {
        let step = points.iter().map(|point| point.step.0).collect();
        let epoch = points.iter().map(|point| rounded(point.epoch)).collect();
        let axis = Axis { step, epoch };
        self.axes.iter().position(|known| *known == axis).unwrap_or_else(|| {
            self.axes.push(axis);
            self.axes.len() - 1
        })
    }
}

/// The names of all panels, in order.
fn panel_names<'a>(runs: &[&'a Run]) -> Vec<&'a str> {
    let mut all: BTreeSet<&str> = runs.iter().flat_map(|run| run.names()).collect();
    let known: Vec<&str> = MAIN.iter().chain(&MORE).filter_map(|quantity| all.take(quantity.name)).collect();
    // The last value of an average stands in a table of its own: two or three readings are no curve.
    let is_curve = |name: &&str| runs.iter().any(|run| run.series(name).points().len() > 3);
    // Coordinates of a random projection mean nothing one by one.
    let is_shown = |name: &&str| is_curve(name) && !name.starts_with("sketch/");
    known.into_iter().chain(all.into_iter().filter(is_shown)).collect()
}

fn shape(name: &str) -> &'static str {
    if name == quantity::LEARNING_RATE.name {
        "steps"
    } else if name == quantity::LINE_MINIMUM.name {
        "points"
    } else {
        "line"
    }
}

/// The unit beside a title, and after a value. A learning rate's unit says no more than its name does.
fn unit_texts(unit: &str) -> (&str, &str) {
    match unit {
        "1" | "learning-rate" => ("", ""),
        "1/learning-rate" => ("1 / learning rate", ""),
        "nat^2" => ("nat²", " nat²"),
        "nat" => ("nat", " nat"),
        "examples" => ("examples", " examples"),
        other => (other, ""),
    }
}

/// 2 (1 + momentum), once for each momentum among the runs (`loss-prediction`, section 3).
fn stability_limits(runs: &[&Run]) -> Vec<Limit> {
    let mut momenta: Vec<f64> = runs.iter().map(|run| run.manifest().spec.optimizer.momentum.get()).collect();
    momenta.sort_by(f64::total_cmp);
    momenta.dedup();
    let limit = |momentum: &f64| {
        let value = 2.0 * (1.0 + momentum);
        let with_momentum = if momenta == [0.0] { String::new() } else { format!(" with momentum {momentum}") };
        Limit { value, label: format!("stability limit {}{with_momentum}", rounded(value)) }
    };
    momenta.iter().map(limit).collect()
}

fn spans_decades(curves: &[Curve]) -> bool {
    let values = || curves.iter().flat_map(|curve| curve.value.iter().copied().flatten());
    let smallest = values().fold(f64::INFINITY, f64::min);
    // Intervals count: one that reaches far up would flatten everything below it.
    let bounds = curves.iter().flat_map(|curve| curve.high.iter().flatten().copied().flatten());
    let largest = values().chain(bounds).fold(0.0, f64::max);
    smallest > 0.0 && largest > LOG_RATIO * smallest
}

/// Seven significant digits: what single precision holds, and a third of the page's size less.
fn rounded(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::template::json_island;
    use crate::synthetic;
    use serde_json::Value;

    fn parsed(runs: &[Run]) -> Value {
        serde_json::from_str(&json_island(&Curves::new(&Lineup::new(runs)))).unwrap()
    }

    fn quickstart() -> Vec<Run> {
        synthetic::quickstart().into_iter().map(|(manifest, records)| Run::from_records(manifest, records)).collect()
    }

    #[test]
    fn the_island_parses_back_with_every_curve_as_long_as_its_axis() {
        let data = parsed(&quickstart());
        let panels = data["panels"].as_array().unwrap();
        assert_eq!(panels[0]["name"], "train/loss");
        assert_eq!(panels[0]["curves"].as_array().unwrap().len(), 5, "four runs and a prediction");
        for curve in panels.iter().flat_map(|panel| panel["curves"].as_array().unwrap()) {
            let axis = &data["axes"][curve["axis"].as_u64().unwrap() as usize];
            for column in [&axis["step"], &axis["epoch"]] {
                assert_eq!(column.as_array().unwrap().len(), curve["value"].as_array().unwrap().len());
            }
        }
    }

    #[test]
    fn an_unresolved_reading_is_a_gap_with_its_reason() {
        let data = parsed(&quickstart());
        let panels = data["panels"].as_array().unwrap();
        let noise = panels.iter().find(|panel| panel["name"] == "noise/gradient_noise_scale").unwrap();
        assert_eq!(noise["curves"][0]["value"][6], Value::Null);
        assert!(noise["curves"][0]["unresolved"]["6"].as_str().unwrap().contains("raise measure.noise_batches"));
    }

    #[test]
    fn the_stability_limit_follows_the_momentum() {
        let mut manifest = synthetic::manifest("run", 0.1);
        manifest.spec.optimizer.momentum = stepscope_types::Momentum::new(0.9).unwrap();
        let limits = stability_limits(&[&Run::from_records(manifest, [])]);
        assert_eq!((limits[0].value, limits[0].label.as_str()), (3.8, "stability limit 3.8 with momentum 0.9"));
    }

    #[test]
    fn a_name_this_version_does_not_know_still_has_its_panel() {
        let manifest = synthetic::manifest("run", 0.1);
        let records = (0..9).map(|step| {
            let mut record = synthetic::loss(step, 1.0);
            if let stepscope_types::Record::Measurement(measurement) = &mut record {
                measurement.name = "new/quantity".to_owned();
            }
            record
        });
        let data = parsed(&[Run::from_records(manifest, records)]);
        assert_eq!(data["panels"][0]["title"], "new/quantity");
    }

    #[test]
    fn only_positive_values_over_decades_start_on_a_logarithmic_axis() {
        let curve = |values: &[f64]| Curve {
            run: 0,
            axis: 0,
            value: values.iter().copied().map(Some).collect(),
            low: None,
            high: None,
            unresolved: BTreeMap::new(),
        };
        assert!(spans_decades(&[curve(&[1.0]), curve(&[0.01])]));
        assert!(!spans_decades(&[curve(&[1.0, 0.5])]));
        assert!(!spans_decades(&[curve(&[100.0, 0.0])]));
    }
}

//! What the page's script draws: axes, runs and panels, as JSON.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};
use stepscope_types::StopReason;
use stepscope_types::quantity;
use stepscope_types::spec::DirectionRule;

use crate::page::lineup::{Lineup, Role};
use crate::page::panels::{self, Plan};
use crate::page::{apart, frame, ratio};
use crate::{Point, Run, Series};

/// Points of a curve beyond which it is thinned: four for each pixel of a wide panel.
const MOST_POINTS: usize = 4000;
/// Points of all curves of a panel together, and what a curve gets at least however many there are.
const MOST_POINTS_OF_A_PANEL: usize = 40_000;
const FEWEST_POINTS: usize = 200;

/// Beyond so many curves in a panel bands would only cover each other.
const MOST_BANDS: usize = 12;

/// A noisy curve of more readings than this is also drawn as means over stretches of it, as many as this.
const NUM_MEANS: usize = 150;
/// A curve is noisy where its ups and downs add up to this many times its range.
const NOISY: f64 = 8.0;

/// A largest value this many times the smallest one is drawn on a logarithmic axis at first.
const LOG_RATIO: f64 = 30.0;

#[derive(Serialize)]
pub(super) struct Curves {
    runs: Vec<RunLook>,
    /// Abscissae, shared by the curves that have the same.
    axes: Vec<Axis>,
    groups: Vec<PanelGroup>,
    #[serde(skip)]
    known_axes: HashMap<Vec<u64>, usize>,
}

#[derive(Serialize)]
struct RunLook {
    name: String,
    look: usize,
    /// Where the colour lies on the ramp.
    #[serde(skip_serializing_if = "Option::is_none")]
    shade: Option<f64>,
    /// `run`, `pool`, `member`, `prediction` or `afterwards`.
    role: &'static str,
    /// Whether the run ended by diverging; its curves are marked where they end.
    diverged: bool,
}

#[derive(Serialize, PartialEq)]
struct Axis {
    step: Vec<u64>,
    epoch: Epochs,
}

/// Epochs of an axis: a factor on the steps where there is one.
#[derive(Serialize, PartialEq)]
#[serde(untagged)]
enum Epochs {
    PerStep(f64),
    Listed(Vec<Short>),
}

/// A number with the seven digits of single precision, a third of the page's size less; larger ones are written whole.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Short(pub(super) f64);

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let short = self.0 as f32;
        if short.is_normal() { serializer.serialize_f32(short) } else { serializer.serialize_f64(self.0) }
    }
}

#[derive(Serialize)]
struct PanelGroup {
    key: String,
    heading: String,
    panels: Vec<Panel>,
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
    wide: bool,
    shape: &'static str,
    log_y: bool,
    limits: Vec<Limit>,
    /// Values outside are left out of the picture at first: an explosion would flatten everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<[Short; 2]>,
    curves: Vec<Curve>,
}

#[derive(Serialize)]
pub(super) struct Limit {
    pub(super) value: f64,
    pub(super) label: String,
}

#[derive(Serialize)]
struct Curve {
    run: usize,
    axis: usize,
    /// The number within a family.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    value: Vec<Option<Short>>,
    /// Ends of the errors; left out where every value is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<Vec<Option<Short>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<Vec<Option<Short>>>,
    /// Reasons by position.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unresolved: BTreeMap<usize, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    means: Option<Means>,
}

/// Means over stretches of a noisy curve.
#[derive(Serialize)]
struct Means {
    axis: usize,
    value: Vec<Short>,
    /// Readings in a stretch.
    length: usize,
}

/// A series to be drawn.
struct Drawn<'a> {
    run: usize,
    number: Option<u64>,
    series: &'a Series,
}

impl Curves {
    pub(super) fn new(lineup: &Lineup) -> Self {
        let runs = lineup.entries.iter().enumerate().map(|(index, entry)| RunLook {
            name: entry.run.name().to_owned(),
            look: entry.look,
            shade: lineup.shade(index),
            role: match entry.role {
                Role::Run => "run",
                Role::Pool(_) => "pool",
                Role::Member => "member",
                Role::Prediction(_) => "prediction",
                Role::Afterwards => "afterwards",
            },
            diverged: matches!(entry.run.stop_reason(), Some(StopReason::Diverged { .. })),
        });
        let (runs, known_axes) = (runs.collect(), HashMap::new());
        let mut curves = Self { runs, axes: Vec::new(), groups: Vec::new(), known_axes };
        let measured: Vec<&Run> = lineup.entries.iter().map(|entry| entry.run.as_ref()).collect();
        for (key, plans) in panels::plan(&measured) {
            let panels = plans.iter().filter_map(|plan| curves.panel(plan, &measured)).collect();
            curves.groups.push(PanelGroup { key: key.to_owned(), heading: panels::heading(key), panels });
        }
        let ratios = ratio::series(lineup);
        let panels = ratios.iter().filter_map(|ratio| curves.ratio_panel(ratio)).collect();
        let place =
            curves.groups.iter().position(|group| group.key != panels::MAIN_GROUP).unwrap_or(curves.groups.len());
        let (key, heading) = ("prediction".to_owned(), panels::heading("prediction"));
        curves.groups.insert(place, PanelGroup { key, heading, panels });
        if let Some(panel) = apart::series(lineup).and_then(|apart| curves.apart_panel(apart)) {
            match curves.groups.iter_mut().find(|group| group.key == "distance") {
                Some(group) => group.panels.push(panel),
                None => curves.groups.push(PanelGroup {
                    key: "distance".to_owned(),
                    heading: panels::heading("distance"),
                    panels: vec![panel],
                }),
            }
        }
        curves.groups.retain(|group| !group.panels.is_empty());
        curves
    }

    fn apart_panel(&mut self, apart: apart::Apart) -> Option<Panel> {
        let drawn: Vec<Drawn> =
            apart.curves.iter().map(|(run, series)| Drawn { run: *run, number: None, series }).collect();
        let mut panel = self.drawn_panel("distance/between_runs", &drawn, Vec::new())?;
        panel.title = "Distance between runs".to_owned();
        panel.description = apart.words;
        Some(panel)
    }

    /// The panel of a quantity or family, unless no run has a value of it.
    fn panel(&mut self, plan: &Plan, runs: &[&Run]) -> Option<Panel> {
        let name = plan.name;
        let drawn: Vec<Drawn> = (0..runs.len())
            .flat_map(|run| plan.members.iter().map(move |&(name, number)| (run, number, runs[run].series(name))))
            .filter(|(_, _, series)| series.first().is_some())
            .map(|(run, number, series)| Drawn { run, number, series })
            .collect();
        let limits = if name == quantity::EFFECTIVE_SHARPNESS.name { stability_limits(runs) } else { Vec::new() };
        let mut panel = self.drawn_panel(name, &drawn, limits)?;
        panel.wide = name == quantity::TRAIN_LOSS.name;
        panel.title = panels::title(name);
        panel.description = panels::description(name);
        Some(panel)
    }

    fn ratio_panel(&mut self, ratio: &ratio::Ratio) -> Option<Panel> {
        let drawn: Vec<Drawn> =
            ratio.curves.iter().map(|(run, series)| Drawn { run: *run, number: None, series }).collect();
        let limit = Limit { value: 1.0, label: "as predicted".to_owned() };
        let mut panel = self.drawn_panel(&format!("prediction/{}", ratio.name), &drawn, vec![limit])?;
        panel.title = format!("{}, predicted / measured", panels::title(ratio.name));
        panel.description = "Prediction over measurement where both have a reading; the band is the error of the \
                             measurement. Above 1 the run did better than predicted where less is better."
            .to_owned();
        Some(panel)
    }

    fn drawn_panel(&mut self, name: &str, drawn: &[Drawn], limits: Vec<Limit>) -> Option<Panel> {
        let unit = drawn.iter().map(|one| one.series.unit()).find(|unit| !unit.is_empty()).unwrap_or_default();
        let percent = name.ends_with("accuracy") && !name.starts_with("prediction/");
        let (unit, suffix) = if percent { Default::default() } else { panels::unit_texts(unit) };
        let shape = shape(name);
        let most = (MOST_POINTS_OF_A_PANEL / drawn.len().max(1)).clamp(FEWEST_POINTS, MOST_POINTS);
        let bands = drawn.len() <= MOST_BANDS;
        let curves: Vec<Curve> = drawn.iter().map(|one| self.curve(one, shape, most, bands)).collect();
        let log_y = spans_decades(drawn);
        let series: Vec<&Series> = drawn.iter().map(|one| one.series).collect();
        (!curves.is_empty()).then(|| Panel {
            name: name.to_owned(),
            title: String::new(),
            description: String::new(),
            unit,
            suffix,
            percent,
            wide: false,
            shape,
            log_y,
            limits,
            frame: frame::of(&series, log_y).map(|(low, high)| [Short(low), Short(high)]),
            curves,
        })
    }

    fn curve(&mut self, drawn: &Drawn, shape: &str, most: usize, bands: bool) -> Curve {
        let points = drawn.series.thinned(most);
        let column = |value: fn(&Point) -> Option<f64>| -> Vec<Option<Short>> {
            points.iter().map(|point| value(point).map(Short)).collect()
        };
        let has_errors = bands && points.iter().any(|point| point.interval.is_some());
        let without_value = points.iter().enumerate().filter(|(_, point)| point.value.is_none());
        let reasons =
            without_value.map(|(index, point)| (index, point.unresolved.as_deref().unwrap_or("no value").to_owned()));
        Curve {
            run: drawn.run,
            axis: self.axis(&points),
            number: drawn.number,
            value: column(|point| point.value),
            low: has_errors.then(|| column(|point| point.interval.map(|(low, _)| low))),
            high: has_errors.then(|| column(|point| point.interval.map(|(_, high)| high))),
            unresolved: reasons.collect(),
            means: if shape == "line" { self.means(drawn.series) } else { None },
        }
    }

    fn means(&mut self, series: &Series) -> Option<Means> {
        let num_values = series.points().len();
        if num_values <= 2 * NUM_MEANS || !is_noisy(series) {
            return None;
        }
        let length = num_values.div_ceil(NUM_MEANS);
        let (points, value): (Vec<&Point>, Vec<f64>) = series.means(length).into_iter().unzip();
        Some(Means { axis: self.axis(&points), value: value.into_iter().map(Short).collect(), length })
    }

    fn axis(&mut self, points: &[&Point]) -> usize {
        let step: Vec<u64> = points.iter().map(|point| point.step.0).collect();
        let axis = Axis { epoch: epochs(points), step: step.clone() };
        match self.known_axes.get(&step) {
            Some(&known) if self.axes[known] == axis => known,
            _ => {
                self.known_axes.insert(step, self.axes.len());
                self.axes.push(axis);
                self.axes.len() - 1
            }
        }
    }
}

fn epochs(points: &[&Point]) -> Epochs {
    let factor = points.last().map_or(0.0, |last| last.epoch / (last.step.0 as f64).max(1.0));
    let fits = |point: &&&Point| (point.epoch - factor * point.step.0 as f64).abs() <= 1e-9 * point.epoch.abs();
    if points.iter().all(|point| fits(&point)) {
        Epochs::PerStep(factor)
    } else {
        Epochs::Listed(points.iter().map(|point| Short(point.epoch)).collect())
    }
}

fn shape(name: &str) -> &'static str {
    let settings = [quantity::LEARNING_RATE, quantity::BATCH_SIZE, quantity::MOMENTUM];
    if settings.iter().any(|setting| setting.name == name) {
        "steps"
    } else if name == quantity::LINE_MINIMUM.name {
        "points"
    } else {
        "line"
    }
}

/// Where the runs' own rules become unstable, once for each rule among those that sharpness alone decides about
/// (`loss-prediction`, section 3).
fn stability_limits(runs: &[&Run]) -> Vec<Limit> {
    let rule = |run: &&Run| {
        let optimizer = &run.manifest().spec.optimizer;
        let nesterov = optimizer.direction == DirectionRule::Nesterov;
        optimizer.stability_limit().map(|limit| (limit, optimizer.momentum.get(), nesterov))
    };
    let mut rules: Vec<(f64, f64, bool)> = runs.iter().filter_map(rule).collect();
    rules.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2)));
    rules.dedup();
    let is_plain = rules.iter().all(|&(_, momentum, _)| momentum == 0.0);
    let limit = |&(value, momentum, nesterov): &(f64, f64, bool)| {
        let rule = if nesterov { " of Nesterov" } else { "" };
        let with_momentum = if is_plain { String::new() } else { format!(" with momentum {momentum}{rule}") };
        Limit { value, label: format!("stability limit {}{with_momentum}", value as f32) }
    };
    rules.iter().map(limit).collect()
}

fn spans_decades(drawn: &[Drawn]) -> bool {
    let points = || drawn.iter().flat_map(|one| one.series.values());
    let smallest = points().map(|(_, value)| value).fold(f64::INFINITY, f64::min);
    // Intervals count: one that reaches far up would flatten everything below it.
    let highest = |(point, value): (&Point, f64)| point.interval.map_or(value, |(_, high)| high);
    let largest = points().map(highest).fold(0.0, f64::max);
    smallest > 0.0 && largest > LOG_RATIO * smallest
}

/// Whether a curve goes up and down far more than it gets anywhere; of positive values the logarithm is judged, so that
/// a spike at the start does not hide the noise of the rest.
fn is_noisy(series: &Series) -> bool {
    let positive = series.values().all(|(_, value)| value > 0.0);
    let mut values = series.values().map(|(_, value)| if positive { value.ln() } else { value });
    let Some(first) = values.next() else { return false };
    let (mut low, mut high, mut previous, mut path) = (first, first, first, 0.0);
    for value in values {
        path += (value - previous).abs();
        (low, high, previous) = (low.min(value), high.max(value), value);
    }
    path > NOISY * (high - low) && high > low
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

    fn panels(data: &Value) -> Vec<&Value> {
        data["groups"].as_array().unwrap().iter().flat_map(|group| group["panels"].as_array().unwrap()).collect()
    }

    fn quickstart() -> Vec<Run> {
        synthetic::quickstart().into_iter().map(|(manifest, records)| Run::from_records(manifest, records)).collect()
    }

    #[test]
    fn the_island_parses_back_with_every_curve_as_long_as_its_axis() {
        let data = parsed(&quickstart());
        let panels = panels(&data);
        assert_eq!(panels[0]["name"], "train/loss");
        assert_eq!(panels[0]["curves"].as_array().unwrap().len(), 5, "four runs and a prediction");
        for curve in panels.iter().flat_map(|panel| panel["curves"].as_array().unwrap()) {
            let axis = &data["axes"][curve["axis"].as_u64().unwrap() as usize];
            assert_eq!(axis["step"].as_array().unwrap().len(), curve["value"].as_array().unwrap().len());
            assert!(axis["epoch"].is_f64(), "{}", axis["epoch"]);
        }
    }

    #[test]
    fn an_unresolved_reading_is_a_gap_with_its_reason() {
        let data = parsed(&quickstart());
        let noise = *panels(&data).iter().find(|panel| panel["name"] == "noise/gradient_noise_scale").unwrap();
        assert_eq!(noise["curves"][0]["value"][6], Value::Null);
        assert!(noise["curves"][0]["unresolved"]["6"].as_str().unwrap().contains("raise measure.noise_batches"));
    }

    #[test]
    fn only_noisy_curves_have_means_and_they_are_those_of_all_readings() {
        let data = parsed(&quickstart());
        let panel = |name: &str| *panels(&data).iter().find(|panel| panel["name"] == name).unwrap();
        assert_eq!(panel("control/learning_rate")["curves"][0]["means"], Value::Null);
        assert_eq!(panel("train/loss")["curves"][1]["means"], Value::Null);
        let means = &panel("train/batch_loss")["curves"][0]["means"];
        let length = means["length"].as_u64().unwrap() as usize;
        assert_eq!(length, 11);
        let run = &quickstart()[0];
        let expected =
            run.series("train/batch_loss").values().take(length).map(|(_, v)| v).sum::<f64>() / length as f64;
        assert!((means["value"][0].as_f64().unwrap() / expected - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_page_of_many_runs_is_thinned_by_the_panel() {
        let run = |seed: u64| {
            let records = (0..5000).map(|step| synthetic::loss(step, (step as f64 + seed as f64).sin() + 2.0));
            Run::from_records(synthetic::manifest(&format!("r{seed}"), 0.001 * (seed + 1) as f64), records)
        };
        let runs: Vec<Run> = (0..50).map(run).collect();
        let data = parsed(&runs);
        let num_points: usize = panels(&data)[0]["curves"]
            .as_array()
            .unwrap()
            .iter()
            .map(|curve| curve["value"].as_array().unwrap().len())
            .sum();
        assert!((MOST_POINTS_OF_A_PANEL / 2..=MOST_POINTS_OF_A_PANEL).contains(&num_points), "{num_points}");
    }

    #[test]
    fn the_stability_limit_follows_the_momentum() {
        let mut manifest = synthetic::manifest("run", 0.1);
        manifest.spec.optimizer.momentum = stepscope_types::Momentum::new(0.9).unwrap();
        let limits = stability_limits(&[&Run::from_records(manifest, [])]);
        assert_eq!((limits[0].value, limits[0].label.as_str()), (3.8, "stability limit 3.8 with momentum 0.9"));
        let mut manifest = synthetic::manifest("run", 0.1);
        manifest.spec.optimizer.momentum = stepscope_types::Momentum::new(0.5).unwrap();
        manifest.spec.optimizer.direction = DirectionRule::Nesterov;
        let mut adam = synthetic::manifest("run", 0.1);
        adam.spec.optimizer.direction = DirectionRule::Adam;
        let limits = stability_limits(&[&Run::from_records(manifest, []), &Run::from_records(adam, [])]);
        let labels: Vec<&str> = limits.iter().map(|limit| limit.label.as_str()).collect();
        assert_eq!(labels, ["stability limit 1.5 with momentum 0.5 of Nesterov"]);
    }

    #[test]
    fn only_positive_values_over_decades_start_on_a_logarithmic_axis() {
        let series = |values: &[f64]| {
            let records = values.iter().zip(0..).map(|(&value, step)| synthetic::loss(step, value));
            Run::from_records(synthetic::manifest("run", 0.1), records).series("train/loss").clone()
        };
        let spans = |all: &[&[f64]]| {
            let all: Vec<Series> = all.iter().map(|values| series(values)).collect();
            spans_decades(&all.iter().map(|series| Drawn { run: 0, number: None, series }).collect::<Vec<_>>())
        };
        assert!(spans(&[&[1.0], &[0.01]]));
        assert!(!spans(&[&[1.0, 0.5]]));
        assert!(!spans(&[&[100.0, 0.0]]));
    }

    #[test]
    fn numbers_that_single_precision_cannot_hold_are_written_whole() {
        let text = |value: f64| serde_json::to_string(&Short(value)).unwrap();
        assert_eq!(
            (text(0.1), text(1e300), text(1e-300), text(0.0)),
            ("0.1".into(), "1e+300".into(), "1e-300".into(), "0.0".into())
        );
    }
}

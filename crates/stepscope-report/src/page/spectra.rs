//! Spectra: weights over nodes of the last reading, where a run recorded both.

use std::collections::BTreeMap;

use crate::Run;
use crate::number;
use crate::page::lineup::Lineup;
use crate::page::panels;
use crate::page::template::escape;

/// Size of a drawing and the room around it, in pixels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 46.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 14.0;

/// Weights below the largest by more than this are drawn at the floor.
const DECADES: f64 = 8.0;

/// Whether a name is one of the numbers of a spectrum: `x/node/3` or `x/weight_3`; gives x, whether it is a node, and
/// the number.
pub(super) fn part(name: &str) -> Option<(&str, bool, u64)> {
    let (stem, number) = panels::numbered(name)?;
    let (stem, kind) = stem.rsplit_once('/')?;
    match kind {
        "node" | "nodes" => Some((stem, true, number)),
        "weight" | "weights" => Some((stem, false, number)),
        _ => None,
    }
}

/// A spectrum at a step.
#[derive(Debug, PartialEq)]
struct Reading {
    step: u64,
    /// Nodes and weights, by number.
    pairs: Vec<(f64, f64)>,
}

/// The section; nothing where no run recorded a spectrum.
pub(super) fn render(lineup: &Lineup) -> String {
    let drawings = lineup.listed().flat_map(|entry| {
        let run = &lineup.entries[entry].run;
        stems(run).into_iter().map(move |stem| (entry, stem)).collect::<Vec<_>>()
    });
    let figures: String = drawings
        .filter_map(|(entry, stem)| Some(figure(lineup, entry, stem, &last(&lineup.entries[entry].run, stem)?)))
        .collect();
    if figures.is_empty() {
        return figures;
    }
    format!(
        "<section id=\"spectra\">\n<h2>Spectra</h2>\n<p class=\"lead\">The last one of each run: a stem for every node, as high as its \
         weight on a logarithmic scale.</p>\n<div class=\"panels\">\n{figures}</div>\n</section>\n"
    )
}

fn stems(run: &Run) -> Vec<&str> {
    let mut stems: Vec<&str> = run.names().filter_map(part).map(|(stem, ..)| stem).collect();
    stems.sort_unstable();
    stems.dedup();
    stems
}

/// The last step at which both kinds of numbers stand, with those that have a partner.
fn last(run: &Run, stem: &str) -> Option<Reading> {
    let mut numbers: BTreeMap<u64, (Option<&str>, Option<&str>)> = BTreeMap::new();
    for (name, (_, is_node, number)) in
        run.names().filter_map(|name| Some((name, part(name)?))).filter(|(_, found)| found.0 == stem)
    {
        let pair = numbers.entry(number).or_default();
        *(if is_node { &mut pair.0 } else { &mut pair.1 }) = Some(name);
    }
    let names: Vec<(&str, &str)> = numbers.into_values().filter_map(|(node, weight)| node.zip(weight)).collect();
    let step = names.iter().filter_map(|(node, _)| Some(run.series(node).last()?.0.step)).max()?;
    let at = |name: &str| {
        let (point, value) = run.series(name).last()?;
        (point.step == step).then_some(value)
    };
    let pairs: Vec<(f64, f64)> = names.iter().filter_map(|(node, weight)| at(node).zip(at(weight))).collect();
    (!pairs.is_empty()).then_some(Reading { step: step.0, pairs })
}

fn figure(lineup: &Lineup, entry: usize, stem: &str, reading: &Reading) -> String {
    format!(
        "<figure class=\"panel\"><header><h3>{} <small>step {}</small></h3><p>{}</p></header>\n{}</figure>\n",
        escape(&panels::title(stem)),
        number::count(reading.step),
        lineup.label(entry),
        drawing(&lineup.colour(entry), reading)
    )
}

fn drawing(colour: &str, Reading { pairs, .. }: &Reading) -> String {
    let nodes = || pairs.iter().map(|(node, _)| *node);
    let (low, high) = (nodes().fold(0.0, f64::min), nodes().fold(0.0, f64::max));
    let span = if high > low { high - low } else { 1.0 };
    let across = |node: f64| LEFT + 6.0 + (WIDTH - LEFT - RIGHT - 12.0) * (node - low) / span;
    let largest = pairs.iter().map(|(_, weight)| *weight).fold(f64::MIN_POSITIVE, f64::max).log10();
    let smallest = pairs.iter().map(|(_, weight)| *weight).filter(|weight| *weight > 0.0).fold(f64::INFINITY, f64::min);
    let floor = (largest - DECADES).max(smallest.log10()).floor();
    let floor_y = HEIGHT - BOTTOM;
    let up = |weight: f64| {
        let share = (weight.log10() - floor) / (largest - floor).max(1e-9);
        floor_y - (floor_y - TOP) * if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    };
    let stems = pairs.iter().map(|&(node, weight)| {
        let (x, y) = (across(node), up(weight));
        format!(
            "<line class=\"whisker\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{floor_y}\" y2=\"{y:.1}\"/>\
             <circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{} with weight {}</title></circle>",
            number::significant(node),
            number::significant(weight)
        )
    });
    let tick = |x: f64, text: &str, anchor: &str| {
        format!("<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>", HEIGHT - 18.0)
    };
    let (ceiling, bottom) = (10f64.powf(largest), 10f64.powf(floor));
    let zero = if low < 0.0 && high > 0.0 { tick(across(0.0), "0", "middle") } else { String::new() };
    format!(
        "<svg {colour} viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"spectrum\">\
         <line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{floor_y}\" y2=\"{floor_y}\"/>{}{}{}{zero}\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">eigenvalue</text>\
         <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><text x=\"{}\" y=\"{floor_y}\" text-anchor=\"end\">{}</text></svg>",
        WIDTH - RIGHT,
        stems.collect::<String>(),
        tick(across(low), &number::significant(low), "start"),
        tick(across(high), &number::significant(high), "end"),
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 3.0,
        LEFT - 6.0,
        TOP + 4.0,
        number::significant(ceiling),
        LEFT - 6.0,
        number::significant(bottom),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    fn spectral_run() -> Run {
        let named = |name: String, step: u64, value: f64| {
            let mut record = synthetic::loss(step, value);
            if let stepscope_types::Record::Measurement(measurement) = &mut record {
                measurement.name = name;
            }
            record
        };
        let records = (0..4u64).flat_map(|step| {
            (1..=3u64).flat_map(move |index| {
                let node = index as f64 - 2.0 + step as f64;
                [
                    named(format!("curvature/density/node/{index}"), step, node),
                    named(format!("curvature/density/weight/{index}"), step, 10f64.powi(-(index as i32))),
                ]
            })
        });
        Run::from_records(synthetic::manifest("run", 0.1), records)
    }

    #[test]
    fn the_last_spectrum_is_read_by_number() {
        let run = spectral_run();
        assert_eq!(stems(&run), ["curvature/density"]);
        assert_eq!(
            last(&run, "curvature/density"),
            Some(Reading { step: 3, pairs: vec![(2.0, 0.1), (3.0, 0.01), (4.0, 0.001)] })
        );
        let html = render(&Lineup::new(&[run]));
        assert_eq!(html.matches("<circle").count(), 3);
        assert!(!html.contains("NaN") && html.contains("3.00 with weight 0.0100"), "{html}");
    }

    #[test]
    fn runs_without_spectra_have_no_section() {
        let (manifest, records) = synthetic::diverging_run();
        assert_eq!(render(&Lineup::new(&[Run::from_records(manifest, records)])), "");
    }
}

//! Instruments read once, as a table, as JSON, as CSV.

use std::collections::BTreeSet;

use serde::Serialize;
use stepscope::types::spec::{Instrument, MeasurePreset};
use stepscope::types::{Measurement, Mode, Uncertainty, quantity};
use stepscope_report::{Align, Table, number};

use super::{SavedPoint, failure, write_csv};
use crate::args::{Format, MeasureArguments};
use crate::commands::{print, print_json};
use crate::failure::Failure;
use crate::progress::Busy;

#[derive(Serialize)]
struct Readings<'a> {
    run: &'a str,
    step: u64,
    readings: Vec<Reading<'a>>,
}

#[derive(Serialize)]
struct Reading<'a> {
    probe: &'a str,
    #[serde(flatten)]
    measurement: &'a Measurement,
}

pub(super) fn run(arguments: &MeasureArguments, mut point: SavedPoint) -> Result<(), Failure> {
    let chosen = match arguments.probes.as_slice() {
        [] => MeasurePreset::Standard.instruments(),
        probes => probes,
    };
    let measure = &mut point.spec.measure;
    measure.enabled = true;
    measure.mode = arguments.mode.unwrap_or(measure.mode);
    measure.dropout |= arguments.dropout;
    // Distances are between readings, and here is one. What a mode excludes is refused where it was asked for.
    let default = |probe: &Instrument| *probe != Instrument::Distance && measure.mode.allows(*probe);
    let chosen = chosen.iter().copied().filter(|probe| arguments.probes.contains(probe) || default(probe)).collect();
    measure.instruments = Some(chosen);
    point.spec.validate().map_err(Failure::bad_input)?;
    let busy = Busy::new("measuring");
    let measured = point.run()?.measure().map_err(failure)?;
    drop(busy);
    let readings: Vec<(&str, &Measurement)> = measured
        .iter()
        .flat_map(|(instrument, all)| all.iter().map(|measurement| (instrument.word(), measurement)))
        .filter(|(_, measurement)| !measurement.name.starts_with("sketch/"))
        .collect();
    let header = ["probe", "name", "value", "low", "high", "unit", "examples", "products", "mode", "unresolved"];
    write_csv(arguments.out.as_deref(), &header, readings.iter().map(csv_row))?;
    match arguments.format {
        Format::Json => print_json(&Readings {
            run: &point.name,
            step: point.checkpoint.step.0,
            readings: readings.iter().map(|&(probe, measurement)| Reading { probe, measurement }).collect(),
        }),
        Format::Text => print(&text(&point, &readings)),
    }
}

fn text(point: &SavedPoint, readings: &[(&str, &Measurement)]) -> String {
    let mut table = Table::new()
        .column("quantity", Align::Left)
        .column("value", Align::Right)
        .column("unit", Align::Left)
        .column("examples", Align::Right)
        .column("products", Align::Right);
    let mut unresolved = String::new();
    for (_, measurement) in readings {
        let title = quantity::by_name(&measurement.name).map_or(measurement.name.as_str(), |quantity| quantity.title);
        match (measurement.value, &measurement.unresolved) {
            (Some(value), _) => {
                let count = |count: u64| if count == 0 { String::new() } else { number::count(count) };
                table = table.row([
                    title.to_owned(),
                    number::reading(&measurement.name, value, measurement.error),
                    if measurement.unit == "1" { String::new() } else { measurement.unit.clone() },
                    count(measurement.num_examples),
                    count(measurement.num_products),
                ]);
            }
            (None, reason) => {
                let reason = reason.as_deref().unwrap_or("no reason was recorded");
                unresolved.push_str(&format!("\nNot resolved: {title}: {reason}."));
            }
        }
    }
    let modes: BTreeSet<&str> =
        readings.iter().map(|(_, measurement)| measurement.mode).filter(|&m| m != Mode::None).map(Mode::word).collect();
    let modes: Vec<&str> = modes.into_iter().collect();
    format!("{}, in mode {}\n\n{table}{unresolved}", point.description(), modes.join(" and "))
}

fn csv_row(&(probe, measurement): &(&str, &Measurement)) -> Vec<String> {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let ends = match measurement.error {
        Some(Uncertainty::Exact) | None => None,
        Some(_) => measurement.interval(),
    };
    vec![
        probe.to_owned(),
        measurement.name.clone(),
        number(measurement.value),
        number(ends.map(|ends| ends.0)),
        number(ends.map(|ends| ends.1)),
        measurement.unit.clone(),
        measurement.num_examples.to_string(),
        measurement.num_products.to_string(),
        measurement.mode.word().to_owned(),
        measurement.unresolved.clone().unwrap_or_default(),
    ]
}

//! Instruments read once, as a table, as JSON, as CSV.

use std::collections::BTreeSet;

use serde::Serialize;
use stepscope::train::InstrumentReading;
use stepscope::types::spec::{Instrument, MeasurePreset};
use stepscope::types::{Measurement, Mode, Step, Uncertainty, quantity};
use stepscope_report::{Align, Table, number};

use super::saved_run::SavedRun;
use super::{failure, write_csv};
use crate::args::{Format, MeasureArguments};
use crate::commands::{print, print_json};
use crate::failure::Failure;
use crate::progress::Busy;

#[derive(Serialize)]
struct Readings<'a> {
    run: &'a str,
    steps: &'a [Step],
    readings: &'a [Reading],
}

#[derive(Serialize)]
struct Reading {
    probe: &'static str,
    #[serde(flatten)]
    measurement: Measurement,
}

pub(super) fn run(arguments: &MeasureArguments, mut run: SavedRun, steps: &[Step]) -> Result<(), Failure> {
    let chosen = match arguments.probes.as_slice() {
        [] => MeasurePreset::Standard.instruments(),
        probes => probes,
    };
    let measure = &mut run.spec.measure;
    measure.enabled = true;
    // Distances are between readings, and each checkpoint is read by itself. What a mode excludes is refused where it was asked for.
    let default = |probe: &Instrument| *probe != Instrument::Distance && measure.mode.allows(*probe);
    let chosen = chosen.iter().copied().filter(|probe| arguments.probes.contains(probe) || default(probe)).collect();
    measure.instruments = Some(chosen);
    run.spec.validate().map_err(Failure::bad_input)?;
    let (mut readings, mut spectra) = (Vec::new(), Vec::new());
    for &step in steps {
        let busy = Busy::new("measuring");
        let measured = run.at(step)?.run()?.measure().map_err(failure)?;
        drop(busy);
        for InstrumentReading { instrument, measurements, spectrum } in measured {
            let kept = measurements.into_iter().filter(|measurement| !measurement.name.starts_with("sketch/"));
            readings.extend(kept.map(|measurement| Reading { probe: instrument.word(), measurement }));
            spectra.extend(spectrum);
        }
    }
    let header =
        ["step", "probe", "name", "value", "low", "high", "unit", "examples", "products", "mode", "unresolved"];
    write_csv(arguments.out.as_deref(), &header, readings.iter().map(csv_row))?;
    let name = run.manifest.name.as_str();
    match arguments.format {
        Format::Json => print_json(&Readings { run: name, steps, readings: &readings })?,
        Format::Text => print(&text(name, steps, &readings))?,
    }
    if arguments.no_save {
        return Ok(());
    }
    for spectrum in &spectra {
        run.folder.keep_spectrum(spectrum).map_err(Failure::not_kept)?;
    }
    let measurements: Vec<Measurement> = readings.into_iter().map(|reading| reading.measurement).collect();
    run.folder.keep_readings(&measurements).map_err(Failure::not_kept)
}

/// The readings of one step as a table; those of several, quantity by quantity.
fn text(run: &str, steps: &[Step], readings: &[Reading]) -> String {
    let several = steps.len() > 1;
    let mut table = Table::new().column("quantity", Align::Left);
    if several {
        table = table.column("step", Align::Right);
    }
    let titles =
        [("value", Align::Right), ("unit", Align::Left), ("examples", Align::Right), ("products", Align::Right)];
    table = titles.into_iter().fold(table, |table, (title, align)| table.column(title, align));
    let mut names: Vec<&str> = Vec::new();
    for reading in readings {
        if !names.contains(&reading.measurement.name.as_str()) {
            names.push(&reading.measurement.name);
        }
    }
    let mut unresolved = String::new();
    for name in names {
        let mut title = quantity::by_name(name).map_or(name, |quantity| quantity.title);
        for Reading { measurement, .. } in readings.iter().filter(|reading| reading.measurement.name == name) {
            let Some(value) = measurement.value else {
                let reason = measurement.unresolved.as_deref().unwrap_or("no reason was recorded");
                let at = if several { format!(" at step {}", measurement.step) } else { String::new() };
                unresolved.push_str(&format!("\nNot resolved{at}: {title}: {reason}."));
                continue;
            };
            let count = |count: u64| if count == 0 { String::new() } else { number::count(count) };
            let mut row = vec![title.to_owned()];
            if several {
                row.push(measurement.step.to_string());
                title = "";
            }
            row.extend([
                number::reading(name, value, measurement.error),
                if measurement.unit == "1" { String::new() } else { measurement.unit.clone() },
                count(measurement.num_examples),
                count(measurement.num_products),
            ]);
            table = table.row(row);
        }
    }
    let after = match steps {
        [step] => format!("after {step} steps"),
        _ => format!("after {} numbers of steps", steps.len()),
    };
    let modes: BTreeSet<&str> = readings
        .iter()
        .map(|reading| reading.measurement.mode)
        .filter(|&mode| mode != Mode::None)
        .map(Mode::word)
        .collect();
    let modes: Vec<&str> = modes.into_iter().collect();
    format!("{run} {after}, in mode {}\n\n{table}{unresolved}", modes.join(" and "))
}

fn csv_row(Reading { probe, measurement }: &Reading) -> Vec<String> {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let ends = match measurement.error {
        Some(Uncertainty::Exact) | None => None,
        Some(_) => measurement.interval(),
    };
    vec![
        measurement.step.to_string(),
        (*probe).to_owned(),
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

//! `stepscope average DIR`: the snapshots of a run averaged in every way, and the best of them.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Serialize;
use stepscope::backend::Backend;
use stepscope::checkpoint::export_weights;
use stepscope::data::probe_subset;
use stepscope::measure::Objective;
use stepscope::posthoc::{At, Candidate, Comparison, HeldOut, PosthocError, Row, Snapshots, WithError, compare};
use stepscope::record::RunFolder;
use stepscope::train::{Plan, Run};
use stepscope::types::{RunSpec, quantity};
use stepscope_report::number::{percent, significant, with_error};
use stepscope_report::{Align, Page, SnapshotAverage, SnapshotAverages, Story, Table};

use crate::args::{AverageArguments, Format};
use crate::commands::{print, print_json, write_whole};
use crate::execute::load_as_trained;
use crate::failure::Failure;
use crate::progress::Busy;
use crate::wrap::wrap;

/// The page, in the folder of the run.
const PAGE: &str = "averages.html";
/// Standard errors by which a gain counts as one.
const CLEAR: f64 = 2.0;

/// What `--format json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    run: &'a str,
    num_snapshots: usize,
    first_step: u64,
    last_step: u64,
    verdict: &'a str,
    /// What effective rates are stated for.
    at: Option<At>,
    chosen: &'a Row,
    #[serde(flatten)]
    comparison: &'a Comparison,
    page: &'a Path,
    weights: Option<&'a Path>,
}

pub(super) fn run(arguments: &AverageArguments) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let run_folder = RunFolder::open(folder).map_err(Failure::of_folder)?;
    let manifest = run_folder.manifest().map_err(Failure::of_folder)?;
    let mut spec = manifest.spec.clone();
    spec.train.device = arguments.device.unwrap_or(spec.train.device);
    let spec = &spec;
    let dataset = load_as_trained(folder, &manifest)?;
    let busy = Busy::new("averaging");
    let prepared = Run::prepare(spec, &dataset).map_err(Failure::bad_input)?;
    let (plan, name) = (prepared.plan(), folder.display().to_string());
    let checkpoints = run_folder.checkpoints();
    let snapshots =
        Snapshots::load(&name, &checkpoints, prepared.network(), &spec.average, plan).map_err(Failure::bad_input)?;
    let candidates = candidates(arguments, &snapshots, plan);
    let backend = Backend::open(spec.train.device, spec.model.precision).map_err(Failure::bad_input)?;
    let (plain, dtype) = (backend.plain(), backend.dtype());
    let held_out = HeldOut::new(spec, &dataset, &plain, dtype).map_err(Failure::bad_input)?;
    let num_train = dataset.train.num_examples();
    let statistics = spec.average.statistics_examples.min(num_train as u64);
    let statistics = probe_subset(num_train, statistics, spec.seeds.probe_seed()).map_err(Failure::bad_input)?;
    let train = Objective::new(&dataset.train, dataset.shape, &statistics, &plain, dtype);
    let records = stepscope_report::Run::load(folder).map_err(Failure::bad_input)?;
    let at = at(arguments, spec, &records)?;
    let (comparison, network) = compare(&snapshots, &candidates, &held_out, &train, at).map_err(failure)?;
    drop(busy);
    let verdict = verdict(&comparison);
    if let Some(file) = &arguments.out {
        write_whole(file, &export_weights(&network).map_err(Failure::failed)?)?;
    }
    let page = write_page(folder, &manifest.name, &comparison, &verdict, records)?;
    let steps = snapshots.steps();
    if arguments.format == Format::Json {
        return print_json(&Answer {
            run: &manifest.name,
            num_snapshots: steps.len(),
            first_step: steps[0],
            last_step: steps[steps.len() - 1],
            verdict: &verdict,
            at,
            chosen: &comparison.rows[comparison.best],
            comparison: &comparison,
            page: &page,
            weights: arguments.out.as_deref(),
        });
    }
    let of = format!("{}: {} snapshots, steps {} to {}", manifest.name, steps.len(), steps[0], steps[steps.len() - 1]);
    let mut parts = vec![of, table(&comparison).to_string().trim_end().to_owned(), wrap(&verdict)];
    parts.push(wrap(&comparison.choice));
    parts.extend(at.map(|at| {
        let (rate, curvature) = (significant(at.learning_rate), significant(at.curvature));
        wrap(&format!(
            "\"acts as\" is the learning rate over the run's {rate} at curvature {curvature}, were the run stationary."
        ))
    }));
    parts.extend(arguments.out.as_ref().map(|file| format!("Weights of the best: {}", file.display())));
    parts.push(format!("Drawn in {}", page.display()));
    print(&parts.join("\n\n"))
}

/// Those asked for, after the last iterate; the usual ones where none was.
fn candidates(arguments: &AverageArguments, snapshots: &Snapshots, plan: &Plan) -> Vec<Candidate> {
    let mut asked = Vec::new();
    asked.extend(arguments.two_point.iter().map(|gap| Candidate::TwoPoint { gap: plan.steps(*gap) }));
    asked.extend(arguments.window.iter().map(|length| Candidate::Window { steps: plan.steps(*length) }));
    asked.extend(arguments.lawa.iter().map(|&snapshots| Candidate::Lawa { snapshots }));
    asked.extend(arguments.swa.iter().map(|from| Candidate::Swa { from: plan.steps(*from) }));
    asked.extend(arguments.ema.iter().map(|length| Candidate::Ema { half_life: plan.steps(*length) as f64 }));
    let power = |&width: &f64| match snapshots.has_tracked() {
        true => Candidate::Synthesis { width },
        false => Candidate::Power { width },
    };
    asked.extend(arguments.power.iter().map(power));
    if asked.is_empty() {
        return Candidate::defaults(snapshots.steps(), snapshots.has_tracked());
    }
    asked.insert(0, Candidate::Last);
    asked
}

/// The curvature asked for or last measured, with the last learning rate.
fn at(arguments: &AverageArguments, spec: &RunSpec, records: &stepscope_report::Run) -> Result<Option<At>, Failure> {
    if let Some(curvature) = arguments.curvature.filter(|curvature| !(curvature.is_finite() && *curvature > 0.0)) {
        return Err(Failure::BadInput(anyhow!("--curvature {curvature}: expected a finite number above 0")));
    }
    let last = |name: &str| records.series(name).last().map(|(_, value)| value);
    let curvature = arguments.curvature.or_else(|| last(quantity::HESSIAN_TOP_EIGENVALUE.name));
    let (Some(curvature), Some(learning_rate)) = (curvature, last(quantity::LEARNING_RATE.name)) else {
        return Ok(None);
    };
    Ok((curvature > 0.0).then(|| At { learning_rate, curvature, momentum: spec.optimizer.momentum.get() }))
}

/// Whether averaging paid, in two sentences.
fn verdict(comparison: &Comparison) -> String {
    let best = &comparison.rows[comparison.best];
    if matches!(best.candidate, Candidate::Last) {
        return "No average is better than the last iterate on the held-out examples.".to_owned();
    }
    let nat = |gain: WithError| with_error(gain.value, gain.error);
    let judged = best.judgement_gain;
    let clear = if judged.value > CLEAR * judged.error {
        "it holds"
    } else if judged.value < -CLEAR * judged.error {
        "it does not hold: keep the last iterate"
    } else {
        "that is not clear of its error"
    };
    format!(
        "Best: {}, {} nat below the last iterate where it was chosen (the best of {}), {} nat where it is judged: {clear}. \
         It equals {}.",
        best.name,
        nat(best.selection_gain),
        comparison.rows.len(),
        nat(judged),
        best.schedule
    )
}

fn table(comparison: &Comparison) -> Table {
    let has_statistics = comparison.rows.iter().any(|row| row.statistics_gain.is_some());
    let mut table = Table::new().column("average", Align::Left).column("loss", Align::Right);
    for title in ["gain", "judged", "accuracy"] {
        table = table.column(title, Align::Right);
    }
    if has_statistics {
        table = table.column("of it statistics", Align::Right);
    }
    table = table.column("acts as", Align::Right).column("equals", Align::Left);
    for row in ranked(comparison) {
        let number = |number: WithError| with_error(number.value, number.error);
        let is_last = matches!(row.candidate, Candidate::Last);
        let gain = |gain: WithError| if is_last { String::new() } else { number(gain) };
        let mut cells = vec![row.name.clone(), number(row.selection_loss), gain(row.selection_gain)];
        cells.extend([gain(row.judgement_gain), percent(row.judgement_accuracy)]);
        if has_statistics {
            cells.push(row.statistics_gain.map(number).unwrap_or_default());
        }
        cells.push(row.effective_rate.map(|rate| format!("{}x", significant(rate))).unwrap_or_default());
        cells.push(row.schedule.clone());
        table = table.row(cells);
    }
    table
}

/// Best first.
fn ranked(comparison: &Comparison) -> Vec<&Row> {
    let mut rows: Vec<&Row> = comparison.rows.iter().collect();
    rows.sort_by(|a, b| a.selection_loss.value.total_cmp(&b.selection_loss.value));
    rows
}

fn write_page(
    folder: &Path,
    name: &str,
    comparison: &Comparison,
    verdict: &str,
    records: stepscope_report::Run,
) -> Result<PathBuf, Failure> {
    let best = &comparison.rows[comparison.best];
    let row = |row: &Row| SnapshotAverage {
        name: row.name.clone(),
        is_chosen: row == best,
        loss: (row.selection_loss.value, row.selection_loss.error),
        gain: (row.selection_gain.value, row.selection_gain.error),
        judged_gain: (row.judgement_gain.value, row.judgement_gain.error),
        accuracy: row.judgement_accuracy,
        schedule: row.schedule.clone(),
        effective_rate: row.effective_rate,
        multipliers: row.multipliers.iter().map(|stretch| (stretch.from, stretch.to, stretch.multiplier)).collect(),
    };
    let rows = ranked(comparison).into_iter().map(row).collect();
    let path = folder.join(PAGE);
    let html = Page::new(format!("Averages of {name}"))
        .story(Story::new(verdict))
        .snapshots(SnapshotAverages { choice: comparison.choice.clone(), rows })
        .runs(&[records])
        .render();
    write_whole(&path, &html)?;
    Ok(path)
}

fn failure(error: PosthocError) -> Failure {
    Failure::bad_input(error)
}

//! The loss along lines and planes through the weights.

mod bench;
mod between;
mod grid;
mod show;

use anyhow::anyhow;
use stepscope::measure::Section;
use stepscope::models::ParamLayout;
use stepscope::types::spec::{MeasureMode, Normalisation};
use stepscope::types::{SavedSection, Step};

use super::saved_run::{SavedPoint, SavedRun};
use crate::args::{Direction, Format, MeasureArguments};
use crate::commands::{print, print_json};
use crate::failure::Failure;
use crate::progress::Busy;
use bench::Bench;
use grid::Grid;

pub(super) fn run(arguments: &MeasureArguments, mut run: SavedRun, steps: &[Step]) -> Result<(), Failure> {
    let grid = Grid::of(arguments)?;
    if arguments.between.is_some() {
        own_statistics(arguments, &mut run)?;
    }
    let run = &run;
    let other = arguments.between.as_deref().map(|folder| SavedRun::open(folder, &[])).transpose()?;
    let bench = Bench::new(run)?;
    let mut sections = Vec::new();
    for &step in steps {
        let busy = Busy::new("measuring");
        let point = run.at(step)?;
        sections.push(match &other {
            Some(other) => {
                let step = match (arguments.between_step, steps) {
                    (Some(step), _) => Step(step),
                    // Of several steps each is held against its like.
                    (None, [_]) => other.steps(&[])?[0],
                    (None, _) => step,
                };
                between::section(&bench, &grid, &point, &other.at(step)?)?
            }
            None => through(arguments, &bench, &grid, &point)?,
        });
        drop(busy);
    }
    show::write(arguments, &sections)?;
    match (arguments.format, sections.as_slice()) {
        (Format::Json, [section]) => print_json(section)?,
        (Format::Json, sections) => print_json(&sections)?,
        (Format::Text, sections) => print(&show::text(sections))?,
    }
    if !arguments.no_save {
        for section in &sections {
            run.folder.keep_section(section).map_err(Failure::not_kept)?;
        }
    }
    Ok(())
}

/// Between two runs every point has statistics of its own: running ones are those of one end.
fn own_statistics(arguments: &MeasureArguments, run: &mut SavedRun) -> Result<(), Failure> {
    if run.spec.model.normalisation() != Normalisation::Batch || run.spec.measure.mode != MeasureMode::Eval {
        return Ok(());
    }
    let is_asked = |text: &String| text.trim_start().starts_with("measure.mode");
    if arguments.mode.is_some() || arguments.overrides.iter().any(is_asked) {
        return Err(Failure::BadInput(anyhow!(
            "--between in mode eval: the running statistics of batch normalisation are those of one run's weights, and wrong everywhere \
             else on the line: use --mode frozen-full (statistics anew at every point) or --mode train-batch"
        )));
    }
    run.spec.measure.mode = MeasureMode::FrozenFull;
    Ok(())
}

/// A line or a plane through one point.
fn through(
    arguments: &MeasureArguments,
    bench: &Bench<'_>,
    grid: &Grid,
    point: &SavedPoint<'_>,
) -> Result<SavedSection, Failure> {
    let run = point.run()?;
    let network = &bench.network(&run);
    let layout = ParamLayout::of(network);
    let wanted = arguments.line.iter().chain(&arguments.plane).enumerate();
    let directions = wanted
        .map(|(index, direction): (usize, &Direction)| bench.direction(*direction, index, network, &layout))
        .collect::<Result<Vec<_>, Failure>>()?;
    let (directions, values) = directions.into_iter().unzip();
    let section = Section::new(network, &layout, values);
    let mode = bench.mode();
    let objectives = [&bench.train, &bench.test];
    let [train, test] = section.evaluate(grid.positions(), objectives, |network| bench.prepared(&network));
    Ok(SavedSection {
        format: SavedSection::FORMAT,
        run: point.of.manifest.name.clone(),
        step: point.checkpoint.step,
        directions,
        other: None,
        mode,
        num_train_examples: bench.train.num_examples() as u64,
        num_test_examples: bench.test.num_examples() as u64,
        train,
        test,
    })
}

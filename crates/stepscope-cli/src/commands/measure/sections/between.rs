//! The line between the weights of two runs.

use anyhow::anyhow;
use stepscope::measure::{Section, section_curvature};
use stepscope::models::ParamLayout;
use stepscope::types::{OtherRun, RunSpec, SavedSection, SectionDirection};

use super::super::saved_run::SavedPoint;
use super::bench::Bench;
use super::grid::Grid;
use crate::failure::Failure;

/// The line from `start` (0) to `end` (1), on the examples of the first.
pub(super) fn section(
    bench: &Bench<'_>,
    grid: &Grid,
    start: &SavedPoint<'_>,
    end: &SavedPoint<'_>,
) -> Result<SavedSection, Failure> {
    let (from, to) = (start.run()?, end.run()?);
    let network = &bench.network(&from);
    let layout = ParamLayout::of(network);
    let (model, other_model) = (&start.of.manifest.model, &end.of.manifest.model);
    let same = start.of.spec.model.kind == end.of.spec.model.kind
        && start.of.spec.model.activation == end.of.spec.model.activation
        && ParamLayout::of(to.network()).ranges().eq(layout.ranges());
    if !same {
        return Err(Failure::BadInput(anyhow!(
            "{} and {} have different networks ({} and {}): there is no line between their weights; expected two runs of one \
             [model]",
            start.description(),
            end.description(),
            model.description,
            other_model.description
        )));
    }
    let line = Section::between(network, &layout, &layout.values(to.network()));
    let (mode, length) = (bench.mode(), line.length(0));
    let objectives = [&bench.train, &bench.test];
    let [train, test] = line.evaluate(grid.positions(), objectives, |network| bench.prepared(&network));
    // Five points around each end where the spacing allows it.
    let reach = 2.0 * grid.spacing();
    let other = OtherRun {
        run: end.of.folder_name(),
        step: end.checkpoint.step,
        same_start: start_alike(&start.of.spec, &end.of.spec),
        same_batches: fed_alike(start, end),
        curvature_at_ends: [0.0, 1.0].map(|end| section_curvature(&train, end, reach, length)),
    };
    Ok(SavedSection {
        format: SavedSection::FORMAT,
        run: start.of.manifest.name.clone(),
        step: start.checkpoint.step,
        directions: vec![SectionDirection {
            kind: "between".to_owned(),
            name: format!("to {} after {} steps", end.of.folder_name(), end.checkpoint.step),
            length,
        }],
        other: Some(other),
        mode,
        num_train_examples: bench.train.num_examples() as u64,
        num_test_examples: bench.test.num_examples() as u64,
        train,
        test,
    })
}

/// Whether two specifications draw the same initial weights.
fn start_alike(a: &RunSpec, b: &RunSpec) -> bool {
    a.model == b.model && (a.model.weights.is_some() || a.seeds.init_seed() == b.seeds.init_seed())
}

/// Whether every step of both runs had the same batch.
fn fed_alike(a: &SavedPoint<'_>, b: &SavedPoint<'_>) -> bool {
    let (a, b) = (a.of, b.of);
    a.manifest.data.sha256 == b.manifest.data.sha256
        && a.spec.data == b.spec.data
        && a.spec.seeds.data_seed() == b.spec.seeds.data_seed()
        && a.spec.train.batch_size == b.spec.train.batch_size
        && a.spec.schedule.batch_size == b.spec.schedule.batch_size
        && a.spec.train.sampling == b.spec.train.sampling
}

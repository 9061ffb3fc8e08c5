//! Sections as text and as CSV.

use stepscope::types::{OtherRun, SavedSection};
use stepscope_report::{Align, Table, number};

use super::super::write_csv;
use crate::args::MeasureArguments;
use crate::failure::Failure;

/// The points as CSV, where a file was asked for.
pub(super) fn write(arguments: &MeasureArguments, sections: &[SavedSection]) -> Result<(), Failure> {
    let is_plane = sections.iter().any(SavedSection::is_plane);
    let places: &[&str] = if is_plane { &["x", "y"] } else { &["x"] };
    let header = [&["step"], places, &["train_loss", "train_accuracy", "test_loss", "test_accuracy"]].concat();
    let rows = sections.iter().flat_map(|section| {
        section.train.iter().zip(&section.test).map(|(train, test)| {
            let values = [train.loss, train.accuracy, test.loss, test.accuracy];
            let numbers = train.position.iter().chain(&values).map(f64::to_string);
            std::iter::once(section.step.to_string()).chain(numbers).collect()
        })
    });
    write_csv(arguments.out.as_deref(), &header, rows)
}

pub(super) fn text(sections: &[SavedSection]) -> String {
    let texts: Vec<String> = sections.iter().map(of_one).collect();
    texts.join("\n\n")
}

fn of_one(section: &SavedSection) -> String {
    let directions: Vec<&str> = section.directions.iter().map(|direction| direction.name.as_str()).collect();
    let mut text = format!("{} after {} steps, {}\n\n", section.run, section.step, directions.join(" and "));
    text.push_str(&if section.is_plane() { plane(section) } else { line(section) });
    if let Some(other) = &section.other {
        text.push_str(&ends(other, section.directions[0].length));
    }
    text.push_str(&format!(
        "\n{} training and {} test examples, mode {}{}. `stepscope report` draws what was kept.\n",
        number::count(section.num_train_examples),
        number::count(section.num_test_examples),
        section.mode.word(),
        if section.mode == stepscope::types::Mode::FrozenFull {
            ": the statistics of batch normalisation were computed anew at every point"
        } else {
            ""
        }
    ));
    text
}

fn line(section: &SavedSection) -> String {
    let titles = ["position", "training loss", "training accuracy", "test loss", "test accuracy"];
    let table = titles.into_iter().fold(Table::new(), |table, title| table.column(title, Align::Right));
    let rows = section.train.iter().zip(&section.test);
    let table = rows.fold(table, |table, (train, test)| {
        table.row([
            number::significant(train.position[0]),
            number::significant(train.loss),
            number::percent(train.accuracy),
            number::with_error(test.loss, test.loss_error),
            number::percent(test.accuracy),
        ])
    });
    table.to_string()
}

fn plane(section: &SavedSection) -> String {
    let lowest = section.train.iter().filter(|point| point.loss.is_finite()).min_by(|a, b| a.loss.total_cmp(&b.loss));
    lowest.map_or_else(
        || "no point of the plane has a finite loss\n".to_owned(),
        |lowest| {
            format!(
                "lowest training loss {} at {}, {}; --out FILE or --format json gives all {} points\n",
                number::significant(lowest.loss),
                number::significant(lowest.position[0]),
                number::significant(lowest.position[1]),
                section.train.len()
            )
        },
    )
}

fn ends(other: &OtherRun, distance: f64) -> String {
    let [start, end] = other.curvature_at_ends.map(|curvature| {
        if curvature.value.is_nan() {
            "unresolved (fewer than four points are near: ask for more --points)".to_owned()
        } else {
            number::with_error(curvature.value, curvature.error)
        }
    });
    format!(
        "\nThe two are {} apart in weight space. They began at {} weights and were fed {} batches.\n\
         Curvature of the training loss along the line: {start} at 0, {end} at 1 (± of the parabola's fit).\n",
        number::significant(distance),
        if other.same_start { "the same" } else { "different" },
        if other.same_batches { "the same" } else { "different" },
    )
}

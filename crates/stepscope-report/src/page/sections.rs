//! Lines and planes through weight space, as they were kept in the folders of runs.

use std::fmt::Write;

use stepscope_types::{Mode, SavedSection, SectionCurvature, SectionPoint};

use crate::number;
use crate::page::axis::{self, Axis};
use crate::page::lineup::Lineup;
use crate::page::plane;
use crate::page::template::escape;

/// Sections that are drawn; of more, the last ones of each run.
const MOST_FIGURES: usize = 24;

/// Size of the drawing of a line, and the rooms of loss and accuracy in it, in pixels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 448.0;
const LOSS: [f64; 2] = [22.0, 212.0];
const ACCURACY: [f64; 2] = [232.0, 294.0];

/// The section; nothing where no run has one.
pub(super) fn render(lineup: &Lineup) -> String {
    let all: Vec<(usize, &SavedSection)> = lineup
        .whole()
        .flat_map(|entry| lineup.entries[entry].run.sections().iter().map(move |section| (entry, section)))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let left_out = all.len().saturating_sub(MOST_FIGURES);
    let figures: String = all[left_out..].iter().map(|(entry, section)| figures(lineup, *entry, section)).collect();
    let rest = if left_out > 0 {
        format!(" {left_out} more are in the folders of the runs, under <code>sections/</code>.")
    } else {
        String::new()
    };
    format!(
        "<section id=\"sections\">\n<h2>Through weight space</h2>\n<p class=\"lead\">Loss and accuracy where the weights are moved \
         along a direction, or across a plane. Bands are one standard error over examples; 0 is the run itself.{rest}</p>\n\
         <div class=\"panels\">\n{figures}</div>\n</section>\n"
    )
}

fn figures(lineup: &Lineup, entry: usize, section: &SavedSection) -> String {
    let figure = |title: &str, drawing: &str| {
        format!(
            "<figure class=\"panel\"><header><h3>{title} <small>step {}</small></h3><p>{}. {}</p></header>\n{drawing}{}</figure>\n",
            number::count(section.step.0),
            lineup.label(entry),
            escape(&words(section)),
            raw(section)
        )
    };
    if !section.is_plane() {
        let title = if section.other.is_some() { "Line between two runs" } else { "Line through the weights" };
        return figure(title, &line(&lineup.colour(entry), section));
    }
    let maps = [("Training loss on a plane", &section.train), ("Test loss on a plane", &section.test)];
    let drawn = maps.iter().map(|(title, points)| (title, plane::drawing(points, title)));
    drawn.filter(|(_, map)| !map.is_empty()).map(|(title, map)| figure(title, &map)).collect()
}

/// What was moved along, and what came of it.
fn words(section: &SavedSection) -> String {
    let names: Vec<&str> = section.directions.iter().map(|direction| direction.name.as_str()).collect();
    let mut text = match (&section.other, names.as_slice()) {
        (Some(other), _) => {
            let [start, end] = other.curvature_at_ends.map(curvature);
            format!(
                "From it (0) to {} after {} steps (1), {} away; they began at {} weights and were fed {} batches. Curvature along \
                 the line: {start} at 0, {end} at 1.",
                other.run,
                number::count(other.step.0),
                number::significant(section.directions[0].length),
                if other.same_start { "the same" } else { "different" },
                if other.same_batches { "the same" } else { "different" },
            )
        }
        (None, [across, up]) => format!("Across: {across}. Up: {up}."),
        (None, names) => format!("Along it: {}.", names.join(", ")),
    };
    let _ = write!(
        text,
        " {} training and {} test examples, mode {}{}.",
        number::count(section.num_train_examples),
        number::count(section.num_test_examples),
        section.mode.word(),
        if section.mode == Mode::FrozenFull { ", statistics computed anew at every point" } else { "" }
    );
    text
}

fn curvature(curvature: SectionCurvature) -> String {
    if curvature.value.is_finite() {
        number::with_error(curvature.value, curvature.error)
    } else {
        "unresolved".to_owned()
    }
}

/// The numbers behind a drawing, as CSV.
fn raw(section: &SavedSection) -> String {
    let places = if section.is_plane() { "x,y" } else { "x" };
    let mut text =
        format!("{places},train_loss,train_loss_error,train_accuracy,test_loss,test_loss_error,test_accuracy\n");
    for (train, test) in section.train.iter().zip(&section.test) {
        let numbers = [train.loss, train.loss_error, train.accuracy, test.loss, test.loss_error, test.accuracy];
        let cells: Vec<String> = train.position.iter().chain(&numbers).map(f64::to_string).collect();
        text += &(cells.join(",") + "\n");
    }
    format!("<details><summary>The points, as CSV</summary><pre class=\"raw\">{}</pre></details>\n", escape(&text))
}

/// Training and test loss above, accuracies below, over one position.
fn line(colour: &str, section: &SavedSection) -> String {
    let both = || section.train.iter().chain(&section.test);
    let position = |point: &SectionPoint| point.position.first().copied().unwrap_or(f64::NAN);
    let losses = || both().flat_map(|point| [point.loss, point.loss - point.loss_error, point.loss + point.loss_error]);
    let positive = losses().filter(|loss| *loss > 0.0);
    let axes = Axis::linear(both().map(position), [LEFT, RIGHT])
        .zip(Axis::fitting(positive, [LOSS[1], LOSS[0]]))
        .zip(Axis::linear([0.0, 1.0].into_iter(), [ACCURACY[1], ACCURACY[0]]));
    let Some(((x, loss), accuracy)) = axes else {
        return "<p class=\"note\">No point has a finite loss.</p>\n".to_owned();
    };
    let mut svg = format!(
        "<svg {colour} viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"loss and accuracy along a line\">"
    );
    grid(&mut svg, &x, &loss, &accuracy);
    marks(&mut svg, &x, section);
    for (points, class) in [(&section.test, "aside-curve"), (&section.train, "curve-line")] {
        let _ = write!(svg, "<path class=\"band {class}\" d=\"{}\"/>", band(points, &x, &loss));
        let _ = write!(svg, "<path class=\"{class}\" d=\"{}\"/>", path(points, &x, &loss, |point| point.loss));
        let _ = write!(svg, "<path class=\"{class}\" d=\"{}\"/>", path(points, &x, &accuracy, |point| point.accuracy));
    }
    for (train, test) in section.train.iter().zip(&section.test) {
        if let Some((x, y)) = x.at(position(train)).zip(loss.at(train.loss)) {
            let _ = write!(
                svg,
                "<circle class=\"touch\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>at {}: training {}, test {}; accuracy {} and {}</title></circle>",
                axis::label(position(train)),
                number::with_error(train.loss, train.loss_error),
                number::with_error(test.loss, test.loss_error),
                number::percent(train.accuracy),
                number::percent(test.accuracy)
            );
        }
    }
    svg + "</svg>\n"
}

fn grid(svg: &mut String, x: &Axis, loss: &Axis, accuracy: &Axis) {
    for (axis, titles, most) in [(loss, "loss, nat", 5), (accuracy, "accuracy", 2)] {
        for (value, text) in axis.ticks(most) {
            let Some(y) = axis.at(value) else { continue };
            let _ = write!(
                svg,
                "<path class=\"rule\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 7.0,
                y + 4.0
            );
        }
        let top = if titles == "accuracy" { ACCURACY[0] } else { LOSS[0] };
        let _ = write!(svg, "<text x=\"{LEFT}\" y=\"{:.1}\">{titles}</text>", top - 6.0);
    }
    for (value, text) in x.ticks(6) {
        let Some(x) = x.at(value) else { continue };
        let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>", ACCURACY[1] + 16.0);
    }
    let (middle, foot, end) = ((LEFT + RIGHT) / 2.0, HEIGHT - 4.0, RIGHT);
    let _ = write!(
        svg,
        "<text x=\"{middle:.1}\" y=\"{foot:.1}\" text-anchor=\"middle\">position</text>\
         <path class=\"curve-line\" d=\"M{:.1} 11h18\"/><text x=\"{:.1}\" y=\"15\">training</text>\
         <path class=\"aside-curve\" d=\"M{:.1} 11h18\"/><text x=\"{:.1}\" y=\"15\">test</text>",
        end - 142.0,
        end - 120.0,
        end - 52.0,
        end - 30.0
    );
}

/// Upright lines at the weights that have a name.
fn marks(svg: &mut String, x: &Axis, section: &SavedSection) {
    let ends: &[f64] = if section.other.is_some() { &[0.0, 1.0] } else { &[0.0] };
    for place in ends.iter().filter(|place| (0.0..=1.0).contains(&x.share(**place))) {
        if let Some(x) = x.at(*place) {
            let _ = write!(svg, "<path class=\"end\" d=\"M{x:.1} {:.1}V{:.1}\"/>", LOSS[0], ACCURACY[1]);
        }
    }
}

/// A path through points; it breaks where one has no value.
fn path(points: &[SectionPoint], x: &Axis, y: &Axis, value: impl Fn(&SectionPoint) -> f64) -> String {
    let (mut path, mut is_down) = (String::new(), false);
    for point in points {
        let value = value(point);
        let place = point.position.first().and_then(|&position| x.at(position)).zip(y.at(value));
        let Some((x, y)) = place.filter(|_| value.is_finite()) else {
            is_down = false;
            continue;
        };
        let _ = write!(path, "{}{x:.1} {y:.1}", if is_down { 'L' } else { 'M' });
        is_down = true;
    }
    path
}

/// The area within one standard error of the loss.
fn band(points: &[SectionPoint], x: &Axis, y: &Axis) -> String {
    let edge = |sign: f64| {
        points.iter().filter(|point| point.loss.is_finite() && point.loss_error.is_finite()).filter_map(move |point| {
            let value = point.loss + sign * point.loss_error;
            // What lies below a logarithmic axis is cut off at its end.
            let y = y.at(if value > 0.0 { value } else { f64::MIN_POSITIVE })?;
            Some((x.at(*point.position.first()?)?, y))
        })
    };
    let (upper, mut lower): (Vec<_>, Vec<_>) = (edge(1.0).collect(), edge(-1.0).collect());
    lower.reverse();
    let corners = upper.into_iter().chain(lower).enumerate();
    let path: String =
        corners.map(|(index, (x, y))| format!("{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' })).collect();
    if path.is_empty() { path } else { path + "Z" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, synthetic};
    use stepscope_types::{OtherRun, SectionDirection, Step};

    fn section(planes: bool, loss: impl Fn(f64) -> f64) -> SavedSection {
        let side = || (0..31).map(|k| f64::from(k) / 10.0 - 1.0);
        let positions: Vec<Vec<f64>> = if planes {
            side().flat_map(|x| side().map(move |y| vec![x, y])).collect()
        } else {
            side().map(|x| vec![x]).collect()
        };
        let points = |shift: f64| -> Vec<SectionPoint> {
            let radius = |position: &[f64]| position.iter().map(|x| x * x).sum::<f64>().sqrt();
            positions
                .iter()
                .map(|position| SectionPoint {
                    position: position.clone(),
                    loss: loss(radius(position)) + shift,
                    loss_error: 0.02,
                    accuracy: 0.9,
                })
                .collect()
        };
        let direction = |name: &str| SectionDirection { kind: name.to_owned(), name: name.to_owned(), length: 2.5 };
        let ends = SectionCurvature { value: 0.5, error: 0.01 };
        SavedSection {
            format: SavedSection::FORMAT,
            run: "run".to_owned(),
            step: Step(300),
            directions: if planes { vec![direction("<b>"), direction("up")] } else { vec![direction("between")] },
            other: (!planes).then(|| OtherRun {
                run: "<other>".to_owned(),
                step: Step(300),
                same_start: true,
                same_batches: false,
                curvature_at_ends: [ends, SectionCurvature { value: f64::NAN, error: f64::NAN }],
            }),
            mode: Mode::FrozenFull,
            num_train_examples: 1024,
            num_test_examples: 512,
            train: points(0.0),
            test: points(0.1),
        }
    }

    fn html(sections: Vec<SavedSection>) -> String {
        let mut run = Run::from_records(synthetic::manifest("run", 0.1), []);
        run.kept_mut().sections = sections;
        render(&Lineup::new(&[run]))
    }

    #[test]
    fn a_line_has_two_curves_with_bands_marks_at_its_ends_and_its_points_as_csv() {
        let html = html(vec![section(false, |r| 0.1 + r * r)]);
        assert_eq!(html.matches("class=\"touch\"").count(), 31);
        assert_eq!(html.matches("class=\"end\"").count(), 2);
        assert_eq!(html.matches("class=\"band ").count(), 2);
        assert!(html.contains("0.500 ± 0.010 at 0, unresolved at 1"), "{html}");
        assert!(html.contains("&lt;other&gt; after 300 steps") && !html.contains("<other>"));
        assert_eq!(html.lines().filter(|line| line.starts_with("-0.5,0.35,")).count(), 1, "{html}");
        assert!(!html.contains("NaN"), "{html}");
    }

    #[test]
    fn a_plane_is_two_maps_and_losses_that_are_not_finite_break_a_line() {
        let planes = html(vec![section(true, |r| 0.1 + r * r)]);
        assert_eq!(planes.matches("<svg class=\"map\"").count(), 2);
        assert!(planes.contains("&lt;b&gt;") && !planes.contains("NaN"));
        let broken = html(vec![section(false, |r| if r > 0.95 && r < 1.05 { f64::NAN } else { 0.1 + r })]);
        let curve = broken.split("<path class=\"curve-line\" d=\"").nth(2).unwrap().split('"').next().unwrap();
        assert_eq!(curve.matches('M').count(), 2, "broken at 1, and it begins after the break at -1: {curve}");
        let nothing = html(vec![section(false, |_| f64::INFINITY)]);
        assert!(nothing.contains("No point has a finite loss"));
    }

    #[test]
    fn there_is_no_section_without_one_and_not_too_many_of_them() {
        assert_eq!(html(Vec::new()), "");
        let many = html((0..30).map(|_| section(false, |r| 0.1 + r)).collect());
        assert_eq!(many.matches("<figure").count(), MOST_FIGURES);
        assert!(many.contains("6 more are in the folders"), "what is left out is said");
    }
}

//! The curve as a self-contained SVG on logarithmic axes.

use std::fmt::Write;

use stepscope_report::escape;
use stepscope_report::number::{count, significant};

use crate::commands::predict::answer::Answer;
use crate::commands::predict::question::Question;
use crate::commands::predict::scale::LogScale;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 540.0;
/// Left, top, right and bottom of the plane of the curve.
const PLANE: [f64; 4] = [78.0, 92.0, 796.0, 472.0];
/// Room above and below the data, as a factor.
const ROOM: f64 = 1.25;
/// Standard errors to either side of a sampled mean.
const BAND: f64 = 2.0;
/// Characters of a line of the heading.
const HEADING: usize = 118;

const STYLE: &str = "text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#33414e}\
.title{font-size:17px;font-weight:600;fill:#14202b}.small{font-size:12px;fill:#5b6874}\
.grid{stroke:#e3e8ec;stroke-width:1}.frame{fill:none;stroke:#9aa6b1;stroke-width:1}\
.curve{fill:none;stroke:#1659b5;stroke-width:2.4;stroke-linejoin:round;stroke-linecap:round}\
.signal{fill:none;stroke:#8a5bb0;stroke-width:1.4;stroke-dasharray:7 5}\
.noise{fill:none;stroke:#c23b50;stroke-width:1.4;stroke-dasharray:3 4}\
.floor{fill:none;stroke:#2f8f63;stroke-width:1.4;stroke-dasharray:10 4 2 4}\
.band{fill:#f0a63c;fill-opacity:.38;stroke:none}.mean{fill:none;stroke:#c97a08;stroke-width:1.3}";

/// The axes of a drawing.
struct Axes {
    x: LogScale,
    y: LogScale,
}

impl Axes {
    /// Where a point stands, if it has logarithms and lies inside.
    fn place(&self, time: f64, loss: f64) -> Option<(f64, f64)> {
        let [left, top, right, bottom] = PLANE;
        Some((left + self.x.position(time)? * (right - left), bottom - self.y.position(loss)? * (bottom - top)))
    }

    /// A path through points; it breaks where one cannot be placed.
    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        let mut is_down = false;
        for (time, loss) in points {
            let Some((x, y)) = self.place(time, loss) else {
                is_down = false;
                continue;
            };
            // Writing into a String cannot fail.
            let _ = write!(path, "{}{x:.1} {y:.1}", if is_down { 'L' } else { 'M' });
            is_down = true;
        }
        path
    }
}

/// A line of the legend: the class that draws it, and its words.
type Entry = (&'static str, String);

/// The whole file.
pub(super) fn svg(question: &Question, answer: &Answer) -> String {
    let mut body = heading(question, answer);
    match axes(answer) {
        Some(axes) => {
            body += &grid(&axes);
            let (drawn, entries) = lines(&axes, answer);
            body += &drawn;
            body += &legend(&entries, rises(answer));
        }
        None => body += "<text x=\"410\" y=\"280\" text-anchor=\"middle\">no finite loss above 0 to draw</text>",
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\
         <title>Predicted loss of SGD on {}</title><style>{STYLE}</style><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>{body}</svg>\n",
        escaped(&question.source)
    )
}

fn axes(answer: &Answer) -> Option<Axes> {
    let drawn = answer.drawn.times.iter().zip(&answer.drawn.loss).filter(|(time, _)| **time >= 1);
    let mut losses: Vec<f64> = drawn.clone().map(|(_, &loss)| loss).collect();
    losses.extend(answer.sampled.iter().flat_map(|(_, sampled)| sampled.loss.iter().copied()));
    let x = LogScale::over(drawn.map(|(&time, _)| time as f64))?;
    let y = LogScale::over(losses.into_iter().flat_map(|loss| [loss / ROOM, loss * ROOM]))?;
    Some(Axes { x, y })
}

fn heading(question: &Question, answer: &Answer) -> String {
    let stability = &answer.analysis.stability;
    let state = if stability.is_stable() { "stable" } else { "unstable" };
    let summary = format!(
        "{state}, U(1) = {}, critical learning rate {}, loss {} after {} steps",
        significant(stability.noise_gain),
        significant(answer.analysis.critical_learning_rate),
        significant(answer.final_loss),
        count(question.steps)
    );
    let mut text = String::new();
    let lines = [("title", format!("SGD on {}", question.source)), ("small", question.settings()), ("small", summary)];
    for (index, (class, line)) in lines.into_iter().enumerate() {
        let short: String = line.chars().take(HEADING).collect();
        let _ = write!(text, "<text class=\"{class}\" x=\"24\" y=\"{}\">{}</text>", 32 + 21 * index, escaped(&short));
    }
    text
}

fn grid(axes: &Axes) -> String {
    let [left, top, right, bottom] = PLANE;
    let mut text = String::new();
    for tick in axes.x.ticks(9) {
        let Some(share) = axes.x.position(tick.value) else { continue };
        let x = left + share * (right - left);
        let _ = write!(
            text,
            "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 20.0,
            tick.text
        );
    }
    for tick in axes.y.ticks(9) {
        let Some(share) = axes.y.position(tick.value) else { continue };
        let y = bottom - share * (bottom - top);
        let _ = write!(
            text,
            "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 9.0,
            y + 4.5,
            tick.text
        );
    }
    let (width, height, middle) = (right - left, bottom - top, 0.5 * (left + right));
    let _ = write!(
        text,
        "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>\
         <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">step</text>\
         <text transform=\"translate(22 {}) rotate(-90)\" text-anchor=\"middle\">loss</text>",
        bottom + 46.0,
        0.5 * (top + bottom)
    );
    text
}

/// Everything that is drawn between the axes, and what the legend says about it.
fn lines(axes: &Axes, answer: &Answer) -> (String, Vec<Entry>) {
    let mut text = String::new();
    let mut entries: Vec<Entry> = vec![("curve", "predicted mean loss".to_owned())];
    if let Some((times, sampled)) = &answer.sampled {
        let times = || times.iter().map(|&time| time as f64);
        let _ = write!(
            text,
            "<path class=\"band\" d=\"{}\"/>",
            band(axes, times(), &sampled.loss, &sampled.standard_errors)
        );
        let _ = write!(text, "<path class=\"mean\" d=\"{}\"/>", axes.path(times().zip(sampled.loss.iter().copied())));
        entries.push(("mean", format!("mean of {} runs, +- 2 standard errors", count(sampled.runs))));
    }
    let times = || answer.drawn.times.iter().map(|&time| time as f64);
    if let Some(law) = &answer.analysis.asymptotics {
        let mut term = |class: &'static str, name: &str, constant: f64, exponent: f64| {
            let path = axes.path(times().map(|time| (time, constant * time.powf(-exponent))));
            if !path.is_empty() {
                let _ = write!(text, "<path class=\"{class}\" d=\"{path}\"/>");
                entries.push((class, format!("{name} {} t^-{}", significant(constant), significant(exponent))));
            }
        };
        term("signal", "signal", law.signal_constant, law.signal_exponent);
        if let Some(constant) = law.noise_constant.filter(|constant| *constant > 0.0) {
            term("noise", "noise", constant, law.noise_exponent);
        }
    }
    let floor = answer.analysis.noise_floor;
    let path = axes.path(times().map(|time| (time, floor)));
    if !path.is_empty() {
        let _ = write!(text, "<path class=\"floor\" d=\"{path}\"/>");
        entries.push(("floor", format!("label-noise floor {}", significant(floor))));
    }
    let curve = axes.path(times().zip(answer.drawn.loss.iter().copied()));
    let _ = write!(text, "<path class=\"curve\" d=\"{curve}\"/>");
    (text, entries)
}

/// The area within [`BAND`] standard errors; what lies below the axis is cut off at its end.
fn band(axes: &Axes, times: impl Iterator<Item = f64>, loss: &[f64], errors: &[f64]) -> String {
    let bottom = PLANE[3];
    let (mut upper, mut lower) = (Vec::new(), Vec::new());
    for ((time, loss), error) in times.zip(loss).zip(errors) {
        let Some((x, y)) = axes.place(time, *loss) else { continue };
        let edge = |loss: f64, outside: f64| axes.place(time, loss).map_or(outside, |(_, y)| y);
        let high = edge(loss + BAND * error, if error.is_finite() { PLANE[1] } else { y });
        upper.push((x, high));
        lower.push((x, edge(loss - BAND * error, if error.is_finite() { bottom } else { y })));
    }
    let mut path = String::new();
    for (index, (x, y)) in upper.into_iter().chain(lower.into_iter().rev()).enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
    }
    if !path.is_empty() {
        path.push('Z');
    }
    path
}

/// Whether the curve ends above its start, and leaves room at the upper left instead of the upper right.
fn rises(answer: &Answer) -> bool {
    let drawable = |loss: &&f64| loss.is_finite() && **loss > 0.0;
    let loss = &answer.drawn.loss;
    let (first, last) = (loss.iter().find(drawable), loss.iter().rfind(drawable));
    first.zip(last).is_some_and(|(first, last)| last > first)
}

fn legend(entries: &[Entry], is_left: bool) -> String {
    let [left, top, right, _] = PLANE;
    let longest = entries.iter().map(|(_, words)| words.chars().count()).max().unwrap_or(0);
    let (width, height) = (62.0 + 6.9 * longest as f64, 14.0 + 21.0 * entries.len() as f64);
    let (x, y) = (if is_left { left + 14.0 } else { right - width - 14.0 }, top + 14.0);
    let mut text = format!(
        "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.0}\" height=\"{height}\" rx=\"5\" fill=\"#fff\" fill-opacity=\".92\" stroke=\"#d5dce2\"/>"
    );
    for (index, (class, words)) in entries.iter().enumerate() {
        let middle = y + 17.5 + 21.0 * index as f64;
        if *class == "mean" {
            let _ = write!(
                text,
                "<rect class=\"band\" x=\"{:.1}\" y=\"{}\" width=\"28\" height=\"10\"/>",
                x + 12.0,
                middle - 5.0
            );
        }
        let _ = write!(
            text,
            "<path class=\"{class}\" d=\"M{:.1} {middle}h28\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
            x + 12.0,
            x + 48.0,
            middle + 4.5,
            escaped(words)
        );
    }
    text
}

/// Text for XML: markup as entities, what XML cannot hold as the replacement character.
fn escaped(text: &str) -> String {
    let refused = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    escape(&text.replace(refused, "\u{fffd}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<a b=\"c\">'&\u{1}"), "&lt;a b=&quot;c&quot;&gt;&#39;&amp;\u{fffd}");
    }

    #[test]
    fn a_path_breaks_where_the_loss_cannot_be_drawn() {
        let axes = Axes {
            x: LogScale::over([1.0, 100.0].into_iter()).unwrap(),
            y: LogScale::over([0.01, 1.0].into_iter()).unwrap(),
        };
        let path = axes.path([(1.0, 1.0), (10.0, f64::INFINITY), (100.0, 0.01)].into_iter());
        assert_eq!(path, "M78.0 92.0M796.0 472.0");
    }
}

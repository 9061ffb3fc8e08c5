//! The curves of a range test as a self-contained SVG.

use std::fmt::Write;

use stepscope::train::{RangeSweep, RangeTest};
use stepscope_report::escape;
use stepscope_report::number::significant;

use crate::commands::predict::scale::LogScale;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 480.0;
/// Left, top, right and bottom of the plane of the curves.
const PLANE: [f64; 4] = [70.0, 74.0, 796.0, 412.0];
/// A loss so many times the first one is above the drawing.
const TALLEST: f64 = 1.6;

const STYLE: &str = "text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#33414e}\
.title{font-size:17px;font-weight:600;fill:#14202b}.small{font-size:12px;fill:#5b6874}\
.grid{stroke:#e3e8ec;stroke-width:1}.frame{fill:none;stroke:#9aa6b1;stroke-width:1}\
.sweep{fill:none;stroke:#1659b5;stroke-width:1.6;stroke-opacity:.75;stroke-linejoin:round}\
.raw{fill:#1659b5;fill-opacity:.18}.take{stroke:#2f8f63;stroke-width:2}.range{fill:#2f8f63;fill-opacity:.14}\
.lost{stroke:#c23b50;stroke-width:2;stroke-dasharray:5 4}.mark{fill:#2f8f63;font-weight:600}.bad{fill:#c23b50;font-weight:600}";

/// Where values stand.
struct Axes {
    rates: LogScale,
    top: f64,
}

impl Axes {
    fn x(&self, rate: f64) -> Option<f64> {
        Some(PLANE[0] + self.rates.position(rate)? * (PLANE[2] - PLANE[0]))
    }

    /// Losses start at 0; what is above the drawing stands at its edge.
    fn y(&self, loss: f64) -> Option<f64> {
        (loss >= 0.0).then(|| PLANE[3] - (loss / self.top).min(1.0) * (PLANE[3] - PLANE[1]))
    }
}

/// The whole file.
pub(super) fn svg(name: &str, test: &RangeTest) -> String {
    let settings = test.settings;
    let first = test.sweeps.iter().filter_map(|sweep| sweep.points.first()).map(|point| point.smoothed);
    let top = TALLEST * first.filter(|loss| loss.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let mut body = heading(name, test);
    if let Some(rates) = LogScale::over([settings.from, settings.to].into_iter()) {
        let axes = Axes { rates, top };
        body += &grid(&axes);
        body += &marks(&axes, test);
        test.sweeps.iter().for_each(|sweep| body += &curve(&axes, sweep));
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\
         <title>Learning-rate range test of {}</title><style>{STYLE}</style><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>{body}</svg>\n",
        escape(name)
    )
}

fn heading(name: &str, test: &RangeTest) -> String {
    let summary = match (test.suggestion, &test.problem) {
        (Some(take), _) => format!(
            "the loss falls fastest at {} (95 % interval over sweeps {} to {})",
            significant(take.value),
            significant(take.low),
            significant(take.high)
        ),
        (None, Some(problem)) => problem.chars().take(118).collect(),
        (None, None) => String::new(),
    };
    format!(
        "<text class=\"title\" x=\"24\" y=\"32\">Learning-rate range test: {}</text><text class=\"small\" x=\"24\" y=\"53\">{}</text>",
        escape(name),
        escape(&summary)
    )
}

fn grid(axes: &Axes) -> String {
    let [left, top, right, bottom] = PLANE;
    let mut text = String::new();
    for tick in axes.rates.ticks(9) {
        let Some(x) = axes.x(tick.value) else { continue };
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 20.0,
            tick.text
        );
    }
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let y = bottom - share * (bottom - top);
        let _ = write!(
            text,
            "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 9.0,
            y + 4.5,
            significant(share * axes.top)
        );
    }
    let (width, height) = (right - left, bottom - top);
    let _ = write!(
        text,
        "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">learning rate</text>\
         <text transform=\"translate(20 {}) rotate(-90)\" text-anchor=\"middle\">loss after the update</text>",
        0.5 * (left + right),
        bottom + 46.0,
        0.5 * (top + bottom)
    );
    text
}

/// The suggestion with its interval, and where training breaks down.
fn marks(axes: &Axes, test: &RangeTest) -> String {
    let [_, top, _, bottom] = PLANE;
    let mut text = String::new();
    if let Some(take) = test.suggestion {
        let within = |rate: f64| rate.clamp(test.settings.from, test.settings.to);
        if let (Some(low), Some(x), Some(high)) =
            (axes.x(within(take.low)), axes.x(within(take.value)), axes.x(within(take.high)))
        {
            let _ = write!(
                text,
                "<rect class=\"range\" x=\"{low:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{}\"/>\
                 <path class=\"take\" d=\"M{x:.1} {top}V{bottom}\"/><text class=\"mark\" x=\"{:.1}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                high - low,
                bottom - top,
                x - 7.0,
                top + 18.0,
                significant(take.value)
            );
        }
    }
    if let Some(x) = test.diverged_at.and_then(|lost| axes.x(lost.value)) {
        let _ = write!(
            text,
            "<path class=\"lost\" d=\"M{x:.1} {top}V{bottom}\"/><text class=\"bad\" x=\"{:.1}\" y=\"{}\">breaks down</text>",
            x + 7.0,
            top + 36.0
        );
    }
    text
}

/// A sweep: its losses as dots, their running mean as a line.
fn curve(axes: &Axes, sweep: &RangeSweep) -> String {
    let mut text = String::new();
    let mut path = String::new();
    for point in &sweep.points {
        let Some(x) = axes.x(point.learning_rate) else { continue };
        if let Some(y) = axes.y(point.loss) {
            let _ = write!(text, "<circle class=\"raw\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\"/>");
        }
        if let Some(y) = axes.y(point.smoothed) {
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
        }
    }
    text + &format!("<path class=\"sweep\" d=\"{path}\"/>")
}

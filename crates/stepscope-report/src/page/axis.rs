//! An axis of a drawing: where values stand, and which of them are labelled.

use crate::number::significant;

/// Ticks that an axis needs at least, to be read.
const FEWEST_TICKS: usize = 3;
/// Positive values that span more than this factor are drawn by their logarithms.
const LOG_RATIO: f64 = 30.0;

/// Maps values to pixels, linearly or by their logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    pixels: [f64; 2],
}

impl Axis {
    /// Over all finite values, between two pixels; `None` where there is none. One value alone stands in the middle.
    pub(super) fn linear(values: impl Iterator<Item = f64>, pixels: [f64; 2]) -> Option<Self> {
        let (low, high) = ends(values)?;
        let room = if high > low { 0.0 } else { 0.5 * low.abs().max(1e-6) };
        Some(Self { low: low - room, high: high + room, is_log: false, pixels })
    }

    /// The same by logarithms; values that have none are left out.
    pub(super) fn log(values: impl Iterator<Item = f64>, pixels: [f64; 2]) -> Option<Self> {
        let (low, high) = ends(values.filter(|value| *value > 0.0).map(f64::log10))?;
        let room = if high - low > 1e-6 { 0.0 } else { 0.5 };
        Some(Self { low: low - room, high: high + room, is_log: true, pixels })
    }

    /// By logarithms where positive values span decades, otherwise linear.
    pub(super) fn fitting(values: impl Iterator<Item = f64> + Clone, pixels: [f64; 2]) -> Option<Self> {
        let (low, high) = ends(values.clone())?;
        if low > 0.0 && high > LOG_RATIO * low { Self::log(values, pixels) } else { Self::linear(values, pixels) }
    }

    /// The same with room at both ends, a share of its length.
    pub(super) fn with_room(self, share: f64) -> Self {
        let room = share * (self.high - self.low);
        Self { low: self.low - room, high: self.high + room, ..self }
    }

    /// 0 at the low end, 1 at the high one, and beyond them outside; NaN for what has no logarithm.
    pub(super) fn share(&self, value: f64) -> f64 {
        let value = if self.is_log { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    /// The pixel of a value, at the nearer end for one outside; `None` for what is not finite or has no logarithm.
    pub(super) fn at(&self, value: f64) -> Option<f64> {
        let share = self.share(value);
        let [from, to] = self.pixels;
        (!share.is_nan()).then(|| from + share.clamp(0.0, 1.0) * (to - from))
    }

    /// The value at a share of the axis.
    pub(super) fn value(&self, share: f64) -> f64 {
        let value = self.low + share * (self.high - self.low);
        if self.is_log { 10_f64.powf(value) } else { value }
    }

    /// Values to label with their texts, ascending, about `most` at most.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        let labelled = |value: f64| (value, label(value));
        if self.is_log {
            let (first, last) = ((self.low - 1e-9).ceil() as i32, (self.high + 1e-9).floor() as i32);
            let every = ((last - first) / most.max(1) as i32 + 1).max(1);
            let decades = (first..=last).filter(|exponent| exponent.rem_euclid(every) == 0);
            let decades: Vec<(f64, String)> = decades.map(|exponent| labelled(10_f64.powi(exponent))).collect();
            if decades.len() >= FEWEST_TICKS {
                return decades;
            }
            let digits = |exponent: i32| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(exponent));
            let steps = (first - 1..=last).flat_map(digits);
            let steps: Vec<(f64, String)> =
                steps.filter(|value| (-1e-9..=1.0 + 1e-9).contains(&self.share(*value))).map(labelled).collect();
            if steps.len() >= FEWEST_TICKS {
                return steps;
            }
        }
        let (low, high) = (self.value(0.0), self.value(1.0));
        let rough = (high - low) / most.max(2) as f64;
        let unit = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * unit).into_iter().find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * unit);
        let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
        (first..=last).take(2 * most.max(2)).map(|k| labelled(k as f64 * step)).collect()
    }
}

fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut finite = values.filter(|value| value.is_finite());
    let first = finite.next()?;
    Some(finite.fold((first, first), |(low, high), value| (low.min(value), high.max(value))))
}

/// 0.500 as 0.5, 2.00e-7 as 2e-7.
pub(super) fn label(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = significant(value);
    let (digits, exponent) = text.split_once('e').map_or((text.as_str(), None), |(d, exponent)| (d, Some(exponent)));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let digits = digits.replace('-', "\u{2212}");
    exponent.map_or(digits.clone(), |exponent| format!("{digits}e{exponent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: Option<Axis>, most: usize) -> Vec<String> {
        axis.unwrap().ticks(most).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ends_of_the_data_are_ends_of_the_axis_and_nonsense_is_left_out() {
        let axis = Axis::log([f64::NAN, 0.0, -1.0, f64::INFINITY, 1e-3, 10.0].into_iter(), [100.0, 0.0]).unwrap();
        assert_eq!([1e-3, 10.0, 0.1, 1e9].map(|value| axis.at(value)), [100.0, 0.0, 50.0, 0.0].map(Some));
        assert_eq!(axis.at(f64::NAN), None);
        assert!((axis.value(0.5) - 0.1).abs() < 1e-12);
        assert!(Axis::log([0.0].into_iter(), [0.0, 1.0]).is_none());
        assert_eq!(Axis::linear([2.0].into_iter(), [0.0, 10.0]).unwrap().at(2.0), Some(5.0));
    }

    #[test]
    fn losses_over_decades_are_drawn_by_their_logarithms() {
        let fitting = |values: [f64; 2]| Axis::fitting(values.into_iter(), [0.0, 1.0]).unwrap().is_log;
        assert!(fitting([0.01, 2.0]));
        assert!(!fitting([0.5, 2.0]) && !fitting([-0.01, 2.0]) && !fitting([0.0, 2.0]));
    }

    #[test]
    fn every_axis_has_ticks_that_can_be_read() {
        let ends = [0.0, 1.0];
        assert_eq!(texts(Axis::log([1e-3, 10.0].into_iter(), ends), 8), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(texts(Axis::log([0.9, 11.0].into_iter(), ends), 8), ["1", "2", "5", "10"]);
        assert_eq!(
            texts(Axis::linear([-1.0, 2.0].into_iter(), ends), 6),
            ["\u{2212}1", "\u{2212}0.5", "0", "0.5", "1", "1.5", "2"]
        );
        assert_eq!(texts(Axis::linear([0.51, 0.59].into_iter(), ends), 4), ["0.52", "0.54", "0.56", "0.58"]);
        assert!(texts(Axis::linear([3.0, 3.0].into_iter(), ends), 4).len() >= 2);
        assert!(texts(Axis::linear([0.0, 0.0].into_iter(), ends), 4).len() >= 2);
    }
}

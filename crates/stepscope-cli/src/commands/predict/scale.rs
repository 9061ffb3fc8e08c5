//! A logarithmic axis: where values stand, and which of them are labelled.

use stepscope_report::number::significant;

/// Ticks that an axis needs at least, to be read.
const FEWEST_TICKS: usize = 3;

/// Maps positive values to 0..=1 by their logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::commands) struct LogScale {
    low: f64,
    high: f64,
}

/// A value on an axis with its text.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::commands) struct Tick {
    pub(in crate::commands) value: f64,
    pub(in crate::commands) text: String,
}

impl LogScale {
    /// A scale over all positive finite values; `None` where there are none.
    pub(in crate::commands) fn over(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut logs = values.filter(|value| value.is_finite() && *value > 0.0).map(f64::log10);
        let first = logs.next()?;
        let (low, high) = logs.fold((first, first), |(low, high), log| (low.min(log), high.max(log)));
        // A single value stands in the middle.
        Some(if high - low < 1e-6 { Self { low: low - 0.5, high: high + 0.5 } } else { Self { low, high } })
    }

    /// 0 at the low end, 1 at the high end; `None` for values that have no logarithm or lie outside.
    pub(in crate::commands) fn position(&self, value: f64) -> Option<f64> {
        let share = (value.log10() - self.low) / (self.high - self.low);
        (value > 0.0 && (-1e-9..=1.0 + 1e-9).contains(&share)).then_some(share)
    }

    /// Values to label, ascending, about `most` at most: powers of ten, or 1-2-5 steps, or evenly spaced numbers, whichever is the
    /// first to give enough.
    pub(in crate::commands) fn ticks(&self, most: usize) -> Vec<Tick> {
        let (first, last) = ((self.low - 1e-9).ceil() as i32, (self.high + 1e-9).floor() as i32);
        let every = ((last - first) / most.max(1) as i32 + 1).max(1);
        let decades: Vec<Tick> = (first..=last)
            .filter(|exponent| exponent.rem_euclid(every) == 0)
            .map(|exponent| Tick { value: 10_f64.powi(exponent), text: power_text(exponent) })
            .collect();
        if decades.len() >= FEWEST_TICKS {
            return decades;
        }
        let plain = |value: f64| Tick { value, text: without_zeros(&significant(value)) };
        let steps = (first - 1..=last).flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(exponent)));
        let steps: Vec<Tick> = steps.filter(|value| self.position(*value).is_some()).map(plain).collect();
        if steps.len() >= FEWEST_TICKS {
            return steps;
        }
        let (low, high) = (10_f64.powf(self.low), 10_f64.powf(self.high));
        let rough = (high - low) / 4.0;
        let unit = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|digit| digit * unit).into_iter().find(|step| *step >= rough).unwrap_or(rough);
        let (first, last) = ((low / step).ceil() as u64, (high / step).floor() as u64);
        (first..=last).take(most).map(|k| plain(k as f64 * step)).collect()
    }
}

/// 0.500 as 0.5, 2.00e-7 as 2e-7.
fn without_zeros(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').map_or((text, None), |(digits, exponent)| (digits, Some(exponent)));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    exponent.map_or(digits.to_owned(), |exponent| format!("{digits}e{exponent}"))
}

/// A power of ten as a person writes it.
fn power_text(exponent: i32) -> String {
    match exponent {
        0..=3 => 10_u64.pow(exponent.unsigned_abs()).to_string(),
        -2..=-1 => format!("{:.*}", exponent.unsigned_abs() as usize, 10_f64.powi(exponent)),
        _ => format!("1e{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(low: f64, high: f64, most: usize) -> Vec<String> {
        let scale = LogScale::over([low, high].into_iter()).unwrap();
        scale.ticks(most).into_iter().map(|tick| tick.text).collect()
    }

    #[test]
    fn ends_of_the_data_are_ends_of_the_axis_and_nonsense_is_left_out() {
        let scale = LogScale::over([f64::NAN, 0.0, -1.0, f64::INFINITY, 1e-3, 10.0].into_iter()).unwrap();
        let positions = [1e-3, 10.0, 0.1, 0.0, f64::NAN, 1e9].map(|value| scale.position(value));
        assert_eq!(positions, [Some(0.0), Some(1.0), Some(0.5), None, None, None]);
        assert!(LogScale::over([0.0].into_iter()).is_none());
        assert_eq!(LogScale::over([0.5, 0.5].into_iter()).unwrap().position(0.5), Some(0.5));
    }

    #[test]
    fn every_axis_has_ticks_that_can_be_read() {
        assert_eq!(texts(1e-3, 10.0, 8), ["1e-3", "0.01", "0.1", "1", "10"]);
        assert_eq!(texts(1.0, 1e9, 4), ["1", "1000", "1e6", "1e9"]);
        assert_eq!(texts(0.9, 11.0, 8), ["1", "2", "5", "10"]);
        assert_eq!(texts(0.51, 0.59, 8), ["0.52", "0.54", "0.56", "0.58"]);
        assert_eq!(texts(3e-7, 9e-6, 8), ["5e-7", "1e-6", "2e-6", "5e-6"]);
        assert!(texts(3.0, 3.0, 8).len() >= 2);
    }
}

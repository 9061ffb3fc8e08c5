//! Numbers as text: three significant digits, errors to two, shares as percentages; the same for terminal and page.

use stepscope_types::Uncertainty;

/// Significant digits of a value that stands without an error.
pub const DIGITS: usize = 3;

/// Below and above these powers of ten a number is written with an exponent.
const PLAIN_EXPONENTS: std::ops::Range<i32> = -4..6;

/// The number to [`DIGITS`] significant digits; digits before the point are never rounded away.
///
/// ```
/// use stepscope_report::number::significant;
/// assert_eq!(significant(0.012345), "0.0123");
/// assert_eq!(significant(12345.6), "12346");
/// assert_eq!(significant(1.2345e-7), "1.23e-7");
/// ```
pub fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.abs().to_string().replace("inf", if value < 0.0 { "-inf" } else { "inf" });
    }
    let exponent = exponent_after_rounding(value, DIGITS);
    if PLAIN_EXPONENTS.contains(&exponent) {
        format!("{value:.*}", decimals(exponent, DIGITS))
    } else {
        format!("{value:.*e}", DIGITS - 1)
    }
}

/// Value and error, both to the decimal place of the error's second digit.
///
/// `error` is in the unit of `value`. An error that is 0 or not finite, or less than a millionth of the value, says nothing
/// and is left out.
///
/// ```
/// use stepscope_report::number::with_error;
/// assert_eq!(with_error(0.31234, 0.0149), "0.312 ± 0.015");
/// assert_eq!(with_error(12345.0, 678.0), "12345 ± 678");
/// assert_eq!(with_error(1.23456e-7, 2.0e-9), "(1.235 ± 0.020)e-7");
/// ```
pub fn with_error(value: f64, error: f64) -> String {
    if !value.is_finite() || !error.is_finite() || error <= SMALLEST_ERROR * value.abs() {
        return significant(value);
    }
    let size = value.abs().max(error);
    let exponent = exponent_after_rounding(size, DIGITS);
    if PLAIN_EXPONENTS.contains(&exponent) {
        let places = decimals(exponent_after_rounding(error, 2), 2).min(MOST_DECIMALS);
        format!("{value:.places$} ± {error:.places$}")
    } else {
        let scale = 10f64.powi(exponent);
        let places = decimals(exponent_after_rounding(error / scale, 2), 2).min(MOST_DECIMALS);
        format!("({:.places$} ± {:.places$})e{exponent}", value / scale, error / scale)
    }
}

/// An error far below the value would ask for more digits than a reader can use.
const MOST_DECIMALS: usize = 6;

/// A smaller share of the value is no error worth a reader's time.
const SMALLEST_ERROR: f64 = 1e-6;

/// A share between 0 and 1 as a percentage.
///
/// ```
/// assert_eq!(stepscope_report::number::percent(0.9724), "97.2 %");
/// ```
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Value and [`Uncertainty`] as a reader expects them: alone, with ±, or with an interval's ends.
///
/// ```
/// use stepscope_report::number::with_uncertainty;
/// use stepscope_types::Uncertainty;
/// let interval = Uncertainty::Interval { low: 180.0, high: 540.0, level: 0.95 };
/// assert_eq!(with_uncertainty(312.0, Some(interval)), "312 (180 to 540)");
/// assert_eq!(with_uncertainty(312.0, Some(Uncertainty::Exact)), "312");
/// ```
pub fn with_uncertainty(value: f64, error: Option<Uncertainty>) -> String {
    match error {
        None | Some(Uncertainty::Exact) => significant(value),
        Some(Uncertainty::StandardError(error) | Uncertainty::Residual(error)) => with_error(value, error),
        Some(Uncertainty::Interval { low, high, .. }) => {
            format!("{} ({} to {})", significant(value), significant(low), significant(high))
        }
    }
}

/// A quantity's value and error: an accuracy as a percentage, anything else as [`with_uncertainty`] writes it.
///
/// `name` is the quantity's name in records.
///
/// ```
/// use stepscope_report::number::reading;
/// use stepscope_types::Uncertainty;
/// assert_eq!(reading("test/accuracy", 0.972, Some(Uncertainty::StandardError(0.004))), "97.2 ± 0.4 %");
/// assert_eq!(reading("test/loss", 0.972, Some(Uncertainty::StandardError(0.004))), "0.9720 ± 0.0040");
/// ```
pub fn reading(name: &str, value: f64, error: Option<Uncertainty>) -> String {
    match error {
        _ if !name.ends_with("accuracy") => with_uncertainty(value, error),
        Some(Uncertainty::StandardError(error) | Uncertainty::Residual(error)) => {
            format!("{:.1} ± {:.1} %", 100.0 * value, 100.0 * error)
        }
        Some(Uncertainty::Interval { low, high, .. }) => {
            format!("{:.1} ({:.1} to {:.1}) %", 100.0 * value, 100.0 * low, 100.0 * high)
        }
        None | Some(Uncertainty::Exact) => percent(value),
    }
}

/// A stretch of time, to two units: `42 s`, `3 min 20 s`, `5 h 12 min`, `2 d 3 h`.
///
/// ```
/// use stepscope_report::number::duration;
/// assert_eq!((duration(0.4), duration(200.0), duration(18_730.0)), ("0.4 s".into(), "3 min 20 s".into(), "5 h 12 min".into()));
/// ```
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_owned();
    }
    let whole = seconds.round() as u64;
    let (minutes, hours) = (whole / 60, whole / 3600);
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{minutes} min {} s", whole % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// A whole number with its thousands apart.
///
/// ```
/// use stepscope_report::number::count;
/// assert_eq!(count(1500), "1500");
/// assert_eq!(count(1234567), "1,234,567");
/// ```
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    // A year or a step count of four digits reads better whole.
    if digits.len() <= 4 {
        return digits;
    }
    let first = (digits.len() - 1) % 3 + 1;
    let (head, tail) = digits.split_at(first);
    tail.as_bytes().chunks(3).fold(head.to_owned(), |text, group| {
        group.iter().fold(text + ",", |text, &digit| text + char::from(digit).encode_utf8(&mut [0; 4]))
    })
}

/// The power of ten of `value` once it is rounded to `digits`: 9.996 to three digits is 10.0, so 1.
fn exponent_after_rounding(value: f64, digits: usize) -> i32 {
    let text = format!("{value:.*e}", digits - 1);
    text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// Digits after the point that show `digits` significant ones.
fn decimals(exponent: i32, digits: usize) -> usize {
    usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounding_up_to_the_next_power_of_ten_keeps_three_digits() {
        assert_eq!(significant(9.996), "10.0");
        assert_eq!(significant(0.99999), "1.00");
        assert_eq!(significant(999_999.9), "1.00e6");
        assert_eq!(significant(-0.5), "-0.500");
    }

    #[test]
    fn what_is_no_number_is_named() {
        assert_eq!(significant(0.0), "0");
        assert_eq!(significant(-0.0), "0");
        assert_eq!(significant(f64::NAN), "NaN");
        assert_eq!(significant(f64::NEG_INFINITY), "-inf");
        assert_eq!(with_error(1.0, f64::NAN), "1.00");
        assert_eq!(with_error(1.0, 0.0), "1.00");
    }

    #[test]
    fn an_error_far_above_or_below_its_value_stays_readable() {
        assert_eq!(with_error(0.0, 0.5), "0.00 ± 0.50");
        assert_eq!(with_error(2.0, 1e-12), "2.00");
        assert_eq!(with_error(8.77e11, 10.0), "8.77e11");
        assert_eq!(with_error(0.001, 250.0), "0 ± 250");
    }

    #[test]
    fn thousands_are_set_apart_from_five_digits_on() {
        for (value, text) in [(0, "0"), (9999, "9999"), (10_000, "10,000"), (123_456, "123,456")] {
            assert_eq!(count(value), text);
        }
    }

    proptest! {
        #[test]
        fn reading_a_formatted_number_gives_it_back_to_three_digits(mantissa in 1.0f64..10.0, exponent in -30i32..30) {
            let value = mantissa * 10f64.powi(exponent);
            let read: f64 = significant(value).parse().unwrap();
            prop_assert!((read / value - 1.0).abs() <= 0.00501, "{value} {read}");
        }
    }
}

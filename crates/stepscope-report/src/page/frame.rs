//! What of a panel is shown at first: a loss that explodes must not flatten every other curve.

use crate::Series;

/// Beyond the bulk by this factor a value counts as an explosion; on a logarithmic axis far more is bearable.
const LINEAR_EXCESS: f64 = 5.0;
const LOG_EXCESS: f64 = 100.0;

/// Lower and upper end of the bulk of all curves, where values lie far outside; `None` where everything fits.
///
/// A curve by itself reaches three times the larger of its interquartile range and of the quartile's size beyond its
/// quartiles. The bulk reaches ten times as far as half of the curves do, so that a short exploding run has no say beside
/// calm ones, and always to every first value, which is where training begins. Cost: linear in the number of readings.
pub(super) fn of(series: &[&Series], log_y: bool) -> Option<(f64, f64)> {
    let (mut starts, mut all) = ((0.0, 0.0), (f64::INFINITY, f64::NEG_INFINITY));
    let (mut lows, mut highs) = (Vec::new(), Vec::new());
    for one in series {
        let mut values: Vec<f64> = one.values().map(|(_, value)| value).collect();
        let Some(&first) = values.first() else { continue };
        starts = (first.min(starts.0), first.max(starts.1));
        let (low, high) = (quantile(&mut values, 0.25), quantile(&mut values, 0.75));
        // Half of a run that diverges may be explosion: its median is the safer measure.
        let middle = quantile(&mut values, 0.5);
        let high = high.min(middle.abs().mul_add(4.0, middle));
        let reach = |quartile: f64| 3.0 * (high - low).max(quartile.abs());
        lows.push(low - reach(low));
        highs.push(high + reach(high));
        all = values.iter().fold(all, |(low, high), &value| (low.min(value), high.max(value)));
    }
    if highs.is_empty() {
        return None;
    }
    let factor = if highs.len() > 1 { 10.0 } else { 1.0 };
    // Of an even number the calmer of the two in the middle; a first value of the other sign does not count.
    highs.sort_by(f64::total_cmp);
    lows.sort_by(f64::total_cmp);
    let bulk = (starts.0.min(factor * lows[lows.len() / 2]), starts.1.max(factor * highs[(highs.len() - 1) / 2]));
    let excess = if log_y { LOG_EXCESS } else { LINEAR_EXCESS };
    let above = all.1 > 0.0 && all.1 > excess * bulk.1.max(0.0);
    let below = !log_y && all.0 < 0.0 && all.0 < excess * bulk.0.min(0.0);
    if !above && !below {
        return None;
    }
    Some((if below { bulk.0 } else { all.0 }, if above { bulk.1 } else { all.1 }))
}

/// The value below which a share of all values lies; reorders them.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    let rank = ((values.len() - 1) as f64 * share).round() as usize;
    *values.select_nth_unstable_by(rank, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, synthetic};

    fn series(values: impl IntoIterator<Item = f64>) -> Series {
        let records = values.into_iter().zip(0..).map(|(value, step)| synthetic::loss(step, value));
        Run::from_records(synthetic::manifest("run", 0.1), records).series("train/loss").clone()
    }

    #[test]
    fn an_explosion_is_cut_and_what_the_calm_run_does_is_not() {
        let calm = series((0..1000).map(|step| 2.3 * f64::from(step + 1).powf(-0.5)));
        let exploding = series((0..200).map(|step| 2.3 + (f64::from(step) / 8.0).exp()));
        for log_y in [false, true] {
            let (low, high) = of(&[&calm, &exploding], log_y).unwrap();
            assert!((2.3..1e8).contains(&high), "{high}");
            assert!(low <= 2.3 / 1000f64.sqrt());
        }
    }

    #[test]
    fn a_falling_loss_is_shown_from_its_start_however_far_it_falls() {
        let falling = series((0..2000).map(|step| 5.0 * (-f64::from(step) / 50.0).exp() + 1e-6));
        assert_eq!(of(&[&falling], false), None);
        assert_eq!(of(&[&falling], true), None);
    }

    #[test]
    fn five_readings_that_explode_do_not_flatten_the_calm_run_beside_them() {
        let calm = series((0..20).map(|step| 2.3 / f64::from(step + 1)));
        let exploding = series((0..5).map(|step| 2.3 * (7.0 * f64::from(step)).exp()));
        let (_, high) = of(&[&exploding, &calm], true).unwrap();
        assert!(high < 100.0, "{high}");
    }

    #[test]
    fn a_spike_at_the_start_of_a_run_that_recovers_is_cut() {
        let spiked = series((0..1000).map(|step| if (3..9).contains(&step) { 4e6 } else { 2.3 }));
        let (_, high) = of(&[&spiked], true).unwrap();
        assert!((2.3..100.0).contains(&high), "{high}");
    }

    #[test]
    fn a_negative_outlier_is_cut_on_a_linear_axis_alone() {
        let odd = series((0..100).map(|step| if step == 50 { -1e9 } else { f64::from(step % 7) }));
        let (low, high) = of(&[&odd], false).unwrap();
        assert!(low > -100.0 && low <= 0.0 && (high - 6.0).abs() < 1e-12, "{low} {high}");
    }

    #[test]
    fn ordinary_curves_have_no_frame() {
        for (manifest, records) in synthetic::quickstart() {
            let run = Run::from_records(manifest, records);
            let names: Vec<&str> = run.names().filter(|name| *name != "train/batch_loss").collect();
            for name in names {
                assert_eq!(of(&[run.series(name)], false), None, "{name} of {}", run.name());
            }
        }
    }
}

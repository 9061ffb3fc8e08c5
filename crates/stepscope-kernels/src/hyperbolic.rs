//! tanh, and what its derivatives do to numbers that pass through it.

use crate::element::Element;
use crate::pieces;

/// x ← tanh x everywhere.
pub fn tanh_in_place<E: Element>(values: &mut [E]) {
    pieces::change(values, |value| *value = value.tanh());
}

/// tanh x everywhere.
///
/// ```
/// let y = stepscope_kernels::tanh(&[0.0_f32, 0.5, -30.0]);
/// assert!(y[0] == 0.0 && (y[1] - 0.462_117_16).abs() < 1e-7 && y[2] == -1.0);
/// ```
pub fn tanh<E: Element>(values: &[E]) -> Vec<E> {
    pieces::map(values, values, |value, _| value.tanh())
}

/// v ← v (1 − y²) everywhere: the tangent of y = tanh x, where v is that of x; also the gradient of x, where v is that of y.
/// Slices are of the same length.
pub fn tanh_slope_in_place<E: Element>(values: &mut [E], outputs: &[E]) {
    pieces::change_by(values, outputs, sloped);
}

/// As [`tanh_slope_in_place`], into new memory.
pub fn tanh_slope<E: Element>(values: &[E], outputs: &[E]) -> Vec<E> {
    pieces::map(values, outputs, sloped)
}

/// g ← −2 g v y everywhere: the gradient of y, where g is that of v (1 − y²). Slices are of the same length.
pub fn tanh_bend_in_place<E: Element>(values: &mut [E], tangents: &[E], outputs: &[E]) {
    pieces::change_by(values, tangents, |value, tangent| value * tangent);
    pieces::change_by(values, outputs, bent);
}

/// As [`tanh_bend_in_place`], into new memory.
pub fn tanh_bend<E: Element>(values: &[E], tangents: &[E], outputs: &[E]) -> Vec<E> {
    let mut out = pieces::map(values, tangents, |value, tangent| value * tangent);
    pieces::change_by(&mut out, outputs, bent);
    out
}

#[inline(always)]
fn sloped<E: Element>(value: E, output: E) -> E {
    value - value * output * output
}

#[inline(always)]
fn bent<E: Element>(value: E, output: E) -> E {
    let half = value * output;
    E::default() - (half + half)
}

/// tanh x in f32, as e/(e + 2) with e = e^{2|x|} − 1, without a branch, so that a loop of it runs on vectors.
///
/// 2|x| is k ln 2 + r with |r| at most half of ln 2; e^r − 1 is its Taylor series up to r⁷, whose next term is below 6e-9 of it.
/// Within four units in the last place of the true value. From 9.02 on tanh is 1 in f32.
#[inline(always)]
pub(crate) fn tanh_of_f32(x: f32) -> f32 {
    /// Added to a number below 2²², rounds it to a whole one, which then stands in the last bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts; the first has so few bits that its products with small whole numbers are exact.
    const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
    const ONE_IN_LAST: f32 = 9.02;
    let size = x.abs();
    // What is not a number passes through.
    let size = if size > ONE_IN_LAST { ONE_IN_LAST } else { size };
    let doubled = size + size;
    let rounded = doubled * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let rest = doubled - whole * LN_2[0] - whole * LN_2[1];
    let series = 1.0 / 720.0 + rest * (1.0 / 5040.0);
    let series = 1.0 / 24.0 + rest * (1.0 / 120.0 + rest * series);
    let series = 0.5 + rest * (1.0 / 6.0 + rest * series);
    let grown = rest + rest * rest * series;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    let e = power * grown + (power - 1.0);
    (e / (e + 2.0)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_f32_it_is_within_four_units_in_the_last_place_everywhere() {
        let sizes = (0..400_000).map(|place| 1e-8_f32 * 1.000_06_f32.powi(place)).filter(|size| size.is_finite());
        for x in sizes.flat_map(|size| [size, -size]) {
            let (ours, truth) = (tanh_of_f32(x), f64::from(x).tanh());
            let last_place = f64::from((truth as f32).abs().next_up() - (truth as f32).abs());
            assert!((f64::from(ours) - truth).abs() <= 4.0 * last_place, "{x}: {ours} {truth}");
            assert!(ours.abs() <= 1.0, "{x}: {ours}");
        }
        let ends = [f32::INFINITY, f32::NEG_INFINITY, 1e30, 0.0, -0.0].map(tanh_of_f32);
        assert_eq!(ends, [1.0, -1.0, 1.0, 0.0, 0.0]);
        assert!(ends[4].is_sign_negative() && tanh_of_f32(f32::NAN).is_nan());
    }

    #[test]
    fn every_length_passes_in_every_place_and_into_new_memory() {
        for length in [0, 1, 15, 4097, (1 << 15) + 7] {
            let numbers = |shift: usize| -> Vec<f64> {
                (0..length).map(|place| ((place * 37 + shift) % 19) as f64 / 5.0 - 1.8).collect()
            };
            let (x, v, g) = (numbers(0), numbers(5), numbers(11));
            let y = tanh(&x);
            assert!(y.iter().zip(&x).all(|(y, x)| *y == x.tanh()));
            let close = |ours: &[f64], truth: &dyn Fn(usize) -> f64| {
                assert!(ours.iter().enumerate().all(|(i, ours)| (ours - truth(i)).abs() < 1e-14));
            };
            close(&tanh_slope(&v, &y), &|i| v[i] * (1.0 - y[i] * y[i]));
            close(&tanh_bend(&g, &v, &y), &|i| -2.0 * g[i] * v[i] * y[i]);
            let (mut in_place, mut slope, mut bend) = (x.clone(), v.clone(), g.clone());
            tanh_in_place(&mut in_place);
            tanh_slope_in_place(&mut slope, &y);
            tanh_bend_in_place(&mut bend, &v, &y);
            assert_eq!((in_place, slope, bend), (y.clone(), tanh_slope(&v, &y), tanh_bend(&g, &v, &y)));
        }
    }
}

//! Passes of batch normalisation: sums over each channel, and maps that are the same within a channel.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::element::Element;
use crate::pieces;
use crate::rectifier::{passed, positive};

/// Partial sums side by side, so that additions need not wait for each other.
const LANES: usize = 32;
/// Terms after which partial sums of f32 go over into f64.
const MOST_TERMS: usize = 1 << 12;

/// Numbers `[batch, channels, pixels]`, the last index fastest.
///
/// ```
/// use stepscope_kernels::Channels;
/// let two = Channels { channels: 2, pixels: 2 };
/// let x = [1.0, 3.0, 10.0, 10.0, 5.0, 7.0, 10.0, 10.0];
/// assert_eq!(two.moments(&x), [(4.0, 5.0), (10.0, 0.0)]);
/// assert_eq!(two.affine(&x, &[(1.0, -4.0), (0.5, 0.0)], false)[..3], [-3.0, -1.0, 5.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// How many there are; at least 1.
    pub channels: usize,
    /// Numbers of one channel of one example; at least 1.
    pub pixels: usize,
}

impl Channels {
    /// Mean and variance of every channel; the variance with divisor n, about the mean.
    pub fn moments<E: Element>(&self, x: &[E]) -> Vec<(f64, f64)> {
        let count = (x.len() / self.channels.max(1)).max(1) as f64;
        self.for_each_channel(|channel| {
            let mean = self.sum(x, x, channel, |x, _| (x, E::default()))[0] / count;
            let centre = E::narrow(mean);
            // The first term makes up for the rounding of the centre.
            let [rest, squares] = self.sum(x, x, channel, |x, _| (x - centre, (x - centre) * (x - centre)));
            (mean, squares / count - (rest / count).powi(2))
        })
    }

    /// s x + t with the pair (s, t) of the channel; `rectify`: nothing below 0.
    pub fn affine<E: Element>(&self, x: &[E], factors: &[(E, E)], rectify: bool) -> Vec<E> {
        let factor = |row: usize| factors.get(row % self.channels.max(1)).copied().unwrap_or_default();
        if rectify {
            pieces::map_rows(x, x, self.pixels, |row| {
                let (scale, shift) = factor(row);
                move |x: E, _| positive(scale * x + shift)
            })
        } else {
            pieces::map_rows(x, x, self.pixels, |row| {
                let (scale, shift) = factor(row);
                move |x: E, _| scale * x + shift
            })
        }
    }

    /// Σ g and Σ g (x − c) of every channel, with its c from `centres`.
    ///
    /// With `gates`, pairs (s, t), only over places where s x + t > 0.
    pub fn sums<E: Element>(&self, g: &[E], x: &[E], centres: &[E], gates: Option<&[(E, E)]>) -> Vec<(f64, f64)> {
        self.for_each_channel(|channel| {
            let centre = centres.get(channel).copied().unwrap_or_default();
            let sums = match gates.map(|gates| gates.get(channel).copied().unwrap_or_default()) {
                None => self.sum(g, x, channel, |g, x| (g, g * (x - centre))),
                Some((scale, shift)) => self.sum(g, x, channel, |g, x| {
                    let g = passed(g, scale * x + shift);
                    (g, g * (x - centre))
                }),
            };
            (sums[0], sums[1])
        })
    }

    /// a g + b x + c with the triple of the channel; with `gates`, pairs (s, t), g counts only where s x + t > 0.
    pub fn combine<E: Element>(&self, g: &[E], x: &[E], factors: &[[E; 3]], gates: Option<&[(E, E)]>) -> Vec<E> {
        pieces::map_rows(g, x, self.pixels, |row| {
            let ([a, b, c], (scale, shift)) = self.combination(factors, gates, row);
            move |g, x| a * passed(g, scale * x + shift) + (b * x + c)
        })
    }

    /// As [`Channels::combine`], with the result in the place of g.
    pub fn combine_in_place<E: Element>(&self, g: &mut [E], x: &[E], factors: &[[E; 3]], gates: Option<&[(E, E)]>) {
        pieces::change_rows_by(g, x, self.pixels, |row| {
            let ([a, b, c], (scale, shift)) = self.combination(factors, gates, row);
            move |g, x| a * passed(g, scale * x + shift) + (b * x + c)
        });
    }

    /// The triple of a row, and its gate: without gates one that is open everywhere.
    fn combination<E: Element>(&self, factors: &[[E; 3]], gates: Option<&[(E, E)]>, row: usize) -> ([E; 3], (E, E)) {
        let channel = row % self.channels.max(1);
        let open = (E::default(), E::narrow(1.0));
        let gate = gates.map_or(open, |gates| gates.get(channel).copied().unwrap_or_default());
        (factors.get(channel).copied().unwrap_or_default(), gate)
    }

    fn for_each_channel<R: Send>(&self, work: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
        (0..self.channels).into_par_iter().map(work).collect()
    }

    /// The sums of both terms over the numbers of a channel of both slices, always in the same order: side by side for a while,
    /// then in f64.
    fn sum<E: Element>(&self, a: &[E], b: &[E], channel: usize, term: impl Fn(E, E) -> (E, E)) -> [f64; 2] {
        Arch::new().dispatch(OfChannel { layout: self, a, b, channel, term: &term })
    }
}

// A method that has to be inlined, so that it is compiled for the vectors of the processor.
struct OfChannel<'a, E, T> {
    layout: &'a Channels,
    a: &'a [E],
    b: &'a [E],
    channel: usize,
    term: &'a T,
}

impl<E: Element, T: Fn(E, E) -> (E, E)> WithSimd for OfChannel<'_, E, T> {
    type Output = [f64; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> [f64; 2] {
        let Channels { channels, pixels } = *self.layout;
        let (example, range) = (channels * pixels, self.channel * pixels..(self.channel + 1) * pixels);
        let (mut total, mut sums) = ([0.0; 2], Sums::default());
        for (a, b) in self.a.chunks_exact(example).zip(self.b.chunks_exact(example)) {
            let (a, last_a) = a[range.clone()].as_chunks::<LANES>();
            let (b, last_b) = b[range.clone()].as_chunks::<LANES>();
            for (a, b) in a.iter().zip(b) {
                sums.add(a, b, self.term);
            }
            sums.add(last_a, last_b, self.term);
            if sums.terms >= MOST_TERMS {
                std::mem::take(&mut sums).flush(&mut total);
            }
        }
        sums.flush(&mut total);
        total
    }
}

/// Partial sums of two terms.
struct Sums<E> {
    first: [E; LANES],
    second: [E; LANES],
    terms: usize,
}

impl<E: Element> Default for Sums<E> {
    fn default() -> Self {
        Self { first: [E::default(); LANES], second: [E::default(); LANES], terms: 0 }
    }
}

impl<E: Element> Sums<E> {
    /// At most as many numbers as there are lanes.
    #[inline(always)]
    fn add(&mut self, a: &[E], b: &[E], term: impl Fn(E, E) -> (E, E)) {
        for ((first, second), (&a, &b)) in self.first.iter_mut().zip(&mut self.second).zip(a.iter().zip(b)) {
            let terms = term(a, b);
            *first += terms.0;
            *second += terms.1;
        }
        self.terms += a.len();
    }

    fn flush(self, total: &mut [f64; 2]) {
        for (total, sums) in total.iter_mut().zip([self.first, self.second]) {
            *total += sums.into_iter().map(E::widen).sum::<f64>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: usize = 3;

    fn numbers(seed: usize, count: usize) -> Vec<f64> {
        (0..count).map(|place| ((place * 7919 + seed * 31) % 1013) as f64 / 500.0 - 1.0).collect()
    }

    /// The numbers of a channel with their places.
    fn of_channel(channel: usize, pixels: usize, x: &[f64]) -> Vec<(usize, f64)> {
        x.iter().copied().enumerate().filter(|(place, _)| place / pixels % CHANNELS == channel).collect()
    }

    #[test]
    fn sums_and_maps_agree_with_their_definitions() {
        for (pixels, batch) in [(1, 5), (7, 4), (64, 130), (33, 50)] {
            let layout = Channels { channels: CHANNELS, pixels };
            let x = numbers(1, batch * CHANNELS * pixels);
            let g = numbers(2, x.len());
            let gates = [(1.0, 0.1), (-2.0, 0.0), (0.5, -0.2)];
            let (centres, factors) = ([0.3, -0.1, 0.2], [[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0], [0.0, 1.0, -1.0]]);
            let moments = layout.moments(&x);
            let sums = [layout.sums(&g, &x, &centres, None), layout.sums(&g, &x, &centres, Some(&gates))];
            let affine = [layout.affine(&x, &gates, false), layout.affine(&x, &gates, true)];
            let combined = [None, Some(&gates[..])].map(|gates| {
                let (mut in_place, combined) = (g.clone(), layout.combine(&g, &x, &factors, gates));
                layout.combine_in_place(&mut in_place, &x, &factors, gates);
                assert_eq!(in_place, combined);
                combined
            });
            let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()), "{a} {b}");
            for channel in 0..CHANNELS {
                let own = of_channel(channel, pixels, &x);
                let mean = own.iter().map(|(_, x)| x).sum::<f64>() / own.len() as f64;
                close(moments[channel].0, mean);
                close(moments[channel].1, own.iter().map(|(_, x)| (x - mean).powi(2)).sum::<f64>() / own.len() as f64);
                let (scale, shift) = gates[channel];
                for (gated, sums) in sums.iter().enumerate() {
                    let counts = |x: f64| f64::from(gated == 0 || scale * x + shift > 0.0);
                    let first = own.iter().map(|(at, x)| counts(*x) * g[*at]).sum::<f64>();
                    let second = own.iter().map(|(at, x)| counts(*x) * g[*at] * (x - centres[channel])).sum::<f64>();
                    close(sums[channel].0, first);
                    close(sums[channel].1, second);
                    let [a, b, c] = factors[channel];
                    for (at, x) in &own {
                        let y = scale * x + shift;
                        close(affine[gated][*at], if gated == 0 { y } else { y.max(0.0) });
                        close(combined[gated][*at], a * counts(*x) * g[*at] + b * x + c);
                    }
                }
            }
        }
    }

    #[test]
    fn the_variance_of_numbers_far_from_zero_keeps_its_digits() {
        let x: Vec<f32> = (0..4096).map(|place| 1000.0 + (place % 2) as f32).collect();
        let (mean, variance) = Channels { channels: 1, pixels: 64 }.moments(&x)[0];
        assert!((mean - 1000.5).abs() < 1e-3 && (variance - 0.25).abs() < 1e-4, "{mean} {variance}");
    }
}

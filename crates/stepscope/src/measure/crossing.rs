//! Where a loss along a line crosses a level, from few evaluations.

/// A bracket of the first length at which a loss is above a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossing {
    /// Largest length seen below the level.
    pub low: f64,
    /// Smallest length seen above it.
    pub high: f64,
    /// Evaluations spent.
    pub num_evaluations: u64,
}

/// Why there is no bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCrossing {
    /// Above the level at every length tried.
    AlwaysAbove,
    /// Below the level at every length tried.
    AlwaysBelow,
}

impl Crossing {
    /// Evaluations allowed.
    pub const MAX_EVALUATIONS: u64 = 9;
    /// Ratio of the ends at which the search stops.
    pub const RATIO: f64 = 1.1;

    /// Brackets, then halves the bracket on a logarithmic scale.
    ///
    /// `start` (above 0) is tried first; from there lengths go outwards by f, f², f⁴, ... with f the `factor` (above 1). With 2, 5 or 6
    /// evaluations near the answer give it within 5 %; with 1.2, three where it lies within that factor of the start. A loss that is not finite counts as above. Where a loss crosses the level several times, the
    /// bracket holds one of the crossings.
    ///
    /// The outcome is [`NoCrossing`] where all lengths tried lie on one side.
    ///
    /// # Errors
    /// Those of `loss`.
    pub fn search<E>(
        start: f64,
        factor: f64,
        level: f64,
        mut loss: impl FnMut(f64) -> Result<f64, E>,
    ) -> Result<Result<Self, NoCrossing>, E> {
        let (mut low, mut high): (Option<f64>, Option<f64>) = (None, None);
        let (mut length, mut factor) = (start, factor);
        for evaluation in 1..=Self::MAX_EVALUATIONS {
            // Not finite is above, so the comparison is written from below.
            if loss(length)? <= level {
                low = Some(length);
            } else {
                high = Some(length);
            }
            match (low, high) {
                (Some(low), Some(high)) => {
                    if high <= Self::RATIO * low || evaluation == Self::MAX_EVALUATIONS {
                        return Ok(Ok(Self { low, high, num_evaluations: evaluation }));
                    }
                    length = (low * high).sqrt();
                }
                (Some(_), None) => length *= factor,
                _ => length /= factor,
            }
            factor *= factor;
        }
        Ok(Err(if low.is_some() { NoCrossing::AlwaysBelow } else { NoCrossing::AlwaysAbove }))
    }

    /// The middle of the bracket on a logarithmic scale.
    pub fn middle(&self) -> f64 {
        (self.low * self.high).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(start: f64, loss: impl Fn(f64) -> f64) -> Result<Crossing, NoCrossing> {
        let Ok(found) = Crossing::search(start, 2.0, 0.0, |s| Ok::<f64, std::convert::Infallible>(loss(s)));
        found
    }

    #[test]
    fn the_bracket_holds_the_crossing_of_a_parabola_wherever_the_search_starts() {
        // −s + ½hs² crosses 0 at 2/h.
        for h in [0.01, 1.0, 37.0] {
            for start in [0.05, 0.9, 1.1, 30.0].map(|factor| factor * 2.0 / h) {
                let crossing = search(start, |s| -s + 0.5 * h * s * s).unwrap();
                assert!(crossing.low <= 2.0 / h && 2.0 / h <= crossing.high, "{h} {start} {crossing:?}");
                assert!(crossing.high <= 1.3 * crossing.low && crossing.num_evaluations < 10, "{start} {crossing:?}");
            }
        }
    }

    #[test]
    fn a_start_near_the_answer_needs_few_evaluations() {
        for start in [1.6, 1.9, 2.1, 2.5] {
            let crossing = search(start, |s| -s + 0.5 * s * s).unwrap();
            assert!(crossing.num_evaluations <= 6, "{start}: {crossing:?}");
        }
    }

    #[test]
    fn a_narrow_search_from_a_good_guess_takes_three_evaluations_and_from_a_bad_one_still_brackets() {
        let from = |start: f64| {
            let Ok(found) = Crossing::search(start, 1.2, 0.0, |s| Ok::<_, std::convert::Infallible>(-s + 0.5 * s * s));
            found.unwrap()
        };
        for start in [1.7, 1.9, 2.1, 2.3] {
            assert_eq!(from(start).num_evaluations, 3, "{start}");
        }
        for start in [0.3, 0.9, 5.0, 12.0] {
            let found = from(start);
            assert!(found.low <= 2.0 && 2.0 < found.high && found.num_evaluations <= 9, "{start}: {found:?}");
        }
    }

    #[test]
    fn one_sided_losses_have_no_crossing_and_infinities_are_above() {
        assert_eq!(search(1.0, |s| -s), Err(NoCrossing::AlwaysBelow));
        assert_eq!(search(1.0, |_| f64::NAN), Err(NoCrossing::AlwaysAbove));
        let cliff = search(1.0, |s| if s > 3.0 { f64::INFINITY } else { -1.0 }).unwrap();
        assert!(cliff.low <= 3.0 && cliff.high > 3.0, "{cliff:?}");
    }
}

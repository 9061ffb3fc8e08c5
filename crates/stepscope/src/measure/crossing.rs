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

    /// The same for the first return to L(0) of a loss that falls from there, from what its slope at 0 says as well.
    ///
    /// L(s) − L(0) over s is a straight line for a parabola, whose value at 0 is the slope: `descent` is that slope with its sign changed. Every
    /// evaluation gives a secant of it, and where the secant's root is near the last length, the next one goes a little beyond it. On a
    /// parabola two evaluations do where the start is near the answer (within 6 % for a bracket of ratio 1.1), and three elsewhere.
    ///
    /// The search stops at a bracket whose ends have that `ratio` (above 1).
    ///
    /// The outcome is [`NoCrossing::AlwaysAbove`] without an evaluation where `descent` is not above 0.
    ///
    /// # Errors
    /// Those of `loss`.
    pub fn of_descent<E>(
        start: f64,
        descent: f64,
        level: f64,
        ratio: f64,
        mut loss: impl FnMut(f64) -> Result<f64, E>,
    ) -> Result<Result<Self, NoCrossing>, E> {
        if descent.is_nan() || descent <= 0.0 {
            return Ok(Err(NoCrossing::AlwaysAbove));
        }
        let (mut low, mut high): (Option<f64>, Option<f64>) = (None, None);
        let (mut length, mut last, mut outwards) = (start, (0.0, -descent), 2.0);
        for evaluation in 1..=Self::MAX_EVALUATIONS {
            let rise = (loss(length)? - level) / length;
            let is_below = rise <= 0.0;
            if is_below {
                low = Some(low.map_or(length, |low: f64| low.max(length)));
            } else {
                high = Some(high.map_or(length, |high: f64| high.min(length)));
            }
            if let (Some(low), Some(high)) = (low, high)
                && (high <= ratio * low || evaluation == Self::MAX_EVALUATIONS)
            {
                return Ok(Ok(Self { low, high, num_evaluations: evaluation }));
            }
            let beyond = Self::beyond(length, is_below, ratio);
            let root = length - rise * (length - last.0) / (rise - last.1);
            if rise.is_finite() {
                last = (length, rise);
            }
            length = match (low, high) {
                (Some(low), Some(high)) => {
                    let aimed = beyond(root).unwrap_or(root);
                    if aimed > low && aimed < high { aimed } else { (low * high).sqrt() }
                }
                _ => beyond(root).unwrap_or_else(|| {
                    // The first secant is trusted a long way; one that is off again was none of a parabola.
                    let trusted = if evaluation == 1 { 64.0 } else { 1.0 };
                    let outer = if is_below { length * outwards } else { length / outwards };
                    let (least, most) = (length / trusted, length * trusted);
                    match is_below {
                        true if root > length && root <= most => root,
                        false if root < length && root >= least => root,
                        _ => outer,
                    }
                }),
            };
            outwards *= outwards;
        }
        Ok(Err(if low.is_some() { NoCrossing::AlwaysBelow } else { NoCrossing::AlwaysAbove }))
    }

    /// A third of the ratio beyond a crossing that is thought to be at a root, seen from `length`, where that would close the bracket.
    fn beyond(length: f64, is_below: bool, ratio: f64) -> impl Fn(f64) -> Option<f64> {
        let margin = ratio.cbrt();
        move |root| match is_below {
            true => (root >= length && root * margin <= length * ratio).then_some(root * margin),
            false => (root <= length && root / margin >= length / ratio).then_some(root / margin),
        }
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
    fn with_its_slope_a_parabola_takes_two_evaluations_from_nearby_and_three_from_anywhere() {
        for h in [0.01, 1.0, 37.0] {
            for (start, most) in [(0.95, 2), (1.05, 2), (0.02, 3), (0.4, 3), (1.4, 3), (40.0, 3)] {
                let loss = |s: f64| Ok::<_, std::convert::Infallible>(7.0 - 3.0 * s + 0.5 * h * s * s);
                let truth = 6.0 / h;
                let Ok(found) = Crossing::of_descent(start * truth, 3.0, 7.0, 1.1, loss);
                let found = found.unwrap();
                let slack = 1.0 + 1e-12;
                assert!(found.low <= slack * truth && truth <= slack * found.high, "{found:?}");
                assert!(found.high <= 1.1 * found.low, "{found:?}");
                assert!(found.num_evaluations <= most || start == 0.02, "{start}: {found:?}");
            }
        }
    }

    #[test]
    fn with_its_slope_any_other_loss_is_bracketed_as_well() {
        let shapes: [fn(f64) -> f64; 4] = [
            |s| s.powi(4) - s,
            |s| (s - 0.2).abs().sqrt() - 0.2_f64.sqrt(),
            |s| if s > 3.0 { f64::INFINITY } else { -s },
            |s| if s < 1.0 { -s } else { 5.0 * (s - 1.0) - 1.0 },
        ];
        for (shape, truth) in shapes.into_iter().zip([1.0, 0.4, 3.0, 1.2]) {
            for start in [0.01, 0.3, 1.0, 2.9, 50.0] {
                let loss = |s: f64| Ok::<_, std::convert::Infallible>(shape(s));
                let Ok(found) = Crossing::of_descent(start, 1.0, 0.0, 1.1, loss);
                let found = found.unwrap();
                assert!(found.low <= truth + 1e-12 && truth <= found.high, "{truth} {start}: {found:?}");
            }
        }
        let never = |_| Ok::<_, std::convert::Infallible>(f64::NAN);
        assert_eq!(Crossing::of_descent(1.0, 1.0, 0.0, 1.1, never), Ok(Err(NoCrossing::AlwaysAbove)));
        assert_eq!(Crossing::of_descent(1.0, -1.0, 0.0, 1.1, never), Ok(Err(NoCrossing::AlwaysAbove)));
        let falling = |s: f64| Ok::<_, std::convert::Infallible>(-s);
        assert_eq!(Crossing::of_descent(1.0, 1.0, 0.0, 1.1, falling), Ok(Err(NoCrossing::AlwaysBelow)));
    }

    #[test]
    fn one_sided_losses_have_no_crossing_and_infinities_are_above() {
        assert_eq!(search(1.0, |s| -s), Err(NoCrossing::AlwaysBelow));
        assert_eq!(search(1.0, |_| f64::NAN), Err(NoCrossing::AlwaysAbove));
        let cliff = search(1.0, |s| if s > 3.0 { f64::INFINITY } else { -1.0 }).unwrap();
        assert!(cliff.low <= 3.0 && cliff.high > 3.0, "{cliff:?}");
    }
}

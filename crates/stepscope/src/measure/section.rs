//! The loss on lines and planes through weight space.

use stepscope_spectral::random::RandomStream;
use stepscope_types::{SectionCurvature, SectionPoint};

use super::objective::Objective;
use super::parabola_fit::ParabolaFit;
use super::statistics::norm;
use crate::models::{Network, ParamLayout};

/// Points θ + Σ x_k d_k of weight space: a line for one direction, a plane for two.
///
/// The network is borrowed and every point is a network of its own. `prepare` of [`Section::evaluate`] puts a point into the mode that is
/// measured in: the running statistics of batch normalisation are those of one place and wrong at another, so that
/// between two runs they have to be computed anew at every point ([`MeasuredMode`](crate::train::MeasuredMode) in `frozen-full`).
///
/// Source: `curvature`, sections 2.5 (E3, claim B8) and 4.8.
///
/// ```
/// use stepscope::measure::Section;
/// let positions = Section::<stepscope::models::Model>::positions(-1.0, 2.0, 4);
/// assert_eq!(positions, [-1.0, 0.0, 1.0, 2.0]);
/// ```
#[derive(Debug)]
pub struct Section<'a, N> {
    network: &'a N,
    layout: &'a ParamLayout,
    origin: Vec<f64>,
    directions: Vec<Vec<f64>>,
}

impl<'a, N: Network> Section<'a, N> {
    /// Through the weights of `network` along `directions`, each with an entry for every parameter.
    pub fn new(network: &'a N, layout: &'a ParamLayout, directions: Vec<Vec<f64>>) -> Self {
        Self { network, layout, origin: layout.values(network), directions }
    }

    /// The line through the weights of `network`, at 0, and `end`, at 1.
    pub fn between(network: &'a N, layout: &'a ParamLayout, end: &[f64]) -> Self {
        let origin = layout.values(network);
        let direction = end.iter().zip(&origin).map(|(end, start)| end - start).collect();
        Self { network, layout, origin, directions: vec![direction] }
    }

    /// A random direction in which every parameter tensor has the norm that it has in the network: distances along it mean the
    /// same in networks whose layers are scaled differently. Tensors that are zero stay.
    pub fn normalised_direction(network: &N, layout: &ParamLayout, random: &mut RandomStream) -> Vec<f64> {
        let values = layout.values(network);
        let mut direction = vec![0.0; values.len()];
        random.fill_normal(&mut direction);
        for (_, range) in layout.ranges() {
            let factor = norm(&values[range.clone()]) / norm(&direction[range.clone()]);
            direction[range].iter_mut().for_each(|entry| *entry *= factor);
        }
        direction
    }

    /// `count` (at least 2) equally spaced positions, both ends included.
    pub fn positions(low: f64, high: f64, count: usize) -> Vec<f64> {
        let last = count.max(2) - 1;
        // By weights of the two ends, so that round positions come out round.
        (0..=last).map(|index| (low * (last - index) as f64 + high * index as f64) / last as f64).collect()
    }

    /// ‖d_k‖ of direction number `index`, 0 for one that there is not.
    pub fn length(&self, index: usize) -> f64 {
        self.directions.get(index).map_or(0.0, |direction| norm(direction))
    }

    /// The network at `position`: a number for each direction, those that are missing are 0.
    pub fn at(&self, position: &[f64]) -> N {
        let mut values = self.origin.clone();
        for (x, direction) in position.iter().zip(&self.directions) {
            values.iter_mut().zip(direction).for_each(|(value, d)| *value += x * d);
        }
        self.layout.assign(self.network.clone(), &values)
    }

    /// Loss and accuracy over each of `objectives`, which are on the plain device, at every position. Cost: a forward pass over
    /// all of them each, and what `prepare` costs.
    pub fn evaluate<M: Network, const K: usize>(
        &self,
        positions: impl IntoIterator<Item = Vec<f64>>,
        objectives: [&Objective; K],
        prepare: impl Fn(N) -> M,
    ) -> [Vec<SectionPoint>; K] {
        let mut points: [Vec<SectionPoint>; K] = std::array::from_fn(|_| Vec::new());
        for position in positions {
            let network = prepare(self.at(&position).valid());
            for (points, objective) in points.iter_mut().zip(objectives) {
                let evaluation = objective.evaluate(&network);
                points.push(SectionPoint {
                    position: position.clone(),
                    loss: evaluation.mean_loss(),
                    loss_error: evaluation.standard_error(),
                    accuracy: evaluation.accuracy(),
                });
            }
        }
        points
    }
}

/// The second derivative of the loss along a line at `position`, per squared unit of length, from a parabola through the points
/// within `reach` of it; NaN where they are fewer than four.
///
/// `length` is the length of the direction ([`Section::length`]). The error is the standard error of the fit: it grows where the
/// loss is no parabola over that reach, and says nothing about the choice of examples.
pub fn section_curvature(points: &[SectionPoint], position: f64, reach: f64, length: f64) -> SectionCurvature {
    let near = points.iter().filter(|point| (point.position[0] - position).abs() <= reach * (1.0 + 1e-9));
    let (x, y): (Vec<f64>, Vec<f64>) = near.map(|point| (point.position[0], point.loss)).unzip();
    if x.len() < 4 {
        return SectionCurvature { value: f64::NAN, error: f64::NAN };
    }
    let fit = ParabolaFit::of(&x, &y);
    let scale = 1.0 / (length * length);
    SectionCurvature { value: fit.curvature * scale, error: fit.curvature_error * scale }
}

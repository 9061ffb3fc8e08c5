//! How far the weights have gone.

use burn::module::Module;
use stepscope_spectral::random::RandomStream;
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Uncertainty};

use super::cost::Cost;
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::statistics::{difference, norm};
use crate::checkpoint::{State, StateError, Stateful};
use crate::models::ParamLayout;

/// Distances of the weights from the first reading and from the last one, their norm, the norms of normalisation scales, and
/// the coordinates of the way so far in a random projection.
///
/// The projection is the same for every run with the same probe seed: every parameter's way goes, with a random sign, to one of
/// m = 16 coordinates. For two runs that start from the same weights, the norm of the difference of their
/// coordinates at a step estimates the distance ‖θ_k − θ'_k‖ between them, with a relative standard error of 1/√(2m) = 18 %, from
/// records alone. Normalisation scales are the parameters whose name ends in `gamma`.
///
/// Cost: no gradient; a few passes over the weights a reading, and two copies of them in memory. Source: `averaging`, section 1.1
/// (coupling distance); `curvature`, sections 2.4 and 3.2 (claims C11, C12).
#[derive(Debug)]
pub struct DistanceProbe {
    seed: u64,
    start: Option<Vec<f64>>,
    last: Option<Vec<f64>>,
}

impl DistanceProbe {
    /// A probe whose projection is that of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, start: None, last: None }
    }

    fn coordinates(&self, way: &[f64]) -> Vec<Measured> {
        let count = quantity::SKETCH.len();
        let mut sums = vec![0.0; count];
        // Drawn again at each reading: cheaper than keeping a vector of the size of the network.
        let mut random = RandomStream::named(self.seed, "random projection");
        for x in way {
            let word = random.next_word();
            let place = (word >> 1) as usize % count;
            sums[place] += if word & 1 == 0 { *x } else { -x };
        }
        quantity::SKETCH.iter().zip(sums).map(|(quantity, sum)| exact(quantity, sum)).collect()
    }
}

impl<N: Module> Probe<N> for DistanceProbe {
    fn name(&self) -> &'static str {
        "distance"
    }

    fn cost(&self) -> Cost {
        // The projection draws a random word for every parameter.
        Cost::passes(30)
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let values = at.layout.values(at.network);
        let start = self.start.get_or_insert_with(|| values.clone());
        let way = difference(&values, start);
        let mut measured =
            vec![exact(&quantity::WEIGHT_NORM, norm(&values)), exact(&quantity::DISTANCE_FROM_START, norm(&way))];
        if let Some(last) = &self.last {
            measured.push(exact(&quantity::DISTANCE_BETWEEN_READINGS, norm(&difference(&values, last))));
        }
        measured.extend(normalisation_scales(at.layout, &values));
        measured.extend(self.coordinates(&way));
        self.last = Some(values);
        Ok(measured)
    }
}

/// The norm of all normalisation scales and of the last layer's, where there are some.
fn normalisation_scales(layout: &ParamLayout, values: &[f64]) -> Vec<Measured> {
    let scales: Vec<&[f64]> =
        layout.ranges().filter(|(path, _)| path.ends_with("gamma")).map(|(_, range)| &values[range]).collect();
    let Some(last) = scales.last() else { return Vec::new() };
    vec![
        exact(&quantity::NORMALISATION_SCALE, norm(&scales.concat())),
        exact(&quantity::LAST_NORMALISATION_SCALE, norm(last)),
    ]
}

fn exact(quantity: &'static Quantity, value: f64) -> Measured {
    Measured::new(quantity, Estimate::new(value, quantity.unit, Uncertainty::Exact))
}

impl Stateful for DistanceProbe {
    fn save_state(&self, state: &mut State) {
        for (name, vector) in [("start", &self.start), ("last", &self.last)] {
            if let Some(vector) = vector {
                state.put_vector(name, vector.clone());
            }
        }
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        let vector = |name| state.vector_of_any_length(name).ok().map(<[f64]>::to_vec);
        (self.start, self.last) = (vector("start"), vector("last"));
        Ok(())
    }
}

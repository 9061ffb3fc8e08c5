//! What a reading costs, counted and not timed.

use std::iter::Sum;
use std::ops::{Add, Mul};

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::models::{Dual, Multiplications, Network, ParamLayout};

/// What was done, counted, so that decisions which rest on it are the same on every machine and every day.
///
/// Evaluations of so many examples, by their kind, and passes over vectors of the network's size on the host: sums, norms,
/// copies between tensors and f64. A [`CostModel`] says what they are worth on one network.
///
/// ```
/// use stepscope::measure::{Cost, CostModel};
/// let reading = Cost::gradients(128) + Cost::forwards(128) * 6.0;
/// // In a network all of whose layers but one are inner ones, a forward pass is a third of a gradient.
/// let deep = CostModel::with(1, 0, 1);
/// assert!((deep.worth(reading) - 384.0).abs() < 1e-9);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    gradients: f64,
    forwards: f64,
    tangents: f64,
    hessian_products: f64,
    #[serde(default)]
    shared_products: f64,
    outer_products: f64,
    passes: f64,
    #[serde(default)]
    updates: f64,
}

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self {
        gradients: 0.0,
        forwards: 0.0,
        tangents: 0.0,
        hessian_products: 0.0,
        shared_products: 0.0,
        outer_products: 0.0,
        passes: 0.0,
        updates: 0.0,
    };

    /// Gradients of so many examples.
    pub fn gradients(num_examples: usize) -> Self {
        Self { gradients: num_examples as f64, ..Self::ZERO }
    }

    /// Forward passes of so many examples.
    pub fn forwards(num_examples: usize) -> Self {
        Self { forwards: num_examples as f64, ..Self::ZERO }
    }

    /// Forward passes with a tangent.
    pub fn tangents(num_examples: usize) -> Self {
        Self { tangents: num_examples as f64, ..Self::ZERO }
    }

    /// Exact Hessian products.
    pub fn hessian_products(num_examples: usize) -> Self {
        Self { hessian_products: num_examples as f64, ..Self::ZERO }
    }

    /// Exact Hessian products at a point whose linearisation an earlier one has kept.
    pub fn shared_products(num_examples: usize) -> Self {
        Self { shared_products: num_examples as f64, ..Self::ZERO }
    }

    /// Exact Hessian products at one point, of which all but the first share that much of their linearisation: 1 is all of it.
    pub fn products_at_one_point(num_examples: usize, count: u64, share: f64) -> Self {
        let shared = count.saturating_sub(1) as f64 * share;
        Self::hessian_products(num_examples) * (count as f64 - shared) + Self::shared_products(num_examples) * shared
    }

    /// Products with a matrix JᵀMJ: Gauss-Newton, Fisher, gradient covariance.
    pub fn outer_products(num_examples: usize) -> Self {
        Self { outer_products: num_examples as f64, ..Self::ZERO }
    }

    /// Passes over vectors of the network's size on the host.
    pub fn passes(count: usize) -> Self {
        Self { passes: count as f64, ..Self::ZERO }
    }

    /// Passes over the parameters where they live, as an update is one: displacements, directions, sums of products.
    pub fn updates(count: usize) -> Self {
        Self { updates: count as f64, ..Self::ZERO }
    }

    fn zip(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            gradients: f(self.gradients, other.gradients),
            forwards: f(self.forwards, other.forwards),
            tangents: f(self.tangents, other.tangents),
            hessian_products: f(self.hessian_products, other.hessian_products),
            shared_products: f(self.shared_products, other.shared_products),
            outer_products: f(self.outer_products, other.outer_products),
            passes: f(self.passes, other.passes),
            updates: f(self.updates, other.updates),
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}

impl Mul<f64> for Cost {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        self.zip(self, |a, _| a * factor)
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::ZERO, Add::add)
    }
}

/// What the parts of a [`Cost`] are worth on one network, in gradients of one example.
///
/// Evaluations count by their matrix products (`curvature`, sections 4.2 and 4.9). A first layer, whose input has neither tangent
/// nor gradient, takes fewer:
///
/// | | first layer | inner layer |
/// |---|---|---|
/// | forward pass | 1 | 1 |
/// | with a tangent | 2 | 3 |
/// | gradient | 2 | 3 |
/// | Gauss-Newton or covariance product | 3 | 5 |
/// | Hessian product | 3 | 8 |
/// | the same with a [shared linearisation](crate::models::Sharing) | 2 | 6 |
///
/// The last row holds for layers whose numbers are worth keeping.
///
/// A pass over P numbers on the host takes about as long as 96 P of the multiplications: memory is slower than arithmetic, and training
/// computes on all cores where a pass runs on one.
/// On dense networks, which use a weight once an example, it is worth some thirty gradients, on convolutional ones
/// far less than one. A pass where the parameters live runs on all cores, in their own precision: a sixth of that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostModel {
    /// Multiplications of a gradient.
    gradient: f64,
    forward: f64,
    tangent: f64,
    outer_product: f64,
    hessian_product: f64,
    shared_product: f64,
    pass: f64,
    update: f64,
    /// Bytes that products at one point keep, of an example.
    kept_bytes: f64,
}

impl CostModel {
    /// Multiplications of a gradient that take as long as a pass over one number.
    const PASS: f64 = 96.0;
    /// The same where the parameters live.
    const UPDATE: f64 = 16.0;

    /// The model of a network on `device`, of images `[channels, rows, columns]`. One forward pass of one example.
    pub fn of<N: Network>(network: &N, [channels, rows, columns]: [usize; 3], device: &Device, dtype: DType) -> Self {
        let layout = ParamLayout::of(network);
        let pass = layout.pass_along(&vec![1.0; layout.num_params()]);
        let image = Tensor::zeros([1, channels, rows, columns], (device, dtype));
        network.clone().no_grad().logits(Dual::constant(image), &pass);
        let Multiplications { first, inner, shared, kept } = pass.multiplications();
        let model = Self::with(layout.num_params() as u64, first, inner).sharing(shared);
        Self { kept_bytes: kept as f64 * dtype.size() as f64, ..model }
    }

    /// The same for planning products over so many examples, which share no more of their linearisation than fits into so many bytes.
    #[must_use]
    pub fn with_room_for(mut self, max_bytes: u64, num_examples: u64) -> Self {
        let wanted = self.kept_bytes * num_examples as f64;
        let share = if wanted > 0.0 { (max_bytes as f64 / wanted).min(1.0) } else { 1.0 };
        self.shared_product = self.hessian_product - share * (self.hessian_product - self.shared_product);
        self
    }

    /// The model of a module of which no more is known than its parameters: each is used once an example, in inner layers.
    pub fn of_module<M: Module>(module: &M) -> Self {
        let num_params = ParamLayout::of(module).num_params() as u64;
        Self::with(num_params, 0, num_params)
    }

    /// The model of a network of so many parameters, of which a forward pass of one example makes so many multiplications in
    /// its first and in its inner layers.
    pub fn with(num_params: u64, first: u64, inner: u64) -> Self {
        let (params, first) = (num_params.max(1) as f64, first as f64);
        // Layers that are not counted use their weights at least once.
        let inner = (inner as f64).max(params - first).max(0.0);
        let gradient = 2.0 * first + 3.0 * inner;
        let of = |per_first: f64, per_inner: f64| (per_first * first + per_inner * inner) / gradient;
        Self {
            gradient,
            forward: of(1.0, 1.0),
            tangent: of(2.0, 3.0),
            outer_product: of(3.0, 5.0),
            hessian_product: of(3.0, 8.0),
            shared_product: of(3.0, 8.0),
            pass: Self::PASS * params / gradient,
            update: Self::UPDATE * params / gradient,
            kept_bytes: 0.0,
        }
    }

    /// The same where an exact Hessian product with a shared linearisation leaves out that many multiplications of an example; without,
    /// none.
    #[must_use]
    pub fn sharing(mut self, multiplications: u64) -> Self {
        self.shared_product = self.hessian_product - multiplications as f64 / self.gradient;
        self
    }

    /// The cost in gradients of one example.
    pub fn worth(&self, cost: Cost) -> f64 {
        cost.gradients
            + self.forward * cost.forwards
            + self.tangent * cost.tangents
            + self.outer_product * cost.outer_products
            + self.hessian_product * cost.hessian_products
            + self.shared_product * cost.shared_products
            + self.pass * cost.passes
            + self.update * cost.updates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::models::Model;
    use stepscope_spectral::random::RandomStream;
    use stepscope_types::spec::{ModelKind, ModelSpec, Precision};

    /// With what products keep left out, which `with` does not know.
    fn counted(kind: ModelKind, shape: [usize; 3]) -> CostModel {
        CostModel { kept_bytes: 0.0, ..model(kind, shape) }
    }

    fn model(kind: ModelKind, shape: [usize; 3]) -> CostModel {
        let backend = Backend::cpu(Precision::F32);
        let spec = ModelSpec { kind, ..ModelSpec::default() };
        let network = Model::new(&spec, shape, 10, RandomStream::new(1, 0), &backend).unwrap();
        CostModel::of(&network, shape, &backend.tracked(), backend.dtype())
    }

    #[test]
    fn multiplications_are_those_of_the_layers_counted_by_hand() {
        // 784-128-64-10 and its biases.
        let dense = CostModel::with(784 * 128 + 128 + 128 * 64 + 64 + 640 + 10, 784 * 128, 128 * 64 + 640)
            // Of the last layer, whose inputs' gradients take ten multiplications a number, the values alone.
            .sharing(784 * 128 + 2 * 128 * 64 + 640);
        assert_eq!(counted(ModelKind::Mlp, [1, 28, 28]), dense);
        // 3x32x32, the convolutions of 32, 32, 64 and 64 channels, then 2304-128-10.
        let (first, inner) = (1024 * 27 * 32, 900 * 288 * 32 + 225 * 288 * 64 + 169 * 576 * 64 + 2304 * 128 + 1280);
        // Nothing of the first layer, whose outputs take 27 multiplications a number.
        let convolutional = CostModel::with(361_898, first, inner).sharing(2 * inner - 1280);
        assert_eq!(counted(ModelKind::SimpleCnn, [3, 32, 32]), convolutional);
        let worth = |model: CostModel, cost| model.worth(cost);
        assert!(worth(dense, Cost::hessian_products(1)) < 1.8, "most of it is the first layer");
        assert!(worth(convolutional, Cost::hessian_products(1)) > 2.6);
        assert!(worth(dense, Cost::shared_products(1)) < 1.2);
        assert!((1.9..2.1).contains(&worth(convolutional, Cost::shared_products(1))));
        // The dense network uses a weight once an example, the convolutional one many times.
        let of_a_pass = |model| worth(model, Cost::passes(1));
        assert!(of_a_pass(dense) > 40.0 * of_a_pass(convolutional));
    }

    #[test]
    fn what_does_not_fit_is_not_planned_to_be_shared() {
        let convolutional = model(ModelKind::SimpleCnn, [3, 32, 32]);
        let [alone, shared] = [Cost::hessian_products(1), Cost::shared_products(1)];
        let worth = |mebibytes: u64, cost| convolutional.with_room_for(mebibytes << 20, 1024).worth(cost);
        assert!((worth(0, shared) - worth(0, alone)).abs() < 1e-12);
        assert!((worth(1 << 20, shared) - convolutional.worth(shared)).abs() < 1e-12);
        assert!(worth(0, shared) > worth(192, shared) && worth(192, shared) > worth(1 << 20, shared));
        // Half of the room, half of the gain.
        let gain = |mebibytes| worth(0, shared) - worth(mebibytes, shared);
        assert!((gain(64) - 2.0 * gain(32)).abs() < 1e-9);
    }

    #[test]
    fn layers_that_are_not_counted_do_not_make_passes_dearer_than_on_dense_networks() {
        let dense = CostModel::with(1000, 0, 1000);
        assert_eq!(CostModel::with(1000, 0, 0), dense);
    }
}

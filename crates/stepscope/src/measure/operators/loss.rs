//! The loss of a batch, in the parts that curvature is made of.

use std::fmt;
use std::sync::Arc;

use burn::Tensor;
use burn::tensor::Int;
use burn::tensor::activation::softmax;

use super::error::{LossError, ProductError};
use crate::data::Target;
use crate::models::Dual;
use crate::models::loss::{cross_entropy, half_squared_distance};

/// The losses ℓ_i of a batch's examples and, where it is known, the outputs z_i that they are computed from.
///
/// | built by | ℓ_i | Hessian, K, empirical Fisher | Gauss-Newton | Monte-Carlo Fisher |
/// |---|---|---|---|---|
/// | [`Loss::cross_entropy`] | −log softmax(z)_y | yes | yes | labels from softmax(z) |
/// | [`Loss::sequence_cross_entropy`] | its mean over positions | yes | yes | labels from softmax(z) |
/// | [`Loss::mean_squared_error`] | mean over outputs of (z − t)² | yes | yes | normal targets around z |
/// | [`Loss::half_squared_distance`] | ½ ‖z − t‖² | yes | yes | normal targets around z |
/// | [`Loss::per_example`] | any | yes | no | no |
/// | [`Loss::per_example`] and [`Loss::with_output_hessian`] | any | yes | yes | no |
///
/// Each takes tensors, or [`Dual`]s of a forward pass over tangent-aware layers. The objective is the mean of the ℓ_i over all
/// of its examples: return the losses of examples, not their mean.
#[derive(Debug, Clone)]
pub struct Loss(Result<Parts, LossError>);

#[derive(Debug, Clone)]
pub(in crate::measure) struct Parts {
    /// ℓ, `[examples]`.
    pub per_example: Dual<1>,
    pub outputs: Option<Outputs>,
}

/// z, and how a loss depends on it.
#[derive(Debug, Clone)]
pub(in crate::measure) struct Outputs {
    /// `[rows, outputs]`; an example has one row, or one for each position of a sequence.
    pub values: Dual<2>,
    pub kind: OutputLoss,
    /// How outputs that are no logits say a class, and the classes of the examples.
    pub classes: Option<(Target, Tensor<1, Int>)>,
}

// One a batch, beside tensors of many rows: its own size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
pub(in crate::measure) enum OutputLoss {
    /// The mean over an example's rows of −log softmax(z)_y; y: `labels`, one a row.
    CrossEntropy { rows_per_example: usize, labels: Tensor<1, Int> },
    /// H = `curvature` · 1.
    Squares { curvature: f64 },
    /// u -> ∇²ℓ u, given.
    Given(Arc<dyn Fn(Tensor<2>) -> Tensor<2> + Send + Sync>),
}

impl Loss {
    /// ℓ_i = −log softmax(z_i)_{y_i}, in nats. z: `logits` `[examples, classes]`; y: `labels` `[examples]`.
    ///
    /// Source: `curvature`, section 4.3.
    pub fn cross_entropy(logits: impl Into<Dual<2>>, labels: Tensor<1, Int>) -> Self {
        Self::rows_of_logits(logits.into(), labels, 1)
    }

    /// The mean over positions of −log softmax(z_{it})_{y_{it}}: an example is a whole sequence.
    ///
    /// z: `logits` `[examples, positions, classes]`; y: `labels` `[examples, positions]`.
    pub fn sequence_cross_entropy(logits: impl Into<Dual<3>>, labels: Tensor<2, Int>) -> Self {
        let logits = logits.into();
        let [examples, positions, classes] = logits.value.dims();
        if labels.dims() != [examples, positions] {
            return Self::refused("cross-entropy of sequences", &logits.value.dims(), &labels.dims());
        }
        let rows = logits.linear(|z| z.reshape([examples * positions, classes]));
        Self::rows_of_logits(rows, labels.reshape([examples * positions]), positions)
    }

    fn rows_of_logits(logits: Dual<2>, labels: Tensor<1, Int>, rows_per_example: usize) -> Self {
        let [rows, classes] = logits.value.dims();
        if labels.dims() != [rows] || rows_per_example == 0 || classes == 0 {
            return Self::refused("cross-entropy", &[rows, classes], &labels.dims());
        }
        let of_rows = cross_entropy(logits.clone(), labels.clone());
        let per_example = if rows_per_example == 1 {
            of_rows
        } else {
            let examples = rows / rows_per_example;
            let share = 1.0 / rows_per_example as f64;
            of_rows.linear(|l| l.reshape([examples, rows_per_example]).sum_dim(1).reshape([examples]) * share)
        };
        Self::of(per_example, logits, OutputLoss::CrossEntropy { rows_per_example, labels })
    }

    /// ℓ_i = (1/k) Σ_j (z_ij − t_ij)², over the k outputs of an example. z: `outputs`; t: `targets`, both
    /// `[examples, ...]`. For classes, t is one-hot.
    pub fn mean_squared_error<const D: usize>(outputs: impl Into<Dual<D>>, targets: Tensor<D>) -> Self {
        let outputs = outputs.into();
        let shape = outputs.value.dims();
        if targets.dims() != shape || D == 0 || shape[0] == 0 {
            return Self::refused("mean squared error", &shape, &targets.dims());
        }
        let examples = shape[0];
        let width = shape.iter().skip(1).product::<usize>();
        let outputs = outputs.linear(|z| z.reshape([examples, width]));
        let off = outputs.value.clone() - targets.reshape([examples, width]);
        let share = 1.0 / width.max(1) as f64;
        let mean = |squares: Tensor<2>| squares.sum_dim(1).reshape([examples]) * share;
        let tangent = outputs.tangent.clone().map(|tangent| mean(off.clone() * tangent) * 2.0);
        let per_example = Dual { value: mean(off.clone() * off), tangent };
        Self::of(per_example, outputs, OutputLoss::Squares { curvature: 2.0 * share })
    }

    /// ℓ_i = ½ ‖z_i − t_i‖², whose Hessian in z is the identity. z: `outputs`; t: `targets`, both `[examples, outputs]`.
    pub fn half_squared_distance(outputs: impl Into<Dual<2>>, targets: Tensor<2>) -> Self {
        let outputs = outputs.into();
        if targets.dims() != outputs.value.dims() {
            return Self::refused("half squared distance", &outputs.value.dims(), &targets.dims());
        }
        let per_example = half_squared_distance(outputs.clone(), targets);
        Self::of(per_example, outputs, OutputLoss::Squares { curvature: 1.0 })
    }

    /// Any losses `[examples]`, of the examples one by one. Gives Hessian, K and empirical Fisher; add
    /// [`Loss::with_output_hessian`] for Gauss-Newton products.
    pub fn per_example(losses: impl Into<Dual<1>>) -> Self {
        Self(Ok(Parts { per_example: losses.into(), outputs: None }))
    }

    /// (1/n) Σ ℓ_i of the batch's n examples: what a training step differentiates.
    ///
    /// # Errors
    /// [`LossError`] where outputs and targets do not belong together.
    pub fn mean(self) -> Result<Tensor<1>, LossError> {
        Ok(self.0?.mean().value)
    }

    /// Adds what an accuracy needs where outputs are no logits: the examples' classes, and the target that says which class an
    /// output means.
    #[must_use]
    pub fn with_classes(self, target: Target, classes: Tensor<1, Int>) -> Self {
        let with = |outputs: Outputs| Outputs { classes: Some((target, classes)), ..outputs };
        Self(self.0.map(|parts| Parts { outputs: parts.outputs.map(with), ..parts }))
    }

    /// Adds what a Gauss-Newton product needs: the network's outputs z `[examples, outputs]`, and `hessian`, the map
    /// u -> ∇²_z ℓ_i u applied to every row u_i. It must be symmetric and may use tensors of its own, detached.
    #[must_use]
    pub fn with_output_hessian(
        self,
        outputs: impl Into<Dual<2>>,
        hessian: impl Fn(Tensor<2>) -> Tensor<2> + Send + Sync + 'static,
    ) -> Self {
        let outputs = Outputs { values: outputs.into(), kind: OutputLoss::Given(Arc::new(hessian)), classes: None };
        Self(self.0.map(|parts| Parts { outputs: Some(outputs), ..parts }))
    }

    fn of(per_example: Dual<1>, outputs: Dual<2>, kind: OutputLoss) -> Self {
        Self(Ok(Parts { per_example, outputs: Some(Outputs { values: outputs, kind, classes: None }) }))
    }

    fn refused(loss: &'static str, outputs: &[usize], targets: &[usize]) -> Self {
        Self(Err(LossError::Shapes { loss, outputs: outputs.to_vec(), targets: targets.to_vec() }))
    }

    /// The parts, if they are those of `examples` examples.
    pub(in crate::measure) fn parts(self, examples: usize) -> Result<Parts, LossError> {
        let parts = self.0?;
        let [got] = parts.per_example.value.dims();
        if got == examples { Ok(parts) } else { Err(LossError::NotPerExample { got, expected: examples }) }
    }
}

impl Parts {
    /// (1/n) Σ ℓ_i with its tangent.
    pub(in crate::measure) fn mean(self) -> Dual<1> {
        self.per_example.linear(Tensor::mean)
    }
}

/// Logits, their tangents and labels on the host, an example a row.
#[derive(Debug)]
pub(in crate::measure) struct LogitRows {
    values: Vec<f64>,
    tangents: Vec<f64>,
    labels: Vec<i64>,
}

impl LogitRows {
    /// Logits, their tangents and the label of an example.
    pub(in crate::measure) fn row(&self, example: usize) -> (&[f64], &[f64], usize) {
        let classes = self.values.len() / self.labels.len().max(1);
        let row = example * classes..(example + 1) * classes;
        let label = self.labels.get(example).and_then(|&label| usize::try_from(label).ok()).unwrap_or(0);
        (&self.values[row.clone()], &self.tangents[row], label)
    }
}

impl Parts {
    /// The rows of a cross-entropy with one label an example, where it has tangents.
    pub(in crate::measure) fn logit_rows(&self) -> Option<LogitRows> {
        let outputs = self.outputs.as_ref()?;
        let OutputLoss::CrossEntropy { rows_per_example: 1, labels } = &outputs.kind else { return None };
        let host = |tensor: &Tensor<2>| tensor.to_data().iter::<f64>().collect();
        Some(LogitRows {
            values: host(&outputs.values.value),
            tangents: host(outputs.values.tangent.as_ref()?),
            labels: labels.to_data().iter::<i64>().collect(),
        })
    }

    /// The tangents of the examples' losses.
    ///
    /// # Errors
    /// [`ProductError::NoTangent`] where there are none.
    pub(in crate::measure) fn loss_tangents(&self) -> Result<Vec<f64>, ProductError> {
        let tangent = self.per_example.tangent.as_ref().ok_or(ProductError::NoTangent)?;
        Ok(tangent.to_data().iter::<f64>().collect())
    }
}

impl Outputs {
    /// ∇²_z ℓ_i u_i for every row of `u`, at these outputs. All detached.
    pub(super) fn hessian(&self, u: Tensor<2>) -> Tensor<2> {
        match &self.kind {
            OutputLoss::CrossEntropy { rows_per_example, .. } => {
                let probabilities = self.probabilities();
                let weighted = probabilities.clone() * u;
                let product = weighted.clone() - probabilities * weighted.sum_dim(1);
                if *rows_per_example == 1 { product } else { product * (1.0 / *rows_per_example as f64) }
            }
            OutputLoss::Squares { curvature } => u * *curvature,
            OutputLoss::Given(hessian) => hessian(u),
        }
    }

    /// Whether each example is put into its class; `None` where examples have no one label.
    pub(super) fn hits(&self) -> Option<Vec<bool>> {
        match &self.kind {
            OutputLoss::CrossEntropy { rows_per_example: 1, labels } => {
                Some(Target::Class.hits(&self.values.value, labels))
            }
            _ => self.classes.as_ref().map(|(target, labels)| target.hits(&self.values.value, labels)),
        }
    }

    /// softmax(z), detached.
    pub(super) fn probabilities(&self) -> Tensor<2> {
        softmax(self.values.value.clone().detach(), 1)
    }
}

impl fmt::Debug for OutputLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrossEntropy { rows_per_example, .. } => write!(f, "cross-entropy of {rows_per_example} rows"),
            Self::Squares { curvature } => write!(f, "squares of curvature {curvature}"),
            Self::Given(_) => f.write_str("given Hessian"),
        }
    }
}

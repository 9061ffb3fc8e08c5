//! Gradients of examples one by one, and their norms.

use burn::Tensor;
use stepscope_spectral::random::RandomStream;

use super::batch_loss::BatchLoss;
use super::error::ProductError;
use super::ghost_norms::ghost_norms;
use super::objective::Objective;
use super::vector::norm;
use crate::data::Batch;
use crate::models::ParamLayout;

/// Squared norms of the examples' gradients, estimated from tangents along random directions.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectedNorms {
    /// The estimate of ‖g_i‖², example by example; unbiased.
    pub squared_norms: Vec<f64>,
    /// √(2/m): the relative standard error of each of them. Over many examples, of nearly parallel gradients, errors are common to all.
    pub relative_error: f64,
}

impl Objective {
    /// ‖g_i‖ of every example, in order, exactly.
    ///
    /// Where every parameter belongs to a fully connected layer, a convolution in one group or a normalisation's scale and shift by channel of
    /// [`layers`](crate::models::layers), and is used once, all come from one backward pass: with inputs a_i and output gradients
    /// δ_i a dense layer adds ‖a_i‖²‖δ_i‖² + ‖δ_i‖², a convolution ‖Σ_t patch δᵀ‖² + ‖Σ_t δ‖² (Goodfellow 2015). Other networks take a backward
    /// pass an example ([`Objective::gradient_norms_one_by_one`]).
    ///
    /// `network` is on the tracked device with parameters that require gradients. Layers must treat examples
    /// independently: with batch statistics a gradient of one example does not exist.
    ///
    /// Cost: one gradient, and for convolutions the patches of 2²⁴ numbers at a time. Source: `curvature`, section 4.6.
    ///
    /// # Errors
    /// [`ProductError::Loss`] where the loss does not fit a batch.
    pub fn gradient_norms<N: BatchLoss<Batch>>(
        &self,
        network: &N,
        layout: &ParamLayout,
    ) -> Result<Vec<f64>, ProductError> {
        let mut norms = Vec::with_capacity(self.num_examples());
        for (batch, len) in self.sized_batches() {
            match ghost_norms(network, layout, batch, len)? {
                Some(squares) => norms.extend(squares.into_iter().map(f64::sqrt)),
                None => return self.gradient_norms_one_by_one(network, layout),
            }
        }
        Ok(norms)
    }

    /// The same by one backward pass an example, whatever the layers.
    ///
    /// Cost: n gradients of one example, several times one of n examples, because batches of one use little of the
    /// machine; memory: one gradient.
    ///
    /// # Errors
    /// [`ProductError::Loss`] where the loss does not fit a batch.
    pub fn gradient_norms_one_by_one<N: BatchLoss<Batch>>(
        &self,
        network: &N,
        layout: &ParamLayout,
    ) -> Result<Vec<f64>, ProductError> {
        let mut norms = Vec::with_capacity(self.num_examples());
        for (batch, len) in self.sized_batches() {
            for example in 0..len {
                let loss = network.loss(&batch.slice(example..example + 1)).parts(1)?.mean().value;
                norms.push(norm(&layout.gradient(network, &mut loss.backward())));
            }
        }
        Ok(norms)
    }
}

impl<B> Objective<B> {
    /// The gradient of every micro-batch's own mean loss, one after the other, handed to `visit` with its number of
    /// examples. With micro-batches of one example these are the gradients of the examples.
    ///
    /// Cost: one gradient over all examples; memory: one gradient.
    ///
    /// # Errors
    /// [`ProductError::Loss`] where the loss does not fit a batch.
    pub fn visit_gradients<N: BatchLoss<B>>(
        &self,
        network: &N,
        layout: &ParamLayout,
        mut visit: impl FnMut(usize, Vec<f64>),
    ) -> Result<(), ProductError> {
        for (batch, len) in self.sized_batches() {
            let loss = network.loss(batch).parts(len)?.mean().value;
            visit(len, layout.gradient(network, &mut loss.backward()));
        }
        Ok(())
    }

    /// ‖g_i‖² of every example from m = `num_directions` tangents of all losses: (1/m) Σ_k ⟨g_i, v_k⟩² with v_k normal.
    ///
    /// Needs no backward pass and no gradient of an example. Their mean, minus ‖g‖², estimates Tr K.
    ///
    /// Cost: m forward passes along a direction, about 0.7 m gradients. Source: `curvature`, section 4.3.
    ///
    /// # Errors
    /// [`ProductError::NoTangent`] where the network has no tangent rules, [`ProductError::Loss`] where the loss does not
    /// fit a batch.
    pub fn projected_gradient_norms<N: BatchLoss<B>>(
        &self,
        network: &N,
        layout: &ParamLayout,
        num_directions: usize,
        random: &mut RandomStream,
    ) -> Result<ProjectedNorms, ProductError> {
        let mut squared_norms = vec![0.0; self.num_examples()];
        // Values and tangents alone: no graph is kept.
        let plain = network.clone().no_grad();
        let (mut direction, count) = (vec![0.0; layout.num_params()], num_directions.max(1) as f64);
        for _ in 0..num_directions.max(1) {
            random.fill_normal(&mut direction);
            let pass = layout.pass_along(&direction);
            let mut sums = squared_norms.iter_mut();
            for (batch, len) in self.sized_batches() {
                let loss = plain.loss_along(batch, &pass).ok_or(ProductError::NoTangent)?;
                let tangent: Tensor<1> = loss.parts(len)?.per_example.tangent.ok_or(ProductError::NoTangent)?;
                let tangents = tangent.into_data();
                // The tangents first: they are fewer, and the iterator that ends first must be asked first.
                tangents.iter::<f64>().zip(sums.by_ref()).for_each(|(tangent, sum)| *sum += tangent * tangent / count);
            }
        }
        Ok(ProjectedNorms { squared_norms, relative_error: (2.0 / count).sqrt() })
    }
}

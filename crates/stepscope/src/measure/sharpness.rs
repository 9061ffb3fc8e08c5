//! The top Hessian eigenvalue along a run, and how near it is to the edge of stability.

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{Lanczos, LanczosConfig, StartVector};
use stepscope_types::quantity;
use stepscope_types::spec::MeasureSpec;
use stepscope_types::{Estimate, Mode, Uncertainty};

use super::objective::Objective;
use super::operators::{Curvature, CurvatureOperator};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use crate::checkpoint::{State, StateError, Stateful};
use crate::models::Network;

/// λ₁(H) by Lanczos on a fixed subset of the training set, with its Ritz residual; η λ₁; the gradient norm.
///
/// Each reading starts from the eigenvector of the one before, so that a few products suffice. Gradient descent on a
/// quadratic is stable while η λ₁ < 2 (1 + momentum).
///
/// Cost: one gradient and at most `max_products` Hessian products over the subset. Source: `curvature`, sections 4.4
/// and 4.7. Invalid as the sharpness of the whole training loss where the subset is small: the value is that of the subset,
/// whose size every record carries.
#[derive(Debug)]
pub struct SharpnessProbe {
    objective: Objective,
    lanczos: Lanczos,
    random: RandomStream,
    warm_start: Option<Vec<f64>>,
}

impl SharpnessProbe {
    /// A probe on `objective`, whose tensors are on the tracked device.
    pub fn new(objective: Objective, spec: &MeasureSpec, random: RandomStream) -> Self {
        Self {
            objective,
            lanczos: Lanczos::new(LanczosConfig {
                max_products: spec.max_products as usize,
                tolerance: spec.tolerance,
                ..LanczosConfig::default()
            }),
            random,
            warm_start: None,
        }
    }
}

impl<N: Network> Probe<N> for SharpnessProbe {
    fn name(&self) -> &'static str {
        "sharpness"
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let num_examples = self.objective.num_examples() as u64;
        let (_, gradient) = self.objective.loss_and_gradient(at.network, at.layout)?;
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let mut operator = CurvatureOperator::new(at.network, &self.objective, at.layout, Curvature::Hessian);
        let start = match &self.warm_start {
            Some(eigenvector) => StartVector::Warm(eigenvector),
            None => StartVector::Random,
        };
        let outcome = self.lanczos.run(&mut operator, start, &mut self.random)?;
        let mut measured = vec![Measured::new(
            &quantity::GRADIENT_NORM,
            Estimate::new(norm, quantity::GRADIENT_NORM.unit, Uncertainty::Exact)
                .over_examples(num_examples)
                .in_mode(Mode::Eval),
        )];
        if let Some(top) = outcome.eigenpairs.into_iter().next() {
            let sharpness = Estimate::new(
                top.eigenvalue,
                quantity::HESSIAN_TOP_EIGENVALUE.unit,
                Uncertainty::Residual(top.residual),
            )
            .over_examples(num_examples)
            .with_products(outcome.num_products)
            .in_mode(Mode::Eval);
            // The products are counted once, with the eigenvalue that they were spent on.
            let effective =
                sharpness.clone().with_products(0).scaled(at.learning_rate, quantity::EFFECTIVE_SHARPNESS.unit);
            measured.push(Measured::new(&quantity::HESSIAN_TOP_EIGENVALUE, sharpness));
            measured.push(Measured::new(&quantity::EFFECTIVE_SHARPNESS, effective));
            self.warm_start = Some(top.eigenvector);
        }
        Ok(measured)
    }
}

impl Stateful for SharpnessProbe {
    fn save_state(&self, state: &mut State) {
        state.nest("random", &self.random);
        if let Some(eigenvector) = &self.warm_start {
            state.put_vector("warm_start", eigenvector.clone());
        }
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("random", &mut self.random)?;
        self.warm_start = state.vector_of_any_length("warm_start").ok().map(<[f64]>::to_vec);
        Ok(())
    }
}

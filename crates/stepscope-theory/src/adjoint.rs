//! The gradient of the final loss with respect to every setting of every step, by running the recursion backwards.

use crate::error::TheoryError;
use crate::model::QuadraticModel;
use crate::modes::Modes;
use crate::sgd::Sgd;

/// L after the last step of a schedule, and its derivatives with respect to the settings of each step.
#[derive(Debug, Clone, PartialEq)]
pub struct LossGradient {
    /// E L after the last step.
    pub loss: f64,
    /// ∂L/∂a_t.
    pub learning_rate: Vec<f64>,
    /// ∂L/∂b_t.
    pub momentum: Vec<f64>,
    /// ∂L/∂γ_t.
    pub noise_factor: Vec<f64>,
}

impl QuadraticModel {
    /// E L after all steps of `schedule` and its gradient: O(modes · T) time, O(modes · √T) memory (`loss-prediction`, 6.6).
    ///
    /// The adjoint of the recursion of [`QuadraticModel::loss_curve`]; states are kept every √T steps and recomputed between.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range.
    pub fn loss_gradient(&self, schedule: &[Sgd]) -> Result<LossGradient, TheoryError> {
        for sgd in schedule {
            sgd.checked()?;
        }
        let steps = schedule.len();
        let spacing = (steps as f64).sqrt().ceil().max(1.0) as usize;
        let mut state = State::initial(self);
        let mut kept = Vec::with_capacity(steps / spacing + 1);
        for (step, sgd) in schedule.iter().enumerate() {
            if step % spacing == 0 {
                kept.push(state.clone());
            }
            state.advance(self, sgd);
        }
        let loss = self.loss_floor() + 0.5 * state.sum();
        let mut gradient = LossGradient {
            loss,
            learning_rate: vec![0.0; steps],
            momentum: vec![0.0; steps],
            noise_factor: vec![0.0; steps],
        };
        let mut adjoint = Adjoint::at_end(self);
        for (segment, start) in kept.into_iter().enumerate().rev() {
            let first = segment * spacing;
            let end = (first + spacing).min(steps);
            let mut states = vec![start];
            for step in first..end - 1 {
                let mut next = states[step - first].clone();
                next.advance(self, &schedule[step]);
                states.push(next);
            }
            for step in (first..end).rev() {
                let [rate, momentum, noise] = adjoint.retreat(self, &schedule[step], &states[step - first]);
                gradient.learning_rate[step] = rate;
                gradient.momentum[step] = momentum;
                gradient.noise_factor[step] = noise;
            }
        }
        Ok(gradient)
    }
}

/// (x, y, w) = λ(C, J, V) of the positive and the negative modes.
#[derive(Debug, Clone)]
struct State {
    blocks: [Vec<[f64; 3]>; 2],
}

/// The modes of a model with the closure that holds for them: negative modes see no noise.
fn blocks(model: &QuadraticModel) -> [(&Modes, bool); 2] {
    [(&model.modes, true), (&model.negative, false)]
}

impl State {
    fn initial(model: &QuadraticModel) -> Self {
        Self { blocks: blocks(model).map(|(modes, _)| modes.signal.iter().map(|&x| [x, 0.0, 0.0]).collect()) }
    }

    fn signal(&self) -> f64 {
        self.blocks[0].iter().map(|moments| moments[0]).sum()
    }

    fn sum(&self) -> f64 {
        self.blocks.iter().flatten().map(|moments| moments[0]).sum()
    }

    fn advance(&mut self, model: &QuadraticModel, sgd: &Sgd) {
        let drive = model.closure().tau1() * self.signal() + model.label_noise();
        for (block, (modes, noisy)) in self.blocks.iter_mut().zip(blocks(model)) {
            let (source, curvature) = noise_terms(model, sgd, drive, noisy);
            let b = sgd.momentum;
            for (moments, (&eigenvalue, &weight)) in
                block.iter_mut().zip(modes.eigenvalues.iter().zip(&modes.noise_weights))
            {
                let [x, y, w] = *moments;
                let rate = sgd.learning_rate * eigenvalue;
                let drift = b * y - rate * x;
                let gain = rate * (rate * curvature * x - 2.0 * b * y) + b * b * w + source * weight;
                *moments = [x + 2.0 * drift + gain, drift + gain, gain];
            }
        }
    }
}

/// γa²·drive and 1 − γτ2, or 0 and 1 without noise.
fn noise_terms(model: &QuadraticModel, sgd: &Sgd, drive: f64, noisy: bool) -> (f64, f64) {
    if noisy {
        let source = sgd.noise_factor * sgd.learning_rate * sgd.learning_rate * drive;
        (source, 1.0 - sgd.noise_factor * model.closure().tau2())
    } else {
        (0.0, 1.0)
    }
}

/// ∂L/∂(x, y, w) of every mode.
struct Adjoint {
    blocks: [Vec<[f64; 3]>; 2],
}

impl Adjoint {
    fn at_end(model: &QuadraticModel) -> Self {
        Self { blocks: blocks(model).map(|(modes, _)| vec![[0.5, 0.0, 0.0]; modes.len()]) }
    }

    /// One step back from after to before; returns ∂L/∂(a, b, γ) of the step.
    fn retreat(&mut self, model: &QuadraticModel, sgd: &Sgd, before: &State) -> [f64; 3] {
        let (a, b, gamma, closure) = (sgd.learning_rate, sgd.momentum, sgd.noise_factor, model.closure());
        let drive = closure.tau1() * before.signal() + model.label_noise();
        let mut gradient = [0.0; 3];
        let mut through_noise = 0.0;
        for ((block, state), (modes, noisy)) in self.blocks.iter_mut().zip(&before.blocks).zip(blocks(model)) {
            let (_, curvature) = noise_terms(model, sgd, drive, noisy);
            let nodes = modes.eigenvalues.iter().zip(&modes.noise_weights);
            for ((adjoint, &[x, y, w]), (&eigenvalue, &weight)) in block.iter_mut().zip(state).zip(nodes) {
                let [to_x, to_y, to_w] = *adjoint;
                let (to_gain, to_drift) = (to_x + to_y + to_w, 2.0 * to_x + to_y);
                let rate = a * eigenvalue;
                let noise = if noisy { to_gain * weight } else { 0.0 };
                gradient[0] -= to_drift * eigenvalue * x;
                gradient[0] +=
                    to_gain * 2.0 * eigenvalue * (rate * curvature * x - b * y) + 2.0 * gamma * a * drive * noise;
                gradient[1] += to_drift * y + 2.0 * to_gain * (b * w - rate * y);
                if noisy {
                    gradient[2] += a * a * drive * noise - to_gain * rate * rate * closure.tau2() * x;
                }
                through_noise += noise;
                *adjoint = [
                    to_x - to_drift * rate + to_gain * rate * rate * curvature,
                    b * (to_drift - 2.0 * to_gain * rate),
                    to_gain * b * b,
                ];
            }
        }
        let feedback = gamma * a * a * closure.tau1() * through_noise;
        self.blocks[0].iter_mut().for_each(|adjoint| adjoint[0] += feedback);
        gradient
    }
}

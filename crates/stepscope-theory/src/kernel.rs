//! One step of every mode, with the vector instructions of the CPU it runs on.
//!
//! The recursion is memory-bound streaming over a few arrays; `pulp` picks AVX-512, AVX2 or the baseline at run time
//! without unsafe code here. Arrays are padded with zeros to whole vectors: a zero mode stays zero.

use pulp::Simd;

use crate::modes::Modes;
use crate::sgd::Sgd;

/// Longest vector register, in f64.
const LANES: usize = 8;

/// Second moments of every mode, in units of loss: x = λC, y = λJ, w = λV with C = E δw², J = E δw·v, V = E v².
///
/// y and w stay empty when no step has momentum.
#[derive(Debug, Clone)]
pub(crate) struct MomentState {
    eigenvalues: Vec<f64>,
    noise_weights: Vec<f64>,
    error: Vec<f64>,
    cross: Vec<f64>,
    velocity: Vec<f64>,
}

fn padded(values: &[f64]) -> Vec<f64> {
    let mut padded = values.to_vec();
    padded.resize(values.len().next_multiple_of(LANES), 0.0);
    padded
}

impl MomentState {
    /// The state before the first step: velocity 0.
    pub(crate) fn new(modes: &Modes, with_momentum: bool) -> Self {
        let error = padded(&modes.signal);
        let zeros = vec![0.0; if with_momentum { error.len() } else { 0 }];
        Self {
            eigenvalues: padded(&modes.eigenvalues),
            noise_weights: padded(&modes.noise_weights),
            error,
            cross: zeros.clone(),
            velocity: zeros,
        }
    }

    /// The state one step after a kick of gradient noise hit weights at rest: x = y = w = Σ λC of `modes`.
    pub(crate) fn kicked(modes: &Modes) -> Self {
        let state = Self::new(modes, false);
        Self { cross: state.error.clone(), velocity: state.error.clone(), ..state }
    }

    /// Σ λC.
    pub(crate) fn signal(&self) -> f64 {
        self.error.iter().sum()
    }

    /// λ of each mode, padded with zeros.
    pub(crate) fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// x = λC of each mode, padded with zeros.
    pub(crate) fn errors(&self) -> &[f64] {
        &self.error
    }

    /// y = λJ of each mode, padded with zeros; empty without momentum.
    pub(crate) fn crosses(&self) -> &[f64] {
        &self.cross
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.error.is_empty()
    }

    /// One update of every mode; returns the new Σ λC. `drive` is τ1·S + σ².
    #[inline(always)]
    pub(crate) fn advance<S: Simd>(&mut self, simd: S, sgd: Sgd, drive: f64, tau2: f64) -> f64 {
        let step = VectorStep::new(simd, sgd, drive, tau2);
        if self.velocity.is_empty() {
            step.without_momentum(simd, &self.eigenvalues, &self.noise_weights, &mut self.error)
        } else {
            step.with_momentum(simd, self)
        }
    }
}

/// The coefficients of one step, spread over vector registers.
struct VectorStep<S: Simd> {
    learning_rate: S::f64s,
    momentum: S::f64s,
    momentum_squared: S::f64s,
    minus_two: S::f64s,
    /// 1 − γτ2.
    curvature: S::f64s,
    /// γa²·drive.
    source: S::f64s,
    one: S::f64s,
    two: S::f64s,
}

impl<S: Simd> VectorStep<S> {
    #[inline(always)]
    fn new(simd: S, sgd: Sgd, drive: f64, tau2: f64) -> Self {
        let Sgd { learning_rate, momentum, noise_factor } = sgd;
        Self {
            learning_rate: simd.splat_f64s(learning_rate),
            momentum: simd.splat_f64s(momentum),
            momentum_squared: simd.splat_f64s(momentum * momentum),
            minus_two: simd.splat_f64s(-2.0),
            curvature: simd.splat_f64s(1.0 - noise_factor * tau2),
            source: simd.splat_f64s(noise_factor * learning_rate * learning_rate * drive),
            one: simd.splat_f64s(1.0),
            two: simd.splat_f64s(2.0),
        }
    }

    /// x′ = [1 + aλ(aλ(1 − γτ2) − 2)]x + source·q.
    #[inline(always)]
    fn plain(&self, simd: S, eigenvalue: S::f64s, noise_weight: S::f64s, error: S::f64s) -> S::f64s {
        let rate = simd.mul_f64s(self.learning_rate, eigenvalue);
        let inner = simd.sub_f64s(simd.mul_f64s(rate, self.curvature), self.two);
        let decay = simd.mul_add_e_f64s(rate, inner, self.one);
        simd.mul_add_e_f64s(decay, error, simd.mul_f64s(self.source, noise_weight))
    }

    #[inline(always)]
    fn without_momentum(&self, simd: S, eigenvalues: &[f64], noise_weights: &[f64], errors: &mut [f64]) -> f64 {
        let (eigenvalues, _) = S::as_simd_f64s(eigenvalues);
        let (noise_weights, _) = S::as_simd_f64s(noise_weights);
        let (errors, _) = S::as_mut_simd_f64s(errors);
        let mut sums = [simd.splat_f64s(0.0); 4];
        let mut blocks = errors.chunks_exact_mut(4);
        let nodes = eigenvalues.chunks_exact(4).zip(noise_weights.chunks_exact(4));
        for (block, (eigenvalue, weight)) in (&mut blocks).zip(nodes) {
            for lane in 0..4 {
                block[lane] = self.plain(simd, eigenvalue[lane], weight[lane], block[lane]);
                sums[lane] = simd.add_f64s(sums[lane], block[lane]);
            }
        }
        let rest = blocks.into_remainder();
        let start = eigenvalues.len() - rest.len();
        for (error, (&eigenvalue, &weight)) in
            rest.iter_mut().zip(eigenvalues[start..].iter().zip(&noise_weights[start..]))
        {
            *error = self.plain(simd, eigenvalue, weight, *error);
            sums[0] = simd.add_f64s(sums[0], *error);
        }
        reduce(simd, sums)
    }

    /// h = by − aλx, G = aλ(aλ(1 − γτ2)x − 2by) + b²w + source·q; x′ = x + 2h + G, y′ = h + G, w′ = G.
    #[inline(always)]
    fn general(&self, simd: S, eigenvalue: S::f64s, noise_weight: S::f64s, moments: [S::f64s; 3]) -> [S::f64s; 3] {
        let [x, y, w] = moments;
        let rate = simd.mul_f64s(self.learning_rate, eigenvalue);
        let pull = simd.mul_f64s(rate, x);
        let push = simd.mul_f64s(self.momentum, y);
        let drift = simd.sub_f64s(push, pull);
        let inner = simd.mul_add_e_f64s(self.minus_two, push, simd.mul_f64s(self.curvature, pull));
        let source = simd.mul_add_e_f64s(self.momentum_squared, w, simd.mul_f64s(self.source, noise_weight));
        let gain = simd.mul_add_e_f64s(rate, inner, source);
        let cross = simd.add_f64s(drift, gain);
        [simd.add_f64s(simd.add_f64s(x, drift), cross), cross, gain]
    }

    #[inline(always)]
    fn with_momentum(&self, simd: S, state: &mut MomentState) -> f64 {
        let (eigenvalues, _) = S::as_simd_f64s(&state.eigenvalues);
        let (noise_weights, _) = S::as_simd_f64s(&state.noise_weights);
        let (errors, _) = S::as_mut_simd_f64s(&mut state.error);
        let (crosses, _) = S::as_mut_simd_f64s(&mut state.cross);
        let (velocities, _) = S::as_mut_simd_f64s(&mut state.velocity);
        let mut sum = simd.splat_f64s(0.0);
        let nodes = eigenvalues.iter().zip(noise_weights);
        let moments = errors.iter_mut().zip(crosses.iter_mut().zip(velocities.iter_mut()));
        for ((&eigenvalue, &weight), (x, (y, w))) in nodes.zip(moments) {
            [*x, *y, *w] = self.general(simd, eigenvalue, weight, [*x, *y, *w]);
            sum = simd.add_f64s(sum, *x);
        }
        simd.reduce_sum_f64s(sum)
    }
}

#[inline(always)]
fn reduce<S: Simd>(simd: S, sums: [S::f64s; 4]) -> f64 {
    simd.reduce_sum_f64s(simd.add_f64s(simd.add_f64s(sums[0], sums[1]), simd.add_f64s(sums[2], sums[3])))
}

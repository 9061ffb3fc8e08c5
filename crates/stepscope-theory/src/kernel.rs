//! One step of every mode, with the vector instructions of the CPU it runs on.
//!
//! The recursion is memory-bound streaming over a few arrays; `pulp` picks AVX-512, AVX2 or the baseline at run time
//! without unsafe code here. Modes are padded with zeros to whole blocks: a zero mode stays zero.

use pulp::Simd;

use crate::modes::Modes;
use crate::sgd::Sgd;

/// Longest vector register, in f64.
const LANES: usize = 8;

/// Eight neighbouring modes: x = λC in units of loss, with what moves it. Aligned to a cache line, so that no vector load
/// straddles two; interleaved, so that no two streams meet at the same cache set.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Block {
    eigenvalues: [f64; LANES],
    noise_weights: [f64; LANES],
    error: [f64; LANES],
}

/// The momentum side of a [`Block`]: y = λJ, w = λV.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Motion {
    cross: [f64; LANES],
    velocity: [f64; LANES],
}

/// Second moments of every mode, in units of loss: x = λC, y = λJ, w = λV with C = E δw², J = E δw·v, V = E v².
///
/// y and w stay empty when no step has momentum.
#[derive(Debug, Clone)]
pub(crate) struct MomentState {
    blocks: Vec<Block>,
    motions: Vec<Motion>,
}

/// λ, λC and λJ of one mode; λJ is 0 without momentum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModeMoments {
    pub(crate) eigenvalue: f64,
    pub(crate) error: f64,
    pub(crate) cross: f64,
}

fn chunk(values: &[f64], block: usize) -> [f64; LANES] {
    std::array::from_fn(|lane| values.get(block * LANES + lane).copied().unwrap_or(0.0))
}

impl MomentState {
    /// The state before the first step: velocity 0.
    pub(crate) fn new(modes: &Modes, with_momentum: bool) -> Self {
        let block = |index: usize| Block {
            eigenvalues: chunk(&modes.eigenvalues, index),
            noise_weights: chunk(&modes.noise_weights, index),
            error: chunk(&modes.signal, index),
        };
        let blocks: Vec<Block> = (0..modes.len().div_ceil(LANES)).map(block).collect();
        let motions = vec![Motion::default(); if with_momentum { blocks.len() } else { 0 }];
        Self { blocks, motions }
    }

    /// The state one step after a kick of gradient noise hit weights at rest: x = y = w = Σ λC of `modes`.
    pub(crate) fn kicked(modes: &Modes) -> Self {
        let Self { blocks, .. } = Self::new(modes, false);
        let motions = blocks.iter().map(|block| Motion { cross: block.error, velocity: block.error }).collect();
        Self { blocks, motions }
    }

    /// Σ λC.
    pub(crate) fn signal(&self) -> f64 {
        self.blocks.iter().flat_map(|block| block.error).sum()
    }

    /// The moments of each mode, padded with zeros to whole blocks.
    pub(crate) fn modes(&self) -> impl Iterator<Item = ModeMoments> + '_ {
        let crosses = self.motions.iter().map(|motion| motion.cross).chain(std::iter::repeat([0.0; LANES]));
        self.blocks.iter().zip(crosses).flat_map(|(block, cross)| {
            (0..LANES).map(move |lane| ModeMoments {
                eigenvalue: block.eigenvalues[lane],
                error: block.error[lane],
                cross: cross[lane],
            })
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// One update of every mode; returns the new Σ λC. `drive` is τ1·S + σ².
    #[inline(always)]
    pub(crate) fn advance<S: Simd>(&mut self, simd: S, sgd: Sgd, drive: f64, tau2: f64) -> f64 {
        let step = VectorStep::new(simd, sgd, drive, tau2);
        if self.motions.is_empty() {
            step.without_momentum(simd, &mut self.blocks)
        } else {
            step.with_momentum(simd, &mut self.blocks, &mut self.motions)
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
    fn without_momentum(&self, simd: S, blocks: &mut [Block]) -> f64 {
        let mut sum = simd.splat_f64s(0.0);
        for block in blocks {
            let (eigenvalues, _) = S::as_simd_f64s(&block.eigenvalues);
            let (noise_weights, _) = S::as_simd_f64s(&block.noise_weights);
            let (errors, _) = S::as_mut_simd_f64s(&mut block.error);
            for ((x, &eigenvalue), &weight) in errors.iter_mut().zip(eigenvalues).zip(noise_weights) {
                *x = self.plain(simd, eigenvalue, weight, *x);
                sum = simd.add_f64s(sum, *x);
            }
        }
        simd.reduce_sum_f64s(sum)
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
    fn with_momentum(&self, simd: S, blocks: &mut [Block], motions: &mut [Motion]) -> f64 {
        let mut sum = simd.splat_f64s(0.0);
        for (block, motion) in blocks.iter_mut().zip(motions) {
            let (eigenvalues, _) = S::as_simd_f64s(&block.eigenvalues);
            let (noise_weights, _) = S::as_simd_f64s(&block.noise_weights);
            let (errors, _) = S::as_mut_simd_f64s(&mut block.error);
            let (crosses, _) = S::as_mut_simd_f64s(&mut motion.cross);
            let (velocities, _) = S::as_mut_simd_f64s(&mut motion.velocity);
            let nodes = eigenvalues.iter().zip(noise_weights);
            let moments = errors.iter_mut().zip(crosses.iter_mut().zip(velocities.iter_mut()));
            for ((&eigenvalue, &weight), (x, (y, w))) in nodes.zip(moments) {
                [*x, *y, *w] = self.general(simd, eigenvalue, weight, [*x, *y, *w]);
                sum = simd.add_f64s(sum, *x);
            }
        }
        simd.reduce_sum_f64s(sum)
    }
}

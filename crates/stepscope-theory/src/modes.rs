//! The modes of a quadratic as the recursions see them: in units of loss, so that many modes can share one node.

use stepscope_types::Spectrum;

/// Nodes of a spectrum in the units of the loss.
///
/// A node stands for one mode, for several equal ones, or for a bin of neighbours:
///
/// | symbol | field | one mode of multiplicity m |
/// |---|---|---|
/// | λ | `eigenvalues` | λ |
/// | p = Σ λC | `signal` | mλC₀ |
/// | q = Σ λ² | `noise_weights` | mλ² |
///
/// In these units the recursion of a node is linear with one noise source, x′ = d(λ)x + q·(...), so nothing else of
/// the bin is needed (`loss-prediction`, sections 1 and 2). Every eigenvalue is positive, in descending order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Modes {
    pub(crate) eigenvalues: Vec<f64>,
    pub(crate) signal: Vec<f64>,
    pub(crate) noise_weights: Vec<f64>,
}

impl Modes {
    /// The positive and the negative side of a spectrum, and the number of zeros. Negative modes carry no noise.
    pub(crate) fn split(spectrum: &Spectrum) -> (Self, Self, usize) {
        let select = |wanted: fn(f64) -> bool| -> Self {
            let chosen = || spectrum.pairs().filter(|(eigenvalue, _)| wanted(*eigenvalue));
            Self {
                eigenvalues: chosen().map(|(eigenvalue, _)| eigenvalue).collect(),
                signal: chosen().map(|(eigenvalue, coefficient)| eigenvalue * coefficient).collect(),
                noise_weights: chosen().map(|(eigenvalue, _)| eigenvalue.max(0.0) * eigenvalue).collect(),
            }
        };
        let (positive, negative) = (select(|v| v > 0.0), select(|v| v < 0.0));
        let zeros = spectrum.num_modes() - positive.len() - negative.len();
        (positive, negative, zeros)
    }

    /// No modes.
    pub(crate) fn empty() -> Self {
        Self { eigenvalues: Vec::new(), signal: Vec::new(), noise_weights: Vec::new() }
    }

    /// Adds one node.
    pub(crate) fn push(&mut self, eigenvalue: f64, signal: f64, noise_weight: f64) {
        self.eigenvalues.push(eigenvalue);
        self.signal.push(signal);
        self.noise_weights.push(noise_weight);
    }

    pub(crate) fn len(&self) -> usize {
        self.eigenvalues.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.eigenvalues.is_empty()
    }

    /// (λ, Σλ², Σλ · C) of each node: with the number of modes in a node m = q/λ².
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
        self.eigenvalues.iter().zip(&self.noise_weights).zip(&self.signal).map(|((&l, &q), &p)| (l, q, p))
    }

    /// Σ λ over all modes: the trace. A node of q = mλ² holds m modes of λ.
    pub(crate) fn trace(&self) -> f64 {
        self.nodes().map(|(eigenvalue, q, _)| q / eigenvalue).sum()
    }

    /// Σ λC: twice the initial loss.
    pub(crate) fn initial_signal(&self) -> f64 {
        self.signal.iter().sum()
    }
}

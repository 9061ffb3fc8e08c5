//! A spectral density, as the folder of a run keeps it.

use serde::{Deserialize, Serialize};

use crate::section::plain;
use crate::{Estimate, Mode, Spectrum, Step};

/// How the eigenvalues of a curvature matrix are distributed at a step: a file of `spectra/` in a run's folder, raw.
///
/// `stepscope predict --spectrum FILE` reads it too: every node of [`SavedSpectrum::pooled`] stands for as many modes as its weight
/// says, and [`SavedSpectrum::gradient`] says how far each is from its minimum.
///
/// Source: `curvature`, section 4.5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedSpectrum {
    /// What the file is; the first key in it, by which it is known.
    pub kind: SpectrumKind,
    /// Layout of the file: [`SavedSpectrum::FORMAT`].
    pub format: u32,
    /// Updates applied to the weights.
    pub step: Step,
    /// The matrix: `hessian`.
    pub matrix: String,
    /// How the network was evaluated.
    pub mode: Mode,
    /// Rows of the matrix: parameters of the network.
    pub num_params: u64,
    /// Examples of the loss.
    pub num_examples: u64,
    /// Matrix-vector products spent on all that is here.
    pub num_products: u64,
    /// Share of the eigenvalues below zero, beyond rounding.
    pub negative_mass: Estimate,
    /// Nodes and weights of the Gauss quadrature from each random vector; the weights of one sum to 1.
    pub probes: Vec<Spectrum>,
    /// The same from the gradient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient: Option<GradientMeasure>,
}

/// How a gradient lies along the eigenvalues of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GradientMeasure {
    /// ‖g‖².
    pub squared_norm: f64,
    /// Nodes, and the share of ‖g‖² at each.
    pub nodes: Spectrum,
}

/// What a file with a [`SavedSpectrum`] calls itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpectrumKind {
    /// Nodes and weights of a spectral density.
    #[default]
    SpectralDensity,
}

impl SavedSpectrum {
    /// The layout that this version writes.
    pub const FORMAT: u32 = 1;

    /// The name under which a run's folder keeps it.
    pub fn file_name(&self) -> String {
        format!("step-{:09}-{}.json", self.step.0, plain(&self.matrix))
    }

    /// Every node with the share of the eigenvalues that it stands for, a mean over the random vectors. The shares sum to 1.
    pub fn pooled(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let share = 1.0 / self.probes.len().max(1) as f64;
        self.probes.iter().flat_map(Spectrum::pairs).map(move |(node, weight)| (node, share * weight))
    }

    /// The width of the Gaussians that m nodes of a probe bear: σ = R/((m − 1)√(8 ln 3)) for eigenvalues that span 2R, so that
    /// neighbouring nodes spread evenly over the range just touch.
    ///
    /// Source: `curvature`, section 4.5 (as curvlinops and Papyan 2020 choose it, with κ = 3).
    pub fn width(&self) -> f64 {
        let nodes = || self.pooled().map(|(node, _)| node);
        let (low, high) = (nodes().fold(f64::INFINITY, f64::min), nodes().fold(f64::NEG_INFINITY, f64::max));
        let most = self.probes.iter().map(Spectrum::num_modes).max().unwrap_or(0).max(2);
        // Nodes of a multiple of the identity have no range, and any width will do.
        let half = if high > low { 0.5 * (high - low) } else { 0.05 * high.abs().max(1e-12) };
        2.0 * half / ((most - 1) as f64 * (8.0 * 3.0_f64.ln()).sqrt())
    }

    /// Share of the eigenvalues per unit at `place`, every node spread by a Gaussian of standard deviation `width`: the mean over
    /// random vectors and its standard error, NaN for a single one.
    pub fn density(&self, place: f64, width: f64) -> (f64, f64) {
        let gaussian = |x: f64| (-0.5 * (x / width).powi(2)).exp() / (width * std::f64::consts::TAU.sqrt());
        let of = |probe: &Spectrum| probe.pairs().map(|(node, weight)| weight * gaussian(node - place)).sum::<f64>();
        let values: Vec<f64> = self.probes.iter().map(of).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (mean, (squares / (count * (count - 1.0))).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Uncertainty;

    fn saved() -> SavedSpectrum {
        let probe = |weights: [f64; 3]| Spectrum::new(vec![4.0, 0.0, -1.0], weights.to_vec()).unwrap();
        SavedSpectrum {
            kind: SpectrumKind::SpectralDensity,
            format: SavedSpectrum::FORMAT,
            step: Step(30),
            matrix: "hessian".to_owned(),
            mode: Mode::Eval,
            num_params: 100,
            num_examples: 64,
            num_products: 6,
            negative_mass: Estimate::new(0.2, "1", Uncertainty::StandardError(0.1)),
            probes: vec![probe([0.1, 0.6, 0.3]), probe([0.3, 0.6, 0.1])],
            gradient: None,
        }
    }

    #[test]
    fn the_density_integrates_to_one_with_the_error_between_vectors() {
        let spectrum = saved();
        let width = spectrum.width();
        let step = 0.05;
        let (mut total, mut near_top) = (0.0, (0.0, 0.0));
        for k in -200..=300 {
            let (density, error) = spectrum.density(step * f64::from(k), width);
            total += step * density;
            if k == 80 {
                near_top = (density, error);
            }
        }
        assert!((total - 1.0).abs() < 1e-6, "{total}");
        // At 4 stand 0.1 and 0.3 of the weight: 0.2 ± 0.1.
        assert!((near_top.1 / near_top.0 - 0.5).abs() < 1e-3, "{near_top:?}");
        assert!((spectrum.pooled().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_kind_is_the_first_word_of_the_file() {
        let text = serde_json::to_string(&saved()).unwrap();
        assert!(text.starts_with(r#"{"kind":"spectral-density","format":1"#), "{text}");
        assert_eq!(serde_json::from_str::<SavedSpectrum>(&text).unwrap(), saved());
        assert_eq!(saved().file_name(), "step-000000030-hessian.json");
        assert!(serde_json::from_str::<SavedSpectrum>(&text.replace("spectral-density", "other")).is_err());
    }
}

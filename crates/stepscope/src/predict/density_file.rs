//! A spectral density that was measured on a network, as modes that can be predicted.

use std::io::BufRead;
use std::path::Path;

use stepscope_types::SavedSpectrum;

use super::error::SourceError;
use super::mode_table::ModeTable;

/// Eigenvalues nearer to zero than this share of the largest are rounding: no step length resolves what they do.
const ROUNDING: f64 = 1e-4;
/// How such a file begins, white space aside.
const BEGINNING: &[u8] = b"{\"kind\":\"spectral-density\"";

/// Whether a file that begins with `start` is a [`SavedSpectrum`].
pub(super) fn is_density(start: &[u8]) -> bool {
    let letters: Vec<u8> =
        start.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(BEGINNING.len()).collect();
    letters == BEGINNING
}

/// The quadratic that a spectral density and the gradient's measure describe.
///
/// A node θ of weight ω of a random vector's quadrature stands for P ω modes, of which the step only needs to know the curvature: they are
/// there for the gradient noise, with coefficient 0. Where they are is in the gradient: its node θ with a share ω of ‖g‖² is a mode at the
/// distance ‖g‖ √ω/θ from its minimum, so that C = ‖g‖² ω/θ². What lies at or below zero, or within 10⁻⁴ of the largest eigenvalue, has no
/// minimum that could be reached and is left out, with a warning that says how much that is.
///
/// Source: quadrature `curvature`, section 4.5; the use of it, ours. The curvature of a network changes as it trains: such a prediction is
/// about the loss nearby.
pub(super) fn read(path: &Path, reader: impl BufRead) -> Result<ModeTable, SourceError> {
    let broken = |error: serde_json::Error| {
        SourceError::file(
            path,
            format!("a spectral density that cannot be read ({error})"),
            "a file of `spectra/`",
            "measure it again",
        )
    };
    let saved: SavedSpectrum = serde_json::from_reader(reader).map_err(broken)?;
    if saved.format > SavedSpectrum::FORMAT {
        let (got, known) = (format!("format {}", saved.format), format!("formats up to {}", SavedSpectrum::FORMAT));
        return Err(SourceError::file(path, got, known, "use the version that wrote it"));
    }
    let Some(gradient) = &saved.gradient else {
        let advice = "without it nothing says how far the modes are from their minimum: `stepscope measure DIR --probe hessian-spectrum` \
                      measures both";
        return Err(SourceError::file(path, "a density without the gradient's measure", "both", advice));
    };
    let largest =
        saved.pooled().map(|(node, _)| node).chain(gradient.nodes.eigenvalues().iter().copied()).fold(0.0, f64::max);
    let is_kept = |node: f64| node > ROUNDING * largest;
    let mut table = ModeTable::default();
    for (node, share) in gradient.nodes.pairs().filter(|(node, _)| is_kept(*node)) {
        table.push(node, gradient.squared_norm * share / (node * node), 1.0);
    }
    for (node, share) in saved.pooled().filter(|(node, share)| is_kept(*node) && *share > 0.0) {
        table.push(node, 0.0, share * saved.num_params as f64);
    }
    let left_out = |pairs: &mut dyn Iterator<Item = (f64, f64)>| -> f64 {
        pairs.filter(|(node, _)| !is_kept(*node)).map(|(_, share)| share).sum()
    };
    table.leave_out(left_out(&mut saved.pooled()), left_out(&mut gradient.nodes.pairs()));
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_theory::Closure;
    use stepscope_types::{Estimate, GradientMeasure, Mode, Spectrum, SpectrumKind, Step, Uncertainty};

    fn saved() -> SavedSpectrum {
        let spectrum = |nodes: &[f64], weights: &[f64]| Spectrum::new(nodes.to_vec(), weights.to_vec()).unwrap();
        SavedSpectrum {
            kind: SpectrumKind::SpectralDensity,
            format: SavedSpectrum::FORMAT,
            step: Step(3),
            matrix: "hessian".into(),
            mode: Mode::Eval,
            num_params: 40,
            num_examples: 64,
            num_products: 6,
            negative_mass: Estimate::new(0.5, "1", Uncertainty::StandardError(0.0)),
            probes: vec![spectrum(&[4.0, -1.0], &[0.25, 0.75]), spectrum(&[4.0, -1.0], &[0.75, 0.25])],
            // Gradient (6, 0.5) over the curvatures 4 and -1: 1.5 from the minimum along the first.
            gradient: Some(GradientMeasure {
                squared_norm: 36.25,
                nodes: spectrum(&[4.0, -1.0], &[36.0 / 36.25, 0.25 / 36.25]),
            }),
        }
    }

    #[test]
    fn modes_of_a_known_quadratic_come_back_with_their_coefficients_and_numbers() {
        let text = serde_json::to_string_pretty(&saved()).unwrap();
        assert!(is_density(text.as_bytes()) && !is_density(b"{\"eigenvalue\":1}"));
        let table = read(Path::new("s.json"), text.as_bytes()).unwrap();
        assert_eq!(table.eigenvalues(), [4.0, 4.0, 4.0]);
        assert!((table.coefficients()[0] - 2.25).abs() < 1e-12, "{table:?}");
        assert_eq!((table.coefficients()[1], table.multiplicities()), (0.0, Some(&[1.0, 5.0, 15.0][..])));
        let (_, warnings) = table.model(Closure::INTERPOLATING).unwrap();
        let words = warnings[0].to_string();
        assert!(
            words.contains("50.00 %") && words.contains("0.69 %"),
            "half of the eigenvalues, little of the gradient: {words}"
        );
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_what_to_do() {
        let refused = |change: fn(&mut SavedSpectrum)| {
            let mut spectrum = saved();
            change(&mut spectrum);
            read(Path::new("s.json"), serde_json::to_string(&spectrum).unwrap().as_bytes()).unwrap_err().to_string()
        };
        let message = refused(|spectrum| spectrum.gradient = None);
        assert!(message.contains("s.json") && message.contains("hessian-spectrum"), "{message}");
        assert!(refused(|spectrum| spectrum.format = 9).contains("format 9"));
        let cut = read(Path::new("s.json"), &b"{\"kind\":\"spectral-density\",\"form"[..]).unwrap_err().to_string();
        assert!(cut.contains("cannot be read"), "{cut}");
    }
}

//! Spectral densities: the last one of each run, broadened, over its raw nodes; the first one behind it.

use std::fmt::Write;

use stepscope_types::SavedSpectrum;

use crate::Run;
use crate::number;
use crate::page::axis::{self, Axis};
use crate::page::lineup::Lineup;
use crate::page::template::escape;

/// Runs whose spectra are drawn.
const MOST_FIGURES: usize = 24;

/// Size of a drawing and the room of the density in it, in pixels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 268.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 448.0;
const DENSITY: [f64; 2] = [22.0, 196.0];
/// Upper and lower end of the strokes that stand for nodes.
const NODES: [f64; 2] = [204.0, 226.0];
/// Places at which the density is evaluated.
const NUM_PLACES: usize = 240;
/// Decades of density that are shown below the largest.
const DECADES: f64 = 6.0;

/// The section; nothing where no run kept a spectrum.
pub(super) fn render(lineup: &Lineup) -> String {
    let drawn: Vec<(usize, &str)> = lineup
        .whole()
        .flat_map(|entry| matrices(&lineup.entries[entry].run).into_iter().map(move |matrix| (entry, matrix)))
        .collect();
    if drawn.is_empty() {
        return String::new();
    }
    let figures: String =
        drawn.iter().take(MOST_FIGURES).map(|(entry, matrix)| figure(lineup, *entry, matrix)).collect();
    let left_out = drawn.len().saturating_sub(MOST_FIGURES);
    let rest = if left_out > 0 {
        format!(" {left_out} more are in <code>spectra/</code> of the runs.")
    } else {
        String::new()
    };
    format!(
        "<section id=\"spectra\">\n<h2>Spectral density</h2>\n<p class=\"lead\">How eigenvalues are distributed, by quadrature from random \
         vectors: the last density of each run with one standard error between vectors, the first one dashed, and below them \
         the raw nodes of the last, darker where they stand for more.{rest}</p>\n<div class=\"panels\">\n{figures}</div>\n</section>\n"
    )
}

/// The matrices of which a run has spectra, each once.
fn matrices(run: &Run) -> Vec<&str> {
    let mut matrices: Vec<&str> = run.spectra().iter().map(|spectrum| spectrum.matrix.as_str()).collect();
    matrices.sort_unstable();
    matrices.dedup();
    matrices
}

fn figure(lineup: &Lineup, entry: usize, matrix: &str) -> String {
    let run = &lineup.entries[entry].run;
    let mut of_matrix = run.spectra().iter().filter(|spectrum| spectrum.matrix == matrix);
    let Some(first) = of_matrix.next() else { return String::new() };
    let last = of_matrix.next_back();
    let (earlier, spectrum) = last.map_or((None, first), |last| (Some(first), last));
    format!(
        "<figure class=\"panel\"><header><h3>{} <small>step {}</small></h3><p>{}. {}</p></header>\n{}{}</figure>\n",
        escape(&title(matrix)),
        number::count(spectrum.step.0),
        lineup.label(entry),
        escape(&words(spectrum, earlier)),
        drawing(&lineup.colour(entry), spectrum, earlier),
        raw(spectrum)
    )
}

fn title(matrix: &str) -> String {
    if matrix == "hessian" {
        "Density of the Hessian".to_owned()
    } else {
        format!("Density of the {}", matrix.replace('-', " "))
    }
}

fn words(spectrum: &SavedSpectrum, earlier: Option<&SavedSpectrum>) -> String {
    let (low, high) = spectrum.negative_mass.interval();
    let mut text = format!(
        "{} % of {} eigenvalues are negative. {} random vectors, {} products, {} examples, mode {}; broadened by {}.",
        number::with_error(100.0 * spectrum.negative_mass.value, 50.0 * (high - low)),
        number::count(spectrum.num_params),
        spectrum.probes.len(),
        number::count(spectrum.num_products),
        number::count(spectrum.num_examples),
        spectrum.mode.word(),
        axis::label(spectrum.width())
    );
    if let Some(earlier) = earlier {
        let _ = write!(text, " Dashed: step {}.", number::count(earlier.step.0));
    }
    text
}

/// Nodes and weights as CSV.
fn raw(spectrum: &SavedSpectrum) -> String {
    let mut text = "vector,eigenvalue,weight\n".to_owned();
    for (index, probe) in spectrum.probes.iter().enumerate() {
        for (node, weight) in probe.pairs() {
            let _ = writeln!(text, "{},{node},{weight}", index + 1);
        }
    }
    if let Some(gradient) = &spectrum.gradient {
        for (node, weight) in gradient.nodes.pairs() {
            let _ = writeln!(text, "gradient,{node},{weight}");
        }
    }
    format!("<details><summary>The nodes, as CSV</summary><pre class=\"raw\">{text}</pre></details>\n")
}

fn drawing(colour: &str, spectrum: &SavedSpectrum, earlier: Option<&SavedSpectrum>) -> String {
    let all = || std::iter::once(spectrum).chain(earlier);
    let width = spectrum.width();
    let nodes = all().flat_map(SavedSpectrum::pooled).map(|(node, _)| node);
    let Some(x) = Axis::linear(nodes.chain([0.0]), [LEFT, RIGHT]) else { return String::new() };
    let x = x.with_room(0.03);
    let places: Vec<f64> = (0..=NUM_PLACES).map(|k| x.value(k as f64 / NUM_PLACES as f64)).collect();
    let of = |spectrum: &SavedSpectrum, width: f64| -> Vec<(f64, f64)> {
        places.iter().map(|&place| spectrum.density(place, width)).collect()
    };
    let density = of(spectrum, width);
    let before = earlier.map(|earlier| of(earlier, earlier.width()));
    let largest =
        density.iter().chain(before.iter().flatten()).map(|(value, _)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let floor = largest * 10_f64.powf(-DECADES);
    let Some(y) = Axis::log([floor, largest].into_iter(), [DENSITY[1], DENSITY[0]]) else { return String::new() };
    let mut svg =
        format!("<svg {colour} viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"spectral density\">");
    grid(&mut svg, &x, &y);
    let at = |value: f64| y.at(value.max(floor)).unwrap_or(DENSITY[1]);
    let across = |place: f64| x.at(place).unwrap_or(LEFT);
    // What lies below the floor is not drawn.
    let curve = |values: &[(f64, f64)]| -> String {
        let (mut path, mut is_down) = (String::new(), false);
        for (place, (value, _)) in places.iter().zip(values) {
            if *value >= floor {
                let _ = write!(path, "{}{:.1} {:.1}", if is_down { 'L' } else { 'M' }, across(*place), at(*value));
            }
            is_down = *value >= floor;
        }
        path
    };
    if let Some(before) = &before {
        let _ = write!(svg, "<path class=\"aside-curve\" d=\"{}\"/>", curve(before));
    }
    if density.iter().all(|(_, error)| error.is_finite()) {
        let edge = |sign: f64| {
            let edge = places.iter().zip(&density);
            edge.map(|(place, (value, error))| format!("{:.1} {:.1}", across(*place), at(value + sign * error)))
                .collect()
        };
        let (upper, mut lower): (Vec<String>, Vec<String>) = (edge(1.0), edge(-1.0));
        lower.reverse();
        let corners = [upper, lower].concat().join("L");
        let _ = write!(svg, "<path class=\"band curve-line\" d=\"M{corners}Z\"/>");
    }
    let _ = write!(svg, "<path class=\"curve-line\" d=\"{}\"/>", curve(&density));
    strokes(&mut svg, &x, spectrum);
    svg + "</svg>\n"
}

/// A stroke for every node, darker the more eigenvalues it stands for.
fn strokes(svg: &mut String, x: &Axis, spectrum: &SavedSpectrum) {
    for (node, share) in spectrum.pooled().filter(|(_, share)| *share > 0.0) {
        let Some(x) = x.at(node) else { continue };
        // From one part in 10⁸ to all of them.
        let darkness = (1.0 + share.log10() / 8.0).clamp(0.15, 1.0);
        let _ = write!(
            svg,
            "<path class=\"node\" opacity=\"{darkness:.2}\" d=\"M{x:.1} {}V{}\"><title>{} stands for {} eigenvalues</title></path>",
            NODES[0],
            NODES[1],
            axis::label(node),
            number::significant(share * spectrum.num_params as f64)
        );
    }
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    for (value, text) in y.ticks(4) {
        let Some(y) = y.at(value) else { continue };
        let _ = write!(
            svg,
            "<path class=\"rule\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 7.0,
            y + 4.0
        );
    }
    for (value, text) in x.ticks(6) {
        let Some(x) = x.at(value) else { continue };
        let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>", NODES[1] + 16.0);
    }
    if let Some(zero) = x.at(0.0) {
        let _ = write!(svg, "<path class=\"end\" d=\"M{zero:.1} {:.1}V{:.1}\"/>", DENSITY[0], NODES[1]);
    }
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\">share of eigenvalues per unit</text><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">eigenvalue</text>",
        DENSITY[0] - 8.0,
        (LEFT + RIGHT) / 2.0,
        HEIGHT - 6.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;
    use stepscope_types::{Estimate, GradientMeasure, Mode, Spectrum, SpectrumKind, Step, Uncertainty};

    fn spectrum(step: u64, top: f64) -> SavedSpectrum {
        let probe =
            |share: f64| Spectrum::new(vec![top, 0.5, 0.0, -0.25], vec![share, 0.1, 0.85 - share, 0.05]).unwrap();
        SavedSpectrum {
            kind: SpectrumKind::SpectralDensity,
            format: SavedSpectrum::FORMAT,
            step: Step(step),
            matrix: "hessian".to_owned(),
            mode: Mode::Eval,
            num_params: 17_226,
            num_examples: 1024,
            num_products: 48,
            negative_mass: Estimate::new(0.05, "1", Uncertainty::StandardError(0.01)),
            probes: vec![probe(0.001), probe(0.002)],
            gradient: Some(GradientMeasure { squared_norm: 2.0, nodes: Spectrum::new(vec![top], vec![1.0]).unwrap() }),
        }
    }

    fn html(spectra: Vec<SavedSpectrum>) -> String {
        let mut run = Run::from_records(synthetic::manifest("<run>", 0.1), []);
        run.kept_mut().spectra = spectra;
        render(&Lineup::new(&[run]))
    }

    #[test]
    fn the_last_density_is_drawn_over_its_nodes_and_the_first_behind_it() {
        let html = html(vec![spectrum(0, 3.0), spectrum(50, 8.0), spectrum(100, 12.0)]);
        assert_eq!(html.matches("class=\"node\"").count(), 8, "four nodes of two vectors");
        assert_eq!((html.matches("class=\"aside-curve\"").count(), html.matches("class=\"band ").count()), (1, 1));
        assert!(html.contains("step 100</small>") && html.contains("Dashed: step 0."));
        assert!(html.contains("5.0 ± 1.0 % of 17,226 eigenvalues are negative"), "{html}");
        assert!(
            html.contains("12 stands for 12.9 eigenvalues") || html.contains("12 stands for 8.61 eigenvalues"),
            "{html}"
        );
        assert!(
            html.contains("\n2,12,0.002\n") && html.contains("\ngradient,12,1\n"),
            "the raw nodes are there: {html}"
        );
        assert!(!html.contains("NaN") && !html.contains("<run>"));
    }

    #[test]
    fn one_vector_has_no_band_and_runs_without_spectra_have_no_section() {
        let mut alone = spectrum(3, 2.0);
        alone.probes.truncate(1);
        let html_alone = html(vec![alone]);
        assert!(!html_alone.contains("class=\"band ") && !html_alone.contains("NaN"), "{html_alone}");
        assert_eq!(html(Vec::new()), "");
    }
}

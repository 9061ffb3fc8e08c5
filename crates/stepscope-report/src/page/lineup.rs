//! Which run has which colour, and which prediction belongs to which run.

use crate::Run;
use crate::page::template::escape;

/// Colours in the style sheet; more runs begin again with the first.
const NUM_LOOKS: usize = 8;

/// The runs of a page in the order in which they are listed: every prediction after the run it predicts.
pub(super) struct Lineup<'a> {
    pub(super) entries: Vec<Entry<'a>>,
}

/// A run and how it is drawn.
pub(super) struct Entry<'a> {
    pub(super) run: &'a Run,
    /// Number of the colour and marker, shared by a run and its prediction.
    pub(super) look: usize,
}

impl<'a> Lineup<'a> {
    pub(super) fn new(runs: &'a [Run]) -> Self {
        let (predictions, measured): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.is_prediction());
        let targets: Vec<Option<usize>> = predictions.iter().map(|run| predicted(run, &measured)).collect();
        let mut entries = Vec::with_capacity(runs.len());
        for (look, &run) in measured.iter().enumerate() {
            entries.push(Entry { run, look });
            let own = predictions.iter().zip(&targets).filter(|(_, target)| **target == Some(look));
            entries.extend(own.map(|(&run, _)| Entry { run, look }));
        }
        let orphans = predictions.iter().zip(&targets).filter(|(_, target)| target.is_none());
        entries.extend(orphans.enumerate().map(|(index, (&run, _))| Entry { run, look: measured.len() + index }));
        Self { entries }
    }

    /// The class that gives an entry its colour.
    pub(super) fn class(&self, index: usize) -> String {
        format!("look-{}", self.entries[index].look % NUM_LOOKS)
    }

    /// The name of an entry with its line and marker before it; the script draws into the empty element.
    pub(super) fn label(&self, index: usize) -> String {
        let name = escape(self.entries[index].run.name());
        format!("<span class=\"swatch\" data-run=\"{index}\" aria-hidden=\"true\"></span>{name}")
    }
}

/// The position among `measured` of the run that `prediction` predicts.
fn predicted(prediction: &Run, measured: &[&Run]) -> Option<usize> {
    let of = |run: &Run| run.manifest().spec.clone();
    let target = of(prediction);
    let same_spec = |run: &&Run| {
        let mut spec = of(run);
        spec.name.clone_from(&target.name);
        spec == target
    };
    let same_step = |run: &&Run| {
        let spec = of(run);
        spec.optimizer == target.optimizer && spec.train.batch_size == target.train.batch_size
    };
    measured.iter().position(same_spec).or_else(|| measured.iter().position(same_step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    fn run(name: &str, rate: f64, process: &str) -> Run {
        let mut manifest = synthetic::manifest(name, rate);
        manifest.process = process.to_owned();
        Run::from_records(manifest, [])
    }

    fn listed(runs: &[Run]) -> Vec<(&str, usize)> {
        Lineup::new(runs).entries.iter().map(|entry| (entry.run.name(), entry.look)).collect()
    }

    #[test]
    fn a_prediction_follows_its_run_and_shares_its_colour() {
        let runs = [
            run("b predicted", 0.2, "theory"),
            run("a", 0.1, "training"),
            run("b", 0.2, "training"),
            run("c", 0.3, "training"),
        ];
        assert_eq!(listed(&runs), [("a", 0), ("b", 1), ("b predicted", 1), ("c", 2)]);
    }

    #[test]
    fn every_look_has_its_colour_in_the_style_sheet_and_the_script_knows_their_number() {
        let (style, script) = (include_str!("../../assets/page.css"), include_str!("../../assets/panel.js"));
        assert_eq!(style.matches("\n.look-").count(), NUM_LOOKS);
        assert!(script.contains(&format!("NUM_LOOKS = {NUM_LOOKS};")));
    }

    #[test]
    fn a_prediction_of_no_run_has_a_colour_of_its_own() {
        let runs = [run("orphan", 0.7, "theory"), run("a", 0.1, "training")];
        assert_eq!(listed(&runs), [("a", 0), ("orphan", 1)]);
    }

    #[test]
    fn the_same_spec_is_preferred_to_the_same_step() {
        let mut manifest = synthetic::manifest("other seed", 0.1);
        manifest.spec.seeds.root = 9;
        let runs = [Run::from_records(manifest, []), run("a", 0.1, "training"), run("predicted", 0.1, "theory")];
        assert_eq!(listed(&runs), [("other seed", 0), ("a", 1), ("predicted", 1)]);
    }
}

//! Which run has which colour, which runs are pooled, and which prediction belongs to which run.

use std::borrow::Cow;

use crate::Run;
use crate::groups::Groups;
use crate::page::template::escape;

/// Colours in the style sheet; a page with more groups than this colours them along a ramp.
pub(super) const NUM_LOOKS: usize = 8;

/// The runs of a page in the order in which they are listed: every group of seeds as one run, after it its predictions
/// and its members.
pub(super) struct Lineup<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    /// The groups of seeds, in the order of their entries.
    pub(super) groups: Vec<Line>,
    /// Keys of the specification in which the groups differ.
    pub(super) keys: Vec<String>,
}

/// A run and how it is drawn.
pub(super) struct Entry<'a> {
    pub(super) run: Cow<'a, Run>,
    /// Number of the colour and marker, shared by a group, its members and its predictions.
    pub(super) look: usize,
    pub(super) role: Role,
}

/// What a run is on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A run of its own.
    Run,
    /// The median over that many seeds.
    Pool(usize),
    /// One of the seeds of a pool.
    Member,
    /// A prediction of the entry at that position, where it is one of the page.
    Prediction(Option<usize>),
    /// Readings taken at the checkpoints of a run, after it.
    Afterwards,
}

/// A group of seeds among the entries.
pub(super) struct Line {
    /// Position of the run, or of the pool.
    pub(super) entry: usize,
    /// Positions of the seeds; the entry itself where there is one.
    pub(super) members: Vec<usize>,
    /// What differs, a value for each key.
    pub(super) values: Vec<String>,
}

impl<'a> Lineup<'a> {
    pub(super) fn new(runs: &'a [Run]) -> Self {
        let Groups { keys, groups } = Groups::of(runs);
        let measured: Vec<&Run> = runs.iter().filter(|run| !run.is_prediction()).collect();
        let predictions: Vec<&'a Run> = runs.iter().filter(|run| run.is_prediction()).collect();
        let targets: Vec<Option<&Run>> = predictions.iter().map(|run| predicted(run, &measured)).collect();
        let mut lineup = Self { entries: Vec::new(), groups: Vec::new(), keys };
        for (look, group) in groups.into_iter().enumerate() {
            let (entry, num_seeds) = (lineup.entries.len(), group.num_seeds());
            let role = if num_seeds > 1 { Role::Pool(num_seeds) } else { Role::Run };
            lineup.entries.push(Entry { run: group.run, look, role });
            let of_group = |target: &Option<&Run>| {
                target.is_some_and(|target| group.members.iter().any(|&member| std::ptr::eq(&runs[member], target)))
            };
            let own = predictions.iter().zip(&targets).filter(|(_, target)| of_group(target));
            let role = Role::Prediction(Some(entry));
            lineup.entries.extend(own.map(|(&run, _)| Entry { run: Cow::Borrowed(run), look, role }));
            let mut members = vec![entry];
            if num_seeds > 1 {
                let first = lineup.entries.len();
                members = (first..first + num_seeds).collect();
                let member = |&index: &usize| Entry { run: Cow::Borrowed(&runs[index]), look, role: Role::Member };
                lineup.entries.extend(group.members.iter().map(member));
            }
            let afterwards = group.members.iter().filter_map(|&index| runs[index].measured_afterwards());
            let role = Role::Afterwards;
            lineup.entries.extend(afterwards.map(|run| Entry { run: Cow::Owned(run), look, role }));
            lineup.groups.push(Line { entry, members, values: group.values });
        }
        let orphans = predictions.iter().zip(&targets).filter(|(_, target)| target.is_none());
        let num_groups = lineup.groups.len();
        lineup.entries.extend(orphans.enumerate().map(|(index, (&run, _))| Entry {
            run: Cow::Borrowed(run),
            look: num_groups + index,
            role: Role::Prediction(None),
        }));
        lineup
    }

    /// Whether some runs are pooled.
    pub(super) fn pools(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.role, Role::Pool(_)))
    }

    /// Positions of the entries that stand in tables: all but the seeds of a pool, and what was measured afterwards.
    pub(super) fn listed(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.entries.len()).filter(|&index| !matches!(self.entries[index].role, Role::Member | Role::Afterwards))
    }

    /// Positions of the runs and predictions as they were read: neither pools nor what was measured afterwards.
    pub(super) fn whole(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.entries.len()).filter(|&index| !matches!(self.entries[index].role, Role::Pool(_) | Role::Afterwards))
    }

    /// Where the colour of a group lies on the ramp, between 0 and 1; `None` while there are enough colours.
    pub(super) fn shade(&self, index: usize) -> Option<f64> {
        let num_looks = self.entries.iter().map(|entry| entry.look + 1).max().unwrap_or(0);
        let look = self.entries[index].look;
        (num_looks > NUM_LOOKS).then(|| look as f64 / (num_looks - 1) as f64)
    }

    /// The class and the style that give an entry its colour.
    pub(super) fn colour(&self, index: usize) -> String {
        match self.shade(index) {
            None => format!("class=\"look-{}\"", self.entries[index].look % NUM_LOOKS),
            Some(shade) => format!("class=\"look-ramp\" style=\"--shade: {:.1}%\"", 100.0 * shade),
        }
    }

    /// The name of an entry with its line and marker before it; the script draws into the empty element.
    pub(super) fn label(&self, index: usize) -> String {
        let name = escape(self.entries[index].run.name());
        format!("<span class=\"swatch\" data-run=\"{index}\" aria-hidden=\"true\"></span>{name}")
    }
}

/// The run among `measured` that `prediction` predicts: the same specification but for its name or, where there is none,
/// the same optimizer and batch size.
fn predicted<'a>(prediction: &Run, measured: &[&'a Run]) -> Option<&'a Run> {
    let target = &prediction.manifest().spec;
    let same_spec = |run: &&&Run| {
        let spec = &run.manifest().spec;
        spec.seeds == target.seeds && {
            let mut spec = spec.clone();
            spec.name.clone_from(&target.name);
            spec == *target
        }
    };
    let same_step = |run: &&&Run| {
        let spec = &run.manifest().spec;
        spec.optimizer == target.optimizer && spec.train.batch_size == target.train.batch_size
    };
    measured.iter().find(same_spec).or_else(|| measured.iter().find(same_step)).copied()
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

    fn seeded(name: &str, seed: u64) -> Run {
        let mut manifest = synthetic::manifest(name, 0.1);
        manifest.spec.seeds = stepscope_types::Seeds::from_root(seed);
        Run::from_records(manifest, [])
    }

    fn listed(runs: &[Run]) -> Vec<(String, usize)> {
        Lineup::new(runs).entries.iter().map(|entry| (entry.run.name().to_owned(), entry.look)).collect()
    }

    fn pairs(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
        expected.iter().map(|&(name, look)| (name.to_owned(), look)).collect()
    }

    #[test]
    fn a_prediction_follows_its_run_and_shares_its_colour() {
        let runs = [
            run("b predicted", 0.2, "theory"),
            run("a", 0.1, "training"),
            run("b", 0.2, "training"),
            run("c", 0.3, "training"),
        ];
        assert_eq!(listed(&runs), pairs(&[("a", 0), ("b", 1), ("b predicted", 1), ("c", 2)]));
    }

    #[test]
    fn seeds_follow_their_pool_and_share_its_colour() {
        let runs = [seeded("a-0", 0), run("b", 0.2, "training"), seeded("a-1", 1), run("p", 0.1, "theory")];
        assert_eq!(listed(&runs), pairs(&[("a (2 seeds)", 0), ("p", 0), ("a-0", 0), ("a-1", 0), ("b", 1)]));
        let lineup = Lineup::new(&runs);
        assert!(lineup.pools());
        assert_eq!(lineup.entries[1].role, Role::Prediction(Some(0)));
        assert_eq!(lineup.listed().collect::<Vec<_>>(), [0, 1, 4]);
        assert_eq!(lineup.groups.iter().map(|line| line.members.clone()).collect::<Vec<_>>(), [vec![2, 3], vec![4]]);
    }

    #[test]
    fn every_look_has_its_colour_in_the_style_sheet_and_the_script_knows_their_number() {
        let (style, script) = (include_str!("../../assets/page.css"), include_str!("../../assets/look.js"));
        assert_eq!((0..NUM_LOOKS).filter(|look| style.contains(&format!("\n.look-{look} "))).count(), NUM_LOOKS);
        assert!(script.contains(&format!("NUM_LOOKS = {NUM_LOOKS};")));
    }

    #[test]
    fn more_groups_than_colours_lie_on_a_ramp() {
        let runs: Vec<Run> = (0..11).map(|index| run("r", 0.01 * f64::from(index + 1), "training")).collect();
        let lineup = Lineup::new(&runs);
        assert_eq!((lineup.shade(0), lineup.shade(5), lineup.shade(10)), (Some(0.0), Some(0.5), Some(1.0)));
        assert_eq!(Lineup::new(&runs[..8]).shade(3), None);
    }

    #[test]
    fn a_prediction_of_no_run_has_a_colour_of_its_own() {
        let runs = [run("orphan", 0.7, "theory"), run("a", 0.1, "training")];
        assert_eq!(listed(&runs), pairs(&[("a", 0), ("orphan", 1)]));
    }
}

//! Which quantities have a panel, in which group and order, and how a panel is introduced.

use std::collections::{BTreeMap, BTreeSet};

use stepscope_types::quantity::{self, Quantity};

use crate::Run;

/// The group of the curves that answer the questions of the page.
pub(super) const MAIN_GROUP: &str = "main";

/// Curves that answer the questions of the page, in order; a gauge comes after the noise scale.
const MAIN: [Quantity; 7] = [
    quantity::TRAIN_LOSS,
    quantity::TEST_LOSS,
    quantity::TEST_ACCURACY,
    quantity::EFFECTIVE_SHARPNESS,
    quantity::HESSIAN_TOP_EIGENVALUE,
    quantity::NOISE_SCALE,
    quantity::LEARNING_RATE,
];

/// Headings of the groups that are known; any other prefix is its own heading.
const HEADINGS: [(&str, &str); 23] = [
    (MAIN_GROUP, "Curves"),
    ("train", "Training"),
    ("test", "Test set"),
    ("control", "Control of the step"),
    ("stability", "Stability of the step"),
    ("curvature", "Curvature"),
    ("noise", "Gradient noise"),
    ("covariance", "Covariance of the gradients"),
    ("gradient", "Tests of the gradients"),
    ("gauge", "Half-rate gauges"),
    ("two_point", "Two-point curve"),
    ("excess", "Loss that a cooldown would remove"),
    ("gain", "Predicted gains"),
    ("fixed_batch", "Loss of fixed mini-batches"),
    ("one_step", "One step on its own batch"),
    ("line", "Along the step"),
    ("trajectory", "Trajectory"),
    ("distance", "Distances"),
    ("weights", "Weights"),
    ("average", "Averages of the weights"),
    ("prediction", "Prediction over measurement"),
    ("budget", "Budget of the measurements"),
    ("other", "Other quantities"),
];

/// Fewer readings than this in every run are a list, not a curve.
pub(super) const FEWEST_READINGS: usize = 4;

/// A panel before its curves: one quantity, or the members of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    /// The name of the quantity, or what the names of the family have in common.
    pub(super) name: &'a str,
    /// Names of the family with the number of each; one name without a number for a single quantity.
    pub(super) members: Vec<(&'a str, Option<u64>)>,
}

/// The panels of some runs, by group, in order.
pub(super) fn plan<'a>(runs: &[&'a Run]) -> Vec<(&'a str, Vec<Plan<'a>>)> {
    let is_long = |name: &str| runs.iter().any(|run| run.series(name).points().len() >= FEWEST_READINGS);
    // A learning rate that stays is recorded twice, and a run that begins has few readings of anything.
    // Coordinates of a random projection mean nothing one by one.
    let is_curve = |name: &&str| !name.starts_with("sketch/") && (is_long(name) || group(name) == MAIN_GROUP);
    let all: BTreeSet<&'a str> = runs.iter().flat_map(|run| run.names()).filter(is_curve).collect();
    let mut plans: Vec<Plan<'a>> = families(&all);
    plans.sort_by_key(|plan| (group_rank(group(plan.name)), group(plan.name), place(plan.name), plan.name));
    let mut groups: Vec<(&'a str, Vec<Plan<'a>>)> = Vec::new();
    for plan in plans {
        match groups.last_mut() {
            Some((known, plans)) if *known == group(plan.name) => plans.push(plan),
            _ => groups.push((group(plan.name), vec![plan])),
        }
    }
    groups
}

/// Names that differ only in a number at their end share a panel where there are several of them.
fn families<'a>(names: &BTreeSet<&'a str>) -> Vec<Plan<'a>> {
    let mut stems: BTreeMap<&'a str, Vec<(&'a str, Option<u64>)>> = BTreeMap::new();
    for &name in names {
        let (stem, number) = numbered(name).map_or((name, None), |(stem, number)| (stem, Some(number)));
        stems.entry(stem).or_default().push((name, number));
    }
    let plan = |(stem, mut members): (&'a str, Vec<(&'a str, Option<u64>)>)| {
        members.sort_by_key(|(_, number)| *number);
        match members.as_slice() {
            [(name, _)] => Plan { name, members: vec![(name, None)] },
            _ => Plan { name: stem, members },
        }
    };
    stems.into_iter().map(plan).collect()
}

/// `curvature/eigenvalue/3` and `curvature/eigenvalue_3` as their beginning and 3.
pub(super) fn numbered(name: &str) -> Option<(&str, u64)> {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = name.split_at(name.len() - digits);
    let stem = stem.strip_suffix('/').or_else(|| stem.strip_suffix('_'))?;
    Some((stem, number.parse().ok()?)).filter(|_| stem.contains('/'))
}

pub(super) fn group(name: &str) -> &str {
    if place(name) < MAIN.len() * 2 {
        return MAIN_GROUP;
    }
    name.split_once('/').map_or("other", |(prefix, _)| prefix)
}

/// The rank of a main curve; twice its position, so that a gauge fits between two.
fn place(name: &str) -> usize {
    if name.ends_with("gauge") {
        return 11;
    }
    MAIN.iter().position(|quantity| quantity.name == name).map_or(usize::MAX, |position| 2 * position)
}

fn group_rank(group: &str) -> usize {
    HEADINGS.iter().position(|(known, _)| *known == group).unwrap_or(HEADINGS.len() - 1)
}

/// The heading of a group.
pub(super) fn heading(group: &str) -> String {
    let known = HEADINGS.iter().find(|(known, _)| *known == group);
    known.map_or_else(|| in_words(group), |(_, heading)| (*heading).to_owned())
}

/// The title of a quantity: its own where this version knows it, otherwise its name in words.
pub(super) fn title(name: &str) -> String {
    match quantity::by_name(name) {
        Some(known) => known.title.replace(" x ", " × "),
        None => in_words(name.split_once('/').map_or(name, |(_, rest)| rest)),
    }
}

/// What a panel says below its title.
pub(super) fn description(name: &str) -> String {
    quantity::by_name(name).map_or_else(|| format!("Recorded as {name}."), |known| known.description.to_owned())
}

fn in_words(name: &str) -> String {
    let words = name.replace('/', ", ").replace('_', " ");
    let mut characters = words.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

/// The unit beside a title, and after a value. A learning rate's unit says no more than its name does.
pub(super) fn unit_texts(unit: &str) -> (String, String) {
    let both = |text: &str| (text.to_owned(), format!(" {text}"));
    match unit {
        "" | "1" | "learning-rate" => (String::new(), String::new()),
        "1/learning-rate" => ("1 / learning rate".to_owned(), String::new()),
        other => both(&other.replace("^2", "²").replace("^3", "³")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;
    use stepscope_types::Record;

    fn run(names: &[&str]) -> Run {
        let named = names.iter().flat_map(|name| {
            (0..4).map(move |step| {
                let mut record = synthetic::loss(step, 1.0);
                if let Record::Measurement(measurement) = &mut record {
                    (*name).clone_into(&mut measurement.name);
                }
                record
            })
        });
        Run::from_records(synthetic::manifest("run", 0.1), named)
    }

    #[test]
    fn quantities_nobody_foresaw_appear_in_groups_by_their_prefix() {
        let run = run(&[
            "zebra/stripes",
            "noise/third_moment",
            "train/loss",
            "distance/from_start",
            "loose",
            "line/half_rate_gauge",
        ]);
        let planned = plan(&[&run]);
        let shown: Vec<(&str, Vec<&str>)> =
            planned.iter().map(|(group, plans)| (*group, plans.iter().map(|plan| plan.name).collect())).collect();
        assert_eq!(
            shown,
            [
                ("main", vec!["train/loss", "line/half_rate_gauge"]),
                ("noise", vec!["noise/third_moment"]),
                ("distance", vec!["distance/from_start"]),
                ("other", vec!["loose"]),
                ("zebra", vec!["zebra/stripes"]),
            ]
        );
        assert_eq!((heading("zebra"), title("noise/third_moment")), ("Zebra".to_owned(), "Third moment".to_owned()));
    }

    #[test]
    fn numbered_names_share_a_panel() {
        let run = run(&[
            "curvature/ritz/10",
            "curvature/ritz/2",
            "curvature/top_1",
            "train/a_1",
            "train/a_2",
            "train/layer_3/x",
        ]);
        let planned = plan(&[&run]);
        let members = |name: &str| {
            let plans = planned.iter().flat_map(|(_, plans)| plans);
            plans.filter(|plan| plan.name == name).flat_map(|plan| plan.members.clone()).collect::<Vec<_>>()
        };
        assert_eq!(members("curvature/ritz"), [("curvature/ritz/2", Some(2)), ("curvature/ritz/10", Some(10))]);
        assert_eq!(members("curvature/top_1"), [("curvature/top_1", None)], "one is no family");
        assert_eq!(members("train/a").len(), 2);
        assert_eq!(members("train/layer_3/x").len(), 1);
    }
}

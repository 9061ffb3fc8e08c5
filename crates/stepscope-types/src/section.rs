//! The loss on lines and planes through weight space, as the folder of a run keeps it.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Mode, Step};

/// Loss and accuracy on a line or a plane through the weights of a run: a file of `sections/` in its folder.
///
/// Positions and points are raw: what a page draws can be drawn again from them.
///
/// ```
/// use stepscope_types::SavedSection;
/// let text = r#"{"format":1,"run":"a","step":20,"directions":[{"kind":"random","name":"random","length":1.5}],
///     "mode":"eval","num_train_examples":64,"num_test_examples":50,
///     "train":[{"position":[0.0],"loss":0.5,"loss_error":0.1,"accuracy":0.9},
///              {"position":[1.0],"loss":null,"loss_error":null,"accuracy":0.1}],"test":[]}"#;
/// let section: SavedSection = serde_json::from_str(text)?;
/// assert_eq!(section.file_name(), "step-000000020-line-random.json");
/// assert!(section.train[1].loss.is_nan(), "a loss that was not finite");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedSection {
    /// Layout of the file: [`SavedSection::FORMAT`].
    pub format: u32,
    /// Name of the run through whose weights it goes.
    pub run: String,
    /// Updates applied to those weights.
    pub step: Step,
    /// One direction for a line, two for a plane.
    pub directions: Vec<SectionDirection>,
    /// The run at position 1 of a line between two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherRun>,
    /// How the networks were evaluated: `frozen-full` where batch normalisation had its statistics computed anew at every point.
    pub mode: Mode,
    /// Training examples of every point.
    pub num_train_examples: u64,
    /// Test examples of every point.
    pub num_test_examples: u64,
    /// Points on the training examples; on a plane the second position changes first.
    pub train: Vec<SectionPoint>,
    /// The same points on the test examples.
    pub test: Vec<SectionPoint>,
}

/// A direction of a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SectionDirection {
    /// `gradient`, `sharpest`, `random` or `between`.
    pub kind: String,
    /// What it is, in words.
    pub name: String,
    /// Its Euclidean length: position 1 is so far from position 0.
    pub length: f64,
}

/// The run at the other end of a line between two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherRun {
    /// Name of its folder.
    pub run: String,
    /// Updates applied to its weights.
    pub step: Step,
    /// Whether both runs began at the same weights.
    pub same_start: bool,
    /// Whether every step of one had the batch that the same step of the other had.
    pub same_batches: bool,
    /// Second derivative of the training loss along the line at 0 and at 1, per squared distance.
    pub curvature_at_ends: [SectionCurvature; 2],
}

/// The second derivative of the loss along a line, by a parabola through the points near a position.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SectionCurvature {
    /// Per squared distance in weight space; NaN, written `null`, where too few points are near.
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
    /// Standard error over the residuals of the parabola: how far the loss is from one there.
    #[serde(deserialize_with = "null_is_nan")]
    pub error: f64,
}

/// The loss at one point of a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SectionPoint {
    /// One number for each direction.
    pub position: Vec<f64>,
    /// Mean loss over the examples, in nats; NaN, written `null`, where it is not finite.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Its standard error, the examples taken as a sample of more.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss_error: f64,
    /// Share of examples classified correctly; NaN, written `null`, where examples have no one label.
    #[serde(deserialize_with = "null_is_nan")]
    pub accuracy: f64,
}

impl SavedSection {
    /// The layout that this version writes.
    pub const FORMAT: u32 = 1;

    /// Whether there are two directions.
    pub fn is_plane(&self) -> bool {
        self.directions.len() > 1
    }

    /// The name under which a run's folder keeps it: another section of the same kind at the same step replaces it.
    pub fn file_name(&self) -> String {
        let kinds: Vec<&str> = self.directions.iter().map(|direction| direction.kind.as_str()).collect();
        let what = match (&self.other, kinds.as_slice()) {
            (Some(other), _) => format!("to-{}-step-{:09}", plain(&other.run), other.step.0),
            (None, [kind]) => format!("line-{}", plain(kind)),
            (None, kinds) => format!("plane-{}", plain(&kinds.join("-"))),
        };
        format!("step-{:09}-{what}.json", self.step.0)
    }
}

/// A text with what some file system refuses replaced, and not too long for any.
pub(crate) fn plain(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    text.chars().take(80).map(letter).collect()
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(kinds: &[&str], other: Option<&str>) -> SavedSection {
        let direction = |kind: &&str| SectionDirection { kind: (*kind).to_owned(), name: String::new(), length: 1.0 };
        let nothing = SectionCurvature { value: f64::NAN, error: f64::NAN };
        SavedSection {
            format: SavedSection::FORMAT,
            run: "a".to_owned(),
            step: Step(7),
            directions: kinds.iter().map(direction).collect(),
            other: other.map(|run| OtherRun {
                run: run.to_owned(),
                step: Step(9),
                same_start: true,
                same_batches: false,
                curvature_at_ends: [nothing; 2],
            }),
            mode: Mode::Eval,
            num_train_examples: 1,
            num_test_examples: 0,
            train: vec![SectionPoint { position: vec![0.1], loss: f64::NAN, loss_error: 0.2, accuracy: 0.3 }],
            test: Vec::new(),
        }
    }

    #[test]
    fn names_say_step_and_kind_and_never_leave_the_folder() {
        assert_eq!(section(&["random", "sharpest"], None).file_name(), "step-000000007-plane-random-sharpest.json");
        assert_eq!(section(&["between"], Some("../b c")).file_name(), "step-000000007-to-..-b-c-step-000000009.json");
    }

    #[test]
    fn numbers_that_are_not_finite_come_back_as_they_were() {
        let text = serde_json::to_string(&section(&["between"], Some("b"))).unwrap();
        let back: SavedSection = serde_json::from_str(&text).unwrap();
        assert!(back.train[0].loss.is_nan() && back.train[0].loss_error == 0.2);
        assert!(back.other.unwrap().curvature_at_ends[1].value.is_nan());
    }
}

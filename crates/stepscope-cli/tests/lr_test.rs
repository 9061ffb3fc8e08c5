//! `stepscope lr-test`: the range test.
#![allow(clippy::unwrap_used)]

mod common;

use common::Case;
use serde_json::Value;

const SPEC: &str = r#"
name = "small <net>"

[train]
duration = "5st"

[optimizer]
learning_rate = 0.1
"#;

#[test]
fn a_suggestion_comes_with_its_interval_curves_and_a_picture() {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    let answer = case.run(&["lr-test", "spec.toml", "--sweeps", "4", "--steps", "60", "--plot", "curves.svg"]);
    assert_eq!(answer.status, 0, "{}", answer.stderr);
    for words in ["4 sweeps of 60 updates", "Start with a learning rate of", "95 % interval", "curves.svg"] {
        assert!(answer.stdout.contains(words), "{words}: {}", answer.stdout);
    }
    let drawn = std::fs::read_to_string(case.path("curves.svg")).unwrap();
    assert!(
        drawn.starts_with("<svg")
            && drawn.contains("small &lt;net&gt;")
            && drawn.matches("class=\"sweep\"").count() == 4
    );
    let json = |arguments: &[&str]| -> Value {
        let answer = case.run(&[&["lr-test", "spec.toml", "--format", "json"], arguments].concat());
        assert_eq!(answer.status, 0, "{}", answer.stderr);
        serde_json::from_str(&answer.stdout).unwrap()
    };
    let test = json(&["--sweeps", "4", "--steps", "60"]);
    let take = &test["suggestion"];
    let [low, value, high] = ["low", "value", "high"].map(|key| take[key].as_f64().unwrap());
    assert!(low < value && value < high && low > 1e-3 && high < 30.0, "{take}");
    assert!(test["diverged_at"]["value"].as_f64().unwrap() > value, "{test}");
    let falling = json(&["--sweeps", "2", "--steps", "20", "--to", "0.01"]);
    assert!(falling["suggestion"].is_null() && falling["problem"].as_str().unwrap().contains("raise"), "{falling}");
}

#[test]
fn ranges_that_are_none_are_refused() {
    let case = Case::new();
    case.write("spec.toml", SPEC);
    for (arguments, words) in [
        (["--from", "0"], "no range"),
        (["--to", "1e-9"], "no range"),
        (["--steps", "3"], "at least 10"),
        (["--sweeps", "1"], "at least 2"),
    ] {
        let arguments = [&["lr-test", "spec.toml", "--plot", "curves.svg"], &arguments[..]].concat();
        case.refuses(&arguments, &[words], "curves.svg");
    }
}

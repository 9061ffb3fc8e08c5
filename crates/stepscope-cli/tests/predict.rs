//! `stepscope predict` as a user meets it: values, formats, refusals, files.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Answer, Case};
use serde_json::Value;

const LAW: &str = "nu=1.5,kappa=3,modes=1000";

/// `stepscope predict` in the folder of a case.
struct Predict(Case);

impl Predict {
    fn new() -> Self {
        Self(Case::new())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        self.0.write(name, bytes);
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.0.run(&[&["predict"], arguments].concat())
    }

    fn text(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_eq!(answer.status, 0, "{arguments:?}: {}", answer.stderr);
        assert_eq!(answer.stderr, "", "{arguments:?}");
        answer.stdout
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[arguments, &["--format", "json"]].concat())).unwrap()
    }

    /// Must be refused, and no picture written.
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        self.0.refuses(&[&["predict"], arguments, &["--plot", "out.svg"]].concat(), words, "out.svg");
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn close(got: f64, expected: f64, tolerance: f64) {
    assert!((got / expected - 1.0).abs() <= tolerance, "got {got}, expected {expected}");
}

fn warnings(json: &Value) -> String {
    json["warnings"].to_string()
}

/// A .npy file of version 1.
fn npy(descr: &str, shape: &str, data: &[f64]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[test]
fn json_has_every_key_and_the_whole_curve() {
    let json =
        Predict::new().json(&["--power-law", LAW, "--learning-rate", "0.1", "--batch-size", "1", "--steps", "50"]);
    for key in [
        "loss",
        "u1",
        "stable",
        "growth_per_step",
        "regime",
        "exponents",
        "constants",
        "transition_step",
        "critical_learning_rate",
        "effective_learning_rate",
        "averages",
        "optimum",
        "warnings",
    ] {
        assert!(json.get(key).is_some(), "{key} is missing");
    }
    assert_eq!(json["loss"].as_array().unwrap().len(), 51);
    assert_eq!((&json["at"], &json["optimum"]), (&Value::Null, &Value::Null));
    assert_eq!(json["regime"], "noise-dominated");
    assert_eq!((number(&json["exponents"]["signal"]), json["stable"].as_bool()), (2.0, Some(true)));
    close(number(&json["exponents"]["noise"]), 4.0 / 3.0, 1e-15);
    assert_eq!(number(&json["growth_per_step"]), 1.0);
}

/// The recursion of `loss-prediction`, section 1, written out once more: E L after each step.
fn recursion(modes: &[(f64, f64)], [a, b, gamma]: [f64; 3], [tau1, tau2, noise]: [f64; 3], steps: usize) -> Vec<f64> {
    let mut state: Vec<[f64; 3]> = modes.iter().map(|(_, c)| [*c, 0.0, 0.0]).collect();
    let sum = |state: &[[f64; 3]]| modes.iter().zip(state).map(|((l, _), s)| l * s[0]).sum::<f64>();
    let mut curve = vec![0.5 * sum(&state)];
    for _ in 0..steps {
        let total = sum(&state);
        for ((l, _), [c, j, v]) in modes.iter().zip(&mut state) {
            let drive = gamma * a * a * (tau1 * l * total + l * noise - tau2 * l * l * *c);
            let g = a * a * l * l * *c - 2.0 * a * b * l * *j + b * b * *v + drive;
            (*c, *j, *v) = (*c - 2.0 * a * l * *c + 2.0 * b * *j + g, b * *j - a * l * *c + g, g);
        }
        curve.push(0.5 * sum(&state));
    }
    curve
}

#[test]
fn every_spectrum_format_gives_the_loss_of_the_recursion_written_out() {
    let case = Predict::new();
    let modes = [(1.5, 0.25), (0.5, 2.0), (0.5, 2.0), (0.1, 3.0)];
    let expected = recursion(&modes, [0.3, -0.2, (20.0 - 4.0) / (19.0 * 4.0)], [1.0, -1.0, 0.05], 40);
    case.write("s.csv", "coefficient,multiplicity,eigenvalue\n0.25,1,1.5\n2,2,0.5\n3,1,0.1\n");
    case.write(
        "s.jsonl",
        "{\"eigenvalue\":0.5,\"coefficient\":2,\"multiplicity\":2}\n{\"eigenvalue\":1.5,\"coefficient\":0.25}\n{\"eigenvalue\":0.1,\"coefficient\":3}\n",
    );
    case.write("l.npy", npy("<f8", "(4,)", &[1.5, 0.5, 0.5, 0.1]));
    case.write("c.npy", npy("<f8", "(4,)", &[0.25, 2.0, 2.0, 3.0]));
    let sources: [&[&str]; 3] = [&["s.csv"], &["s.jsonl"], &["l.npy", "--coefficients", "c.npy"]];
    for source in sources {
        let settings = ["--learning-rate", "0.3", "--momentum", "-0.2", "--batch-size", "4", "--examples", "20"];
        let rest = ["--tau", "1,-1", "--label-noise", "0.05", "--steps", "40"];
        let json = case.json(&[&["--spectrum"], source, &settings, &rest].concat());
        for (got, expected) in json["loss"].as_array().unwrap().iter().zip(&expected) {
            close(number(got), *expected, 1e-13);
        }
        assert_eq!(json["regime"], "not-a-power-law");
    }
}

#[test]
fn one_mode_has_its_closed_forms() {
    let case = Predict::new();
    case.write("one.csv", "4,1\n");
    // (1, 1), gamma = 1: U(1) = a lambda / 2, critical at 2 / lambda.
    let json = case.json(&[
        "--spectrum",
        "one.csv",
        "--learning-rate",
        "0.2",
        "--batch-size",
        "1",
        "--label-noise",
        "0.3",
        "--at",
        "4000",
    ]);
    close(number(&json["critical_learning_rate"]), 0.5, 1e-12);
    close(number(&json["u1"]), 0.4, 1e-12);
    // Label-noise floor sigma^2 U(1) / (2 tau1 (1 - U(1))), and the loss reaches it.
    close(number(&json["label_noise_floor"]), 0.3 * 0.4 / (2.0 * 0.6), 1e-12);
    close(number(&json["loss"][0]), 0.3 * 0.4 / (2.0 * 0.6), 1e-9);
    assert_eq!(json["at"], serde_json::json!([4000]));
    // Full batch with momentum: a < 2 (1 + b) / lambda.
    let json = case.json(&["--spectrum", "one.csv", "--learning-rate", "0.1", "--momentum", "0.5", "--steps", "5"]);
    close(number(&json["critical_learning_rate"]), 0.75, 1e-9);
    close(number(&json["effective_learning_rate"]), 0.2, 1e-12);
    assert!(warnings(&json).contains("full-batch"));
}

#[test]
fn past_the_threshold_the_mean_grows_by_the_stated_factor() {
    let law =
        ["--power-law", "nu=1.5,kappa=1,modes=200", "--batch-size", "1", "--learning-rate", "1.3", "--at", "400,401"];
    let json = Predict::new().json(&law);
    assert_eq!(json["stable"], false);
    assert!(number(&json["u1"]) > 1.0);
    let growth = number(&json["loss"][1]) / number(&json["loss"][0]);
    close(number(&json["growth_per_step"]), growth, 1e-8);
    assert!(growth > 1.01 && warnings(&json).contains("grows exponentially"), "{json}");
    assert_eq!(json["constants"], Value::Null);
}

#[test]
fn regimes_follow_the_exponents() {
    let case = Predict::new();
    for (law, regime) in [
        ("nu=1.5,kappa=1,modes=100", "signal-dominated"),
        ("nu=1.5,kappa=3,modes=100", "noise-dominated"),
        ("nu=0.7,kappa=1,modes=100", "eventual-divergence"),
        ("nu=0.4,kappa=1,modes=100", "immediate-divergence"),
    ] {
        let json = case.json(&["--power-law", law, "--learning-rate", "0.01", "--batch-size", "1", "--steps", "3"]);
        assert_eq!(json["regime"], regime, "{law}");
    }
}

#[test]
fn the_loss_far_out_is_that_of_the_constants() {
    // `loss-prediction`, claim 8: constants at t = 1e8 to 2e-3, for an endless law.
    let law = ["--power-law", "nu=1.5,kappa=1,modes=inf", "--learning-rate", "0.2", "--batch-size", "1"];
    let json = Predict::new().json(&[&law[..], &["--at", "1e8"]].concat());
    let (constant, exponent) = (number(&json["constants"]["signal"]), number(&json["exponents"]["signal"]));
    close(number(&json["loss"][0]), constant * 1e8_f64.powf(-exponent), 5e-3);
    assert!(number(&json["method"]["relative_error"]) < 1e-3);
}

#[test]
fn large_spectra_are_answered_by_bins_with_the_error_stated_and_early_times_by_the_recursion() {
    let case = Predict::new();
    let settings = ["--learning-rate", "0.3", "--batch-size", "10"];
    let large = ["--power-law", "nu=1.5,kappa=1,modes=300000"];
    let json = case.json(&[&large[..], &settings, &["--at", "10,1e6"]].concat());
    assert_eq!(json["method"]["name"], "binned-contour");
    let error = number(&json["method"]["relative_error"]);
    assert!(error > 0.0 && error < 1e-3);
    assert!(warnings(&json).contains("t = 10 the contour") && warnings(&json).contains("recursion answered"), "{json}");
    let exact = case.json(&[&large[..], &settings, &["--at", "10"]].concat());
    assert_eq!(
        (exact["method"]["name"].as_str(), number(&exact["method"]["relative_error"])),
        (Some("recursion"), 0.0)
    );
    close(number(&json["loss"][0]), number(&exact["loss"][0]), 1e-3);
    let finer = case.json(&[&large[..], &settings, &["--at", "1e6", "--accuracy", "1e-5"]].concat());
    close(number(&json["loss"][1]), number(&finer["loss"][0]), 1e-3);
}

#[test]
fn features_are_solved_through_their_kernel_with_a_fitted_closure() {
    let case = Predict::new();
    // Orthogonal features: A = K/N is diagonal with eigenvalues x_i^2 / 3, and coefficients (y_i / x_i)^2.
    case.write("x.npy", npy("<f8", "(3, 3)", &[3.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0]));
    case.write("y.npy", npy("<f8", "(3,)", &[1.0, 2.0, 3.0]));
    let data = ["--features", "x.npy", "--targets", "y.npy", "--learning-rate", "0.1", "--steps", "5"];
    let json = case.json(&data);
    let modes = [(3.0, 1.0 / 9.0), (4.0 / 3.0, 1.0), (1.0 / 3.0, 9.0)];
    let expected = recursion(&modes, [0.1, 0.0, 0.0], [1.0, 1.0, 0.0], 5);
    for (got, expected) in json["loss"].as_array().unwrap().iter().zip(&expected) {
        close(number(got), *expected, 1e-12);
    }
    assert!(warnings(&json).contains("tau = ") && warnings(&json).contains("fitted"), "{json}");
    // Runs on the data itself: a batch of one example j shrinks its residual y_j by 1 - a x_j^2 and leaves the others.
    let rest = ["--batch-size", "1", "--tau", "1,1", "--monte-carlo", "4000", "--at", "1"];
    let noisy = case.json(&[&data[..6], &rest].concat());
    assert!(!warnings(&noisy).contains("fitted") && warnings(&noisy).contains("shuffled epochs"));
    let after_one = [(3.0_f64, 1.0_f64), (2.0, 2.0), (1.0, 3.0)]
        .map(|(x, y)| y * y * (2.0 + (1.0 - 0.1 * x * x).powi(2)) / 3.0)
        .iter()
        .sum::<f64>()
        / 6.0;
    let sampled = &noisy["monte_carlo"];
    let z = (number(&sampled["loss"][0]) - after_one) / number(&sampled["standard_errors"][0]);
    assert!(z.abs() < 4.5, "{z}");
}

#[test]
fn sampled_runs_stand_within_their_errors_and_repeat() {
    let case = Predict::new();
    let law =
        ["--power-law", "nu=1.5,kappa=1,modes=30", "--tau", "1,-1", "--batch-size", "2", "--learning-rate", "0.2"];
    let runs = ["--at", "1,5,40", "--monte-carlo", "3000", "--seed", "5"];
    let json = case.json(&[&law[..], &runs].concat());
    for index in 0..3 {
        let z = (number(&json["monte_carlo"]["loss"][index]) - number(&json["loss"][index]))
            / number(&json["monte_carlo"]["standard_errors"][index]);
        assert!(z.abs() < 4.5, "{z}");
    }
    assert_eq!(json, case.json(&[&law[..], &runs].concat()));
}

#[test]
fn multiplicities_are_written_out_where_sgd_itself_is_run() {
    let case = Predict::new();
    case.write("s.csv", "eigenvalue,coefficient,multiplicity\n1,1,2\n0.5,1,3\n");
    let json = case.json(&[
        "--spectrum",
        "s.csv",
        "--learning-rate",
        "0.1",
        "--batch-size",
        "4",
        "--at",
        "5",
        "--monte-carlo",
        "100",
    ]);
    assert_eq!(json["method"]["num_nodes"], 5);
    case.write("half.csv", "1,1,2.5\n");
    case.refused(
        &["--spectrum", "half.csv", "--learning-rate", "0.1", "--batch-size", "4", "--monte-carlo", "100"],
        &["--monte-carlo", "single modes", "2.5"],
    );
}

#[test]
fn averages_and_schedules_go_through_the_same_recursion() {
    let case = Predict::new();
    let law = [
        "--power-law",
        "nu=1.5,kappa=1,modes=50",
        "--batch-size",
        "1",
        "--learning-rate",
        "0.2",
        "--label-noise",
        "0.1",
    ];
    let averages = ["--at", "50,400", "--average", "ema:0.95,window:1,window:100,two-point:20,tail:200,power:3"];
    let json = case.json(&[&law[..], &averages].concat());
    let rows = json["averages"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    let of = |name: &str| &rows.iter().find(|row| row["average"] == name).unwrap()["loss"];
    // A window of one is the last iterate.
    close(number(&of("window:1")[1]), number(&json["loss"][1]), 1e-12);
    assert!(number(&of("window:100")[1]) < 0.7 * number(&json["loss"][1]));
    case.write("flat.csv", "step,learning_rate\n0,0.2\n100,0.2\n");
    for same in ["constant", "flat.csv", "warmup=0"] {
        let scheduled = case.json(&[&law[..], &["--at", "400", "--schedule", same]].concat());
        close(number(&scheduled["loss"][0]), number(&json["loss"][1]), 1e-13);
    }
    let annealed = case.json(&[&law[..], &["--at", "400", "--schedule", "anneal=0.3"]].concat());
    assert!(number(&annealed["loss"][0]) < 0.7 * number(&json["loss"][1]));
    assert!(warnings(&annealed).contains("largest learning rate"));
}

#[test]
fn schedules_of_momentum_and_batch_size_in_words_are_those_of_a_file() {
    let case = Predict::new();
    let law = ["--power-law", "nu=1.5,kappa=1,modes=50", "--learning-rate", "0.1", "--label-noise", "0.1"];
    let how = ["--batch-size", "2", "--momentum", "0.5", "--at", "50,400", "--steps", "400"];
    case.write(
        "s.csv",
        "step,learning_rate,momentum,batch_size\n0,0.1,0.5,2\n100,0.1,0.5,8\n200,0.1,0.2,8\n300,0.1,0.2,32\n",
    );
    let file = case.json(&[&law[..], &how, &["--schedule", "s.csv"]].concat());
    let momentum = ["--momentum-schedule", "piecewise(0.5, 0.2 at 200st)"];
    let size = ["--batch-size-schedule", "piecewise(2, 8 at 100st, 32 at 300st)"];
    let words = case.json(&[&law[..], &how, &momentum, &size].concat());
    let constant = case.json(&[&law[..], &how].concat());
    for place in 0..2 {
        close(number(&words["loss"][place]), number(&file["loss"][place]), 1e-13);
    }
    assert!(number(&words["loss"][1]) < 0.7 * number(&constant["loss"][1]));
    let text = case.text(&[&law[..], &how, &momentum, &size].concat());
    for part in ["momentum up to 0.5, piecewise", "batch size 2 from a stream, piecewise"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_best_learning_rate_for_a_horizon_beats_its_neighbours() {
    let case = Predict::new();
    let loss = |rate: f64| {
        let rate = rate.to_string();
        let json = case.json(&["--power-law", LAW, "--learning-rate", &rate, "--batch-size", "1", "--at", "2000"]);
        number(&json["loss"][0])
    };
    let asked = ["--power-law", LAW, "--learning-rate", "0.1", "--batch-size", "1", "--at", "2000"];
    let json = case.json(&[&asked[..], &["--optimize", "learning-rate"]].concat());
    let (best, lowest) = (number(&json["optimum"]["learning_rate"]), number(&json["optimum"]["loss"]));
    assert!(loss(0.9 * best) > lowest && loss(1.1 * best) > lowest);
    close(number(&json["optimum"]["gain"]), number(&json["loss"][0]) / lowest, 1e-12);
    let batches = case.json(&[&asked[..], &["--optimize", "learning-rate,batch-size"]].concat());
    assert!(batches["optimum"]["batch_sizes"].as_array().unwrap().len() > 5);
}

#[test]
fn the_best_momentum_at_batch_1_and_10_is_where_the_document_says() {
    // `loss-prediction`, claim 12: nu=1.5, kappa=3, N=1000, T=1e4: b in [-.38,-.30] (B=1), [-.18,-.11] (B=10).
    let case = Predict::new();
    for (batch, low, high) in [("1", -0.38, -0.30), ("10", -0.18, -0.11)] {
        let law = [
            "--power-law",
            LAW,
            "--learning-rate",
            "0.2",
            "--examples",
            "1000",
            "--batch-size",
            batch,
            "--at",
            "10000",
        ];
        let json = case.json(&[&law[..], &["--optimize", "learning-rate,momentum"]].concat());
        let momentum = number(&json["optimum"]["momentum"]);
        assert!((low..=high).contains(&momentum), "B = {batch}: {momentum}");
    }
}

#[test]
fn a_measured_head_is_continued_by_what_the_sums_leave_over() {
    let case = Predict::new();
    let mode = |k: i32| (f64::from(k).powf(-1.5), f64::from(k).powf(-2.0 + 1.5));
    let head: String = (1..=60).map(|k| format!("{},{}\n", mode(k).0, mode(k).1)).collect();
    let whole: String = (1..=400).map(|k| format!("{},{}\n", mode(k).0, mode(k).1)).collect();
    case.write("head.csv", head);
    case.write("whole.csv", whole);
    let trace: f64 = (1..=400).map(|k| mode(k).0).sum();
    let loss: f64 = (1..=400).map(|k| 0.5 * mode(k).0 * mode(k).1).sum();
    let settings = ["--learning-rate", "0.2", "--batch-size", "1", "--at", "400"];
    let tail = format!("trace={trace},loss={loss},modes=400");
    let fitted = case.json(&[&["--spectrum", "head.csv", "--tail", &tail], &settings[..]].concat());
    let exact = case.json(&[&["--spectrum", "whole.csv"], &settings[..]].concat());
    close(number(&fitted["loss"][0]), number(&exact["loss"][0]), 0.05);
    assert!(warnings(&fitted).contains("tail"));
}

#[test]
fn csv_has_a_line_a_time_and_all_digits() {
    let case = Predict::new();
    let law = ["--power-law", "nu=1.5,kappa=1,modes=10", "--learning-rate", "0.1", "--batch-size", "1"];
    let whole = case.text(&[&law[..], &["--steps", "20", "--format", "csv"]].concat());
    assert_eq!((whole.lines().next(), whole.lines().count()), (Some("step,loss"), 22));
    let asked = ["--at", "3,20", "--average", "ema:0.9", "--monte-carlo", "50"];
    let csv = case.text(&[&law[..], &asked, &["--format", "csv"]].concat());
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("step,loss,ema:0.9,monte_carlo_loss,monte_carlo_standard_error"));
    let json = case.json(&[&law[..], &asked].concat());
    for (index, line) in lines.enumerate() {
        let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let expected = [&json["at"], &json["loss"], &json["averages"][0]["loss"], &json["monte_carlo"]["loss"]];
        for (cell, list) in cells.iter().zip(expected) {
            assert_eq!(*cell, number(&list[index]));
        }
    }
}

#[test]
fn the_page_says_first_what_to_know_and_draws_the_curve() {
    let case = Predict::new();
    let page = case.text(&["--power-law", LAW, "--learning-rate", "0.3", "--batch-size", "10", "--steps", "10000"]);
    let place = |word: &str| page.find(word).unwrap_or_else(|| panic!("'{word}' is missing:\n{page}"));
    assert!(place("learning rate 0.3") < place("STABLE"));
    assert!(place("STABLE") < place("NOISE-DOMINATED"));
    assert!(place("Loss after 10,000 steps") < place("RAISE the learning rate"));
    assert!(place("RAISE") < place("*") && place("*") < place("critical learning rate  "));
    assert!(page.lines().all(|line| line.chars().count() <= 120), "{page}");
    let unstable = case.text(&["--power-law", LAW, "--learning-rate", "3", "--batch-size", "10"]);
    assert!(unstable.contains("UNSTABLE") && unstable.contains("Lower the learning rate below"), "{unstable}");
}

#[test]
fn the_drawing_is_whole_and_its_text_is_no_markup() {
    let case = Predict::new();
    let name = "a <b> & \"c\".csv";
    case.write(name, "1,1\n0.1,1\n0.01,1\n");
    let settings = ["--learning-rate", "0.5", "--batch-size", "2", "--monte-carlo", "50", "--label-noise", "0.01"];
    let page = case.text(&[&["--spectrum", name], &settings[..], &["--plot", "out.svg"]].concat());
    assert!(page.contains("Drawn in out.svg"));
    let svg = fs::read_to_string(case.path("out.svg")).unwrap();
    assert!(svg.contains("a &lt;b&gt; &amp; &quot;c&quot;.csv"));
    well_formed(&svg);
    assert!(svg.contains("class=\"curve\"") && svg.contains("class=\"band\"") && svg.contains("class=\"floor\""));
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert_eq!(fs::read_dir(&case.0.folder).unwrap().count(), 2, "a temporary file was left");
}

/// Every element that is opened is closed in order, and every attribute is quoted.
fn well_formed(xml: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in xml.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("no end of <{piece}"));
        assert!(!text.contains('>'), "{text}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        for entity in text.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|known| entity.starts_with(known)), "&{entity}");
        }
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(name), _) => assert_eq!(open.pop(), Some(name)),
            (None, false) => open.push(tag.split(' ').next().unwrap()),
            (None, true) => {}
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    let case = Predict::new();
    let law = ["--power-law", LAW];
    let with = |rest: &[&str], words: &[&str]| case.refused(&[&law[..], rest].concat(), words);
    with(&[], &["--learning-rate"]);
    with(&["--learning-rate", "0"], &["--learning-rate", "above 0"]);
    with(&["--learning-rate", "-0.1"], &["--learning-rate", "above 0"]);
    with(&["--learning-rate", "nan"], &["--learning-rate"]);
    for momentum in ["1", "-1", "1.5", "nan"] {
        with(&["--learning-rate", "0.1", "--momentum", momentum], &["--momentum", "above -1 and below 1"]);
    }
    let rate = ["--learning-rate", "0.1"];
    let with = |rest: &[&str], words: &[&str]| case.refused(&[&law[..], &rate, rest].concat(), words);
    with(&["--batch-size", "101", "--examples", "100"], &["--batch-size", "101", "100 examples"]);
    with(&["--batch-size", "0"], &["--batch-size"]);
    with(&["--examples", "100", "--stream"], &["--stream"]);
    with(&["--tau", "1,1.5"], &["--tau", "negative noise variance"]);
    with(&["--tau=-1,-2"], &["--tau", "negative noise variance"]);
    with(&["--tau", "1"], &["--tau", "two numbers"]);
    with(&["--tau", "1,nan"], &["--tau"]);
    with(&["--label-noise", "-1"], &["--label-noise"]);
    with(&["--steps", "0"], &["--steps"]);
    with(&["--steps", "10", "--at", "11"], &["--at 11", "--steps"]);
    with(&["--steps", "1e8", "--format", "json"], &["--steps", "--at"]);
    with(&["--schedule", "warmup=2"], &["--schedule", "warmup=2", "fraction"]);
    with(&["--schedule", "nowhere.csv"], &["--schedule", "nowhere.csv"]);
    with(&["--batch-size-schedule", "constant"], &["--batch-size"]);
    with(&["--momentum-schedule", "linear(to = 1)"], &["--momentum-schedule", "above -1 and below 1"]);
    with(&["--momentum-schedule", "constant", "--schedule", "warmup=0.1"], &["warmup=0.1", "--momentum-schedule"]);
    let gauged = ["--batch-size", "4", "--batch-size-schedule", "gauged"];
    with(&gauged, &["--batch-size-schedule", "predict wsd"]);
    with(&["--average", "mean"], &["--average", "ema:DECAY"]);
    with(&["--optimize", "weather"], &["weather", "learning-rate"]);
    with(&["--optimize", "batch-size"], &["--optimize batch-size", "--batch-size"]);
    with(&["--steps", "1e7", "--optimize", "schedule"], &["--optimize schedule", "at most"]);
    with(&["--batch-size", "1", "--monte-carlo", "1"], &["--monte-carlo", "at least 2"]);
    with(&["--batch-size", "1", "--steps", "1e6", "--monte-carlo", "10"], &["--monte-carlo", "fewer steps"]);
    with(&["--spectrum", "s.csv"], &["cannot be used with"]);
    case.refused(&rate, &["--spectrum", "--power-law", "--features"]);
    for bad in ["nu=1.5", "nu=-1,kappa=1,modes=10", "nu=1.5,kappa=1,modes=0", "nu=1.5,kappa=1,modes=10,x=1"] {
        case.refused(&[&["--power-law", bad], &rate[..]].concat(), &["--power-law", "nu", "kappa"]);
    }
}

#[test]
fn files_that_hold_no_spectrum_are_refused_by_place() {
    let case = Predict::new();
    let spectrum = |text: &str, words: &[&str]| {
        case.write("s.csv", text);
        case.refused(&["--spectrum", "s.csv", "--learning-rate", "0.1"], words);
    };
    spectrum("", &["s.csv", "at least one mode"]);
    spectrum("eigenvalue,coefficient\n", &["s.csv", "at least one mode"]);
    spectrum("1\n0.5\n", &["s.csv:1:1", "one column"]);
    spectrum("eigenvalue,coefficient\n1,1\n-0.5,1\n", &["s.csv:3:1", "eigenvalue -0.5"]);
    spectrum("1,1\nNaN,1\n", &["s.csv:2:1", "eigenvalue NaN"]);
    spectrum("1,1\n0.5,-1\n", &["s.csv:2:5", "coefficient -1"]);
    spectrum("0,1\n0,1\n", &["s.csv", "no eigenvalue is positive"]);
    let rate = ["--learning-rate", "0.1"];
    let with = |rest: &[&str], words: &[&str]| case.refused(&[rest, &rate].concat(), words);
    with(&["--spectrum", "nowhere.csv"], &["nowhere.csv", "cannot be read"]);
    with(&["--spectrum", "."], &["cannot be read"]);
    case.write("s.csv", "1,1\n");
    with(&["--spectrum", "s.csv", "--coefficients", "c.npy"], &["s.csv", "numpy.save"]);
    with(&["--spectrum", "s.csv", "--tail", "trace=2,loss=1,modes=9"], &["s.csv", "at least 8"]);
    case.write("x.npy", npy(">f8", "(2, 1)", &[1.0, 2.0]));
    case.write("y.npy", npy("<f8", "(2,)", &[1.0, 2.0]));
    with(&["--features", "x.npy", "--targets", "y.npy"], &["x.npy", "big-endian", "astype('<f8')"]);
    case.write("x.npy", npy("<f8", "(2, 2)", &[1.0, 2.0]));
    with(&["--features", "x.npy", "--targets", "y.npy"], &["x.npy", "16 bytes", "32 bytes"]);
    case.write("x.npy", npy("<f8", "(2, 1)", &[1.0, f64::NAN]));
    with(&["--features", "x.npy", "--targets", "y.npy"], &["x.npy", "NaN in row 1, column 0"]);
    case.write("x.npy", npy("<f8", "(3, 1)", &[1.0, 2.0, 3.0]));
    with(&["--features", "x.npy", "--targets", "y.npy"], &["y.npy", "3 rows"]);
    with(&["--features", "x.npy"], &["--targets"]);
    with(&["--features", "y.npy", "--targets", "y.npy", "--batch-size", "3"], &["--batch-size", "2 examples"]);
}

#[test]
fn a_drawing_that_cannot_be_written_is_a_failure_that_names_it() {
    let case = Predict::new();
    let answer = case.run(&["--power-law", LAW, "--learning-rate", "0.1", "--plot", "nowhere/out.svg"]);
    assert_eq!(answer.status, 1);
    assert!(answer.stderr.contains("nowhere/out.svg") && answer.stdout.is_empty(), "{}", answer.stderr);
}

//! Specifications from text: what is read, and how what is wrong is refused.

use proptest::prelude::*;
use stepscope_types::RunSpec;
use stepscope_types::spec::{LearningRateSpec, ModelKind};

use super::*;

const MINIMAL: &str = "[optimizer]\nlearning_rate = 0.1\n";

fn read(text: &str, overrides: &[&str]) -> Result<RunSpec, SpecError> {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    parse(text, "spec.toml", &overrides)
}

fn message(text: &str, overrides: &[&str]) -> String {
    read(text, overrides).unwrap_err().to_string()
}

fn rate(value: f64) -> LearningRateSpec {
    LearningRateSpec::Fixed(stepscope_types::LearningRate::new(value).unwrap())
}

#[test]
fn the_shortest_file_has_every_default() {
    assert_eq!(read(MINIMAL, &[]), Ok(RunSpec::with_learning_rate(rate(0.1))));
}

#[test]
fn a_slip_in_a_table_or_a_key_is_refused_with_line_and_nearest() {
    for (text, expected) in [
        ("name = \"a\"\n[optimzer]\n", "spec.toml:2: optimzer: unknown key: did you mean optimizer?"),
        (
            "[optimizer]\nlearning_rate = 1\nmomentun = 0.9\n",
            "spec.toml:3: optimizer.momentun: unknown key: did you mean optimizer.momentum?",
        ),
        ("\n\ntrain.batchsize = 3\n", "spec.toml:3: train.batchsize: unknown key: did you mean train.batch_size?"),
        ("learning_rate = 1\n", "spec.toml:1: learning_rate: unknown key: did you mean optimizer.learning_rate?"),
        (
            "[optimizer]\nbatch_size = 1\n",
            "spec.toml:2: optimizer.batch_size: unknown key: did you mean train.batch_size?",
        ),
        (
            "[optimizer]\nzeta = 1\n",
            "spec.toml:2: optimizer.zeta: unknown key: expected one of optimizer.method, optimizer.learning_rate, optimizer.direction, optimizer.momentum, optimizer.weight_decay, optimizer.weight_decay_form, optimizer.clip_norm, optimizer.clip_value, optimizer.groups, optimizer.adam",
        ),
        (
            "unheard = {}\n",
            "spec.toml:1: unheard: unknown key: expected one of name, data, model, train, optimizer, schedule, line_search, labpal, schedule_free, svag, prodigy, polyak, pal, sls, ponos, measure, average, checkpoint, seeds",
        ),
    ] {
        assert_eq!(message(text, &[]), expected);
    }
}

#[test]
fn a_schedule_that_is_none_is_refused_with_line_and_reason() {
    for (line, expected) in [
        (
            "schedule.learning_rate = \"cosine(too = 1)\"",
            "spec.toml:3: schedule.learning_rate: 'cosine(too = 1)' is no schedule: 'too' is no argument of it: expected some of to, from, warmup, warmup_from, length",
        ),
        (
            "schedule.momentum = 0.9",
            "spec.toml:3: schedule.momentum: got 0.9, expected a schedule such as \"cosine\", \"wsd(warmup = 5ep, cooldown = 0.2dur)\" or \"constant(length = 0.8dur) then linear\"",
        ),
    ] {
        assert_eq!(message(&format!("\n\n{line}\n{MINIMAL}"), &[]), expected);
    }
    let spec = read(MINIMAL, &["schedule.batch_size=cyclic(to = 64, every = 2ep, shape = discrete)"]).unwrap();
    assert_eq!(read(&to_toml(&spec), &[]), Ok(spec));
}

#[test]
fn a_wrong_value_is_refused_with_line_got_and_expected() {
    for (line, expected) in [
        ("train.batch_size = -3", "train.batch_size: got -3, expected a whole number of at least 1"),
        ("train.batch_size = 0", "train.batch_size: got 0, expected a whole number of at least 1"),
        ("train.batch_size = 32.0", "train.batch_size: got 32.0, expected a whole number of at least 1"),
        ("train.batch_size = \"32\"", "train.batch_size: got \"32\", expected a whole number of at least 1"),
        (
            "train.batch_size = 99999999999999999999",
            "train.batch_size: got 99999999999999999999, expected a whole number of at least 1",
        ),
        ("optimizer.momentum = nan", "optimizer.momentum: got nan, expected a finite number above -1 and below 1"),
        ("optimizer.momentum = 1", "optimizer.momentum: got 1, expected a finite number above -1 and below 1"),
        ("model.init_scale = -inf", "model.init_scale: got -inf, expected a finite number above 0"),
        ("model.init_scale = -1", "model.init_scale: got -1, expected a finite number above 0"),
        ("model.init_scale = 1e999", "model.init_scale: got 1e999, expected a finite number above 0"),
        (
            "model.hidden = [8, nan]",
            "model.hidden: got [8, nan], expected a list, of which each is a whole number of at least 1 and at most 1048576",
        ),
        (
            "model.hidden = [8, \"x\"]",
            "model.hidden: got [8, \"x\"], expected a list, of which each is a whole number of at least 1 and at most 1048576",
        ),
        ("name = 3", "name: got 3, expected text"),
        ("average = 3", "average: got 3, expected a table"),
        ("average.enabled = \"yes\"", "average.enabled: got \"yes\", expected true or false"),
        ("seeds.root = {}", "seeds.root: got {}, expected a whole number of at least 0"),
        (
            "train.duration = 10",
            "train.duration: got 10, expected a length of training: epochs (\"10ep\"), steps (\"300st\") or a fraction of the run (\"0.5dur\")",
        ),
        (
            "train.duration = \"10 epochs\"",
            "train.duration: got \"10 epochs\", expected a length of training: epochs (\"10ep\"), steps (\"300st\") or a fraction of the run (\"0.5dur\")",
        ),
        (
            "model.kind = \"simplecnn\"",
            "model.kind: got \"simplecnn\", expected one of \"linear\", \"random-features\", \"mlp\", \"simple-cnn\", \"simple-cnn-bn\", \"vgg-11\", \"resnet-8\", \"resnet-20\", \"resnet-32\", \"resnet-56\", \"resnet-18\", \"mobilenet-v2\", \"vit\", \"lstm\", \"ntk\": did you mean \"simple-cnn\"?",
        ),
        ("model.precision = 'half'", "model.precision: got 'half', expected one of \"f32\", \"f64\", \"bf16\""),
    ] {
        assert_eq!(
            message(&format!("{line}\noptimizer.learning_rate = 0.1\n"), &[]),
            format!("spec.toml:1: {expected}")
        );
    }
    assert_eq!(
        message("[optimizer]\nlearning_rate = \"fast\"", &[]),
        "spec.toml:2: optimizer.learning_rate: got \"fast\", expected a finite number above 0 or \"measured\""
    );
}

#[test]
fn numbers_that_are_not_finite_are_refused_for_every_key() {
    for key in RunSchema::new().leaves() {
        for number in ["nan", "-nan", "inf", "-inf"] {
            let text = match key.as_str() {
                "optimizer.learning_rate" => format!("{key} = {number}\n"),
                _ => format!("{key} = {number}\noptimizer.learning_rate = 0.1\n"),
            };
            let Err(SpecError::Value { place, key: named, got, .. }) = read(&text, &[]) else { panic!("{text}") };
            assert_eq!((place, named, got.as_str()), (Place::Line("spec.toml".into(), 1), key.clone(), number));
        }
    }
}

#[test]
fn a_missing_learning_rate_is_named_whether_its_table_is_there_or_not() {
    for text in ["", "[optimizer]\nmomentum = 0.9\n", "name = \"a\"\n"] {
        assert_eq!(
            message(text, &[]),
            "spec.toml: optimizer.learning_rate: is missing, expected a finite number above 0 or \"measured\": add it, for instance with --set optimizer.learning_rate=..."
        );
    }
}

#[test]
fn keys_that_do_not_go_together_are_refused_where_they_stand() {
    let text = format!("{MINIMAL}[model]\nkind = \"simple-cnn\"\nhidden = [8]\n");
    let expected = "model.hidden: widths apply to kind = \"mlp\", \"random-features\" and \"ntk\" only: remove the key, or change model.kind";
    assert_eq!(message(&text, &[]), format!("spec.toml:5: {expected}"));
    assert_eq!(
        message(&format!("{MINIMAL}[model]\nhidden = [8]\n"), &["model.kind=simple-cnn"]),
        format!("spec.toml:4: {expected}")
    );
    assert!(message(MINIMAL, &["train.duration=0.5dur"]).starts_with("--set train.duration=0.5dur: train.duration: "));
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    for (text, line) in [("name = \"a\"\nlearning rate = 1\n", 2), ("[optimizer\n", 1), ("a = 1\na = 2\n", 2)] {
        let message = message(text, &[]);
        assert!(message.starts_with(&format!("spec.toml:{line}: is no TOML: ")), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn overrides_win_over_the_file_and_the_last_one_over_the_others() {
    let spec = read(MINIMAL, &["optimizer.learning_rate=0.2", "optimizer.learning_rate = 0.3"]).unwrap();
    assert_eq!(spec.optimizer.learning_rate, Some(rate(0.3)));
    let spec = read("", &["optimizer={learning_rate = 0.2, momentum = 0.9}", "optimizer.learning_rate=measured"]);
    let optimizer = spec.unwrap().optimizer;
    assert_eq!((optimizer.learning_rate, optimizer.momentum.get()), (Some(LearningRateSpec::Measured), 0.9));
}

#[test]
fn overrides_are_toml_where_they_can_be_and_text_where_they_must() {
    let spec = read(
        MINIMAL,
        &[
            "train.duration=5ep",
            "data.name=fashion14",
            "model.kind=mlp",
            "model.hidden=[32, 16]",
            "name=2024",
            "seeds.init=7",
            "average.enabled=false",
        ],
    )
    .unwrap();
    assert_eq!((spec.train.duration.to_string().as_str(), spec.data.name.as_str()), ("5ep", "fashion14"));
    assert_eq!((spec.model.kind, spec.model.hidden), (ModelKind::Mlp, Some(vec![32, 16])));
    assert_eq!((spec.name.as_str(), spec.seeds.init, spec.average.enabled), ("2024", Some(7), false));
    for (written, name) in [("name=\"a = b\"", "a = b"), ("name=a=b", "a=b"), ("name= true ", "true")] {
        assert_eq!(read(MINIMAL, &[written]).unwrap().name, name);
    }
}

#[test]
fn a_wrong_override_is_refused_as_it_was_written() {
    for (text, expected) in [
        ("optimizer.learning_rate", "expected key=value, for instance optimizer.learning_rate=0.2"),
        ("=3", "expected key=value, for instance optimizer.learning_rate=0.2"),
        ("train..batch_size=3", "expected key=value, for instance optimizer.learning_rate=0.2"),
        (
            "optimizer.learning_rate.x=1",
            "optimizer.learning_rate is no table and has no keys of its own: set optimizer.learning_rate itself",
        ),
        ("optimizer.lerning_rate=1", "optimizer.lerning_rate: unknown key: did you mean optimizer.learning_rate?"),
        ("trian.batch_size=1", "trian: unknown key: did you mean train?"),
        ("train.batch_size=-1", "train.batch_size: got -1, expected a whole number of at least 1"),
        ("train.batch_size=", "train.batch_size: got nothing, expected a whole number of at least 1"),
        ("train=fast", "train: got fast, expected a table"),
        ("optimizer.momentum=inf", "optimizer.momentum: got inf, expected a finite number above -1 and below 1"),
        (
            "model.activation=rleu",
            "model.activation: got rleu, expected one of \"relu\", \"tanh\", \"gelu\", \"gelu-tanh\", \"silu\", \"sigmoid\", \"softplus\": did you mean \"relu\"?",
        ),
    ] {
        assert_eq!(message(MINIMAL, &[text]), format!("--set {text}: {expected}"));
    }
    let [first, second] = ["optimizer.momentum=5", "optimizer.momentum=7"];
    assert!(
        message(MINIMAL, &[first, second]).starts_with(&format!("--set {second}: ")),
        "the value that counts is named"
    );
    assert_eq!(
        message("data = \"optdigits\"\n", &["data.name=fashion14"]),
        "--set data.name=fashion14: data is \"optdigits\" and no table: correct it first"
    );
}

#[test]
fn a_specification_written_as_toml_reads_back() {
    let spec = read(MINIMAL, &["model.hidden=[5]", "data.train_examples=100", "seeds.probe=3"]).unwrap();
    assert_eq!(read(&toml::to_string(&spec).unwrap(), &[]), Ok(spec));
}

/// Texts that are nearly specifications: known tables, keys and values in any order.
fn nearly_a_specification() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[",
        "]",
        "[[",
        "]]",
        "=",
        ".",
        "\n",
        "\"",
        "'''",
        "#",
        ",",
        "{",
        "}",
        "\\",
        "optimizer",
        "learning_rate",
        "train",
        "duration",
        "model",
        "hidden",
        "name",
        "0.1",
        "nan",
        "-inf",
        "1979-05-27",
        "\"5ep\"",
        "true",
        "ä",
        "\r",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text: String, nearly in nearly_a_specification(), change: String) {
        for text in [&text, &nearly] {
            for overrides in [vec![], vec![change.clone()], vec![format!("model.hidden={nearly}"), nearly.clone()]] {
                if let Err(error) = parse(text, "spec.toml", &overrides) {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }
    }
}

//! Sweeps from text: which runs they are, and how what is wrong is refused.

use super::*;

const BASE: &str = "name = \"s\"\n[optimizer]\nlearning_rate = 0.1\n";

fn read(sweep: &str) -> Result<Vec<Point>, SpecError> {
    points(&format!("{BASE}{sweep}"), "s.toml", &[])
}

fn settings(points: &[Point]) -> Vec<String> {
    let line = |point: &Point| {
        point.settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    points.iter().map(line).collect()
}

#[test]
fn grids_are_products_lists_go_together_and_seeds_come_last() {
    let points = read(
        "[sweep]\nseeds = [5, 7]\n[sweep.grid]\ntrain.batch_size = [8, 16]\n[sweep.list]\noptimizer.learning_rate = [0.1, 'measured']\nmodel.hidden = [[8], [4, 4]]\n",
    )
    .unwrap();
    assert_eq!(
        settings(&points)[..3],
        [
            "train.batch_size=8 model.hidden=[8] optimizer.learning_rate=0.1 seeds.root=5",
            "train.batch_size=8 model.hidden=[8] optimizer.learning_rate=0.1 seeds.root=7",
            "train.batch_size=8 model.hidden=[4, 4] optimizer.learning_rate='measured' seeds.root=5",
        ]
    );
    assert_eq!(points.len(), 8);
    let last = &points[7].spec;
    assert_eq!((last.train.batch_size.get(), last.seeds.root), (16, 7));
    assert_eq!(last.model.hidden, Some(vec![4, 4]));
}

#[test]
fn quoted_keys_dotted_keys_and_tables_are_the_same_and_a_swept_key_may_lack_a_value() {
    let sweeps = [
        "[sweep.grid]\n\"optimizer.learning_rate\" = [0.1, 0.2]\n",
        "[sweep.grid]\noptimizer.learning_rate = [0.1, 0.2]\n",
        "[sweep.grid.optimizer]\nlearning_rate = [\n  0.1,\n  0.2,\n]\n",
        "sweep = { grid = { optimizer = { learning_rate = [0.1, 0.2] } } }\n",
    ];
    for sweep in sweeps {
        let points = points(sweep, "s.toml", &[]).unwrap();
        assert_eq!(settings(&points), ["optimizer.learning_rate=0.1", "optimizer.learning_rate=0.2"], "{sweep}");
    }
    let overrides = ["sweep.grid.optimizer.learning_rate=[0.3]".to_owned(), "train.batch_size=8".to_owned()];
    let points = points(sweeps[0], "s.toml", &overrides).unwrap();
    assert_eq!(settings(&points), ["optimizer.learning_rate=0.3"]);
    assert_eq!(points[0].spec.train.batch_size.get(), 8);
}

#[test]
fn draws_lie_in_their_ranges_and_stay_when_more_are_made() {
    let draw = |draws: u32, more: &str| {
        let text = format!(
            "[sweep]\ndraws = {draws}\ndraw_seed = 3\n[sweep.random]\noptimizer.learning_rate = {{ log_uniform = [0.001, 1] }}\n\
             train.batch_size = {{ uniform = [4, 9] }}\n{more}"
        );
        read(&text).unwrap()
    };
    let few = draw(5, "");
    let many = draw(200, "optimizer.momentum = { uniform = [0, 0.9] }\n");
    for (few, many) in few.iter().zip(&many) {
        assert_eq!(few.spec.optimizer.learning_rate, many.spec.optimizer.learning_rate);
        assert_eq!(few.spec.train.batch_size, many.spec.train.batch_size);
    }
    let sizes: Vec<u64> = many.iter().map(|point| point.spec.train.batch_size.get()).collect();
    assert!((4..=9).all(|size| sizes.contains(&size)) && sizes.iter().all(|size| (4..=9).contains(size)));
    let rate = |point: &Point| match point.spec.optimizer.learning_rate {
        Some(stepscope_types::spec::LearningRateSpec::Fixed(rate)) => rate.get(),
        _ => panic!(),
    };
    let logs: Vec<f64> = many.iter().map(|point| rate(point).log10()).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    // Uniform on [-3, 0]: standard deviation 3/√12, of the mean of 200 draws 0.061.
    assert!((mean + 1.5).abs() < 4.0 * 0.061 && logs.iter().all(|log| (-3.0..=0.0).contains(log)), "{mean}");
}

#[test]
fn what_is_wrong_with_a_sweep_is_refused_as_in_a_single_run() {
    for (sweep, expected) in [
        (
            "[sweep.grid]\ntrain.batch_sise = [1]\n",
            "s.toml:5: sweep.grid.train.batch_sise: unknown key: did you mean sweep.grid.train.batch_size?",
        ),
        (
            "[sweep.grid]\n\"train.batch_sise\" = [1]\n",
            "s.toml:5: sweep.grid.train.batch_sise: unknown key: did you mean sweep.grid.train.batch_size?",
        ),
        (
            "[sweep.grid]\nbatch_size = [1]\n",
            "s.toml:5: sweep.grid.batch_size: unknown key: did you mean sweep.grid.train.batch_size?",
        ),
        ("[sweep.gird]\n", "s.toml:4: sweep.gird: unknown key: did you mean sweep.grid?"),
        (
            "[sweep.grid]\ntrain.batch_size = 8\n",
            "s.toml:5: sweep.grid.train.batch_size: got 8, expected a list, of which each is a whole number of at least 1",
        ),
        (
            "[sweep.grid]\ntrain.batch_size = []\n",
            "s.toml:5: sweep.grid.train.batch_size: got [], expected a list, of which each is a whole number of at least 1",
        ),
        (
            "[sweep.grid]\ntrain.batch_size = [8, 0]\n",
            "s.toml:5: train.batch_size: got 0, expected a whole number of at least 1",
        ),
        (
            "[sweep.grid]\nmodel.activation = [\"rleu\"]\n",
            "s.toml:5: model.activation: got \"rleu\", expected one of \"relu\", \"tanh\", \"gelu\", \"gelu-tanh\", \"silu\", \"sigmoid\", \"softplus\": did you mean \"relu\"?",
        ),
        (
            "[sweep.grid]\noptimizer.momentum = [0, inf]\n",
            "s.toml:5: sweep.grid.optimizer.momentum: got [0, inf], expected a list, of which each is a finite number above -1 and below 1",
        ),
        (
            "[sweep]\nseeds = 0\n",
            "s.toml:5: sweep.seeds: got 0, expected a whole number of at least 1 or a list, of which each is a whole number of at least 0",
        ),
        (
            "[sweep]\nseeds = [1, -1]\n",
            "s.toml:5: sweep.seeds: got [1, -1], expected a whole number of at least 1 or a list, of which each is a whole number of at least 0",
        ),
        ("[sweep]\ndraws = \"many\"\n", "s.toml:5: sweep.draws: got \"many\", expected a whole number of at least 1"),
        ("[sweep]\ndraws = 3\n", "s.toml:5: sweep.draws: draws from nothing: give sweep.random a range"),
        (
            "[sweep.random]\nmodel.init_scale = { log_uniform = [1, 2] }\n",
            "s.toml: sweep.draws: is missing: say how many values are drawn from sweep.random",
        ),
        (
            "[sweep]\ndraws = 2\n[sweep.random]\nmodel.init_scale = { log_uniform = [0, 2] }\n",
            "s.toml:7: sweep.random.model.init_scale: got { log_uniform = [0, 2] }, expected finite ends, the lower one first, above 0 for log_uniform",
        ),
        (
            "[sweep]\ndraws = 2\n[sweep.random]\nmodel.init_scale = [1, 2]\n",
            "s.toml:7: sweep.random.model.init_scale: got [1, 2], expected { uniform = [low, high] } or { log_uniform = [low, high] }",
        ),
        (
            "[sweep]\ndraws = 2\n[sweep.random]\nmodel.init_scale = { normal = [1, 2] }\n",
            "s.toml:7: sweep.random.model.init_scale: got { normal = [1, 2] }, expected { uniform = [low, high] } or { log_uniform = [low, high] }",
        ),
        (
            "[sweep.list]\ntrain.batch_size = [1, 2]\noptimizer.momentum = [0]\n",
            "s.toml:5: sweep.list.train.batch_size: has 2 values and sweep.list.optimizer.momentum has 1: lists go together value by value, so make them equally long, or use sweep.grid for every combination",
        ),
        (
            "[sweep]\nseeds = 2\n[sweep.grid]\nseeds.root = [1]\n",
            "s.toml:4: sweep: sweeps seeds.root twice: a key may stand in one of grid, list and random, and seeds set seeds.root",
        ),
        ("[sweep]\n", "s.toml:4: sweep: says nothing to sweep: give it a grid, lists, random ranges or seeds"),
        (
            "sweep = 3\n",
            "s.toml:4: optimizer.sweep: unknown key: expected one of optimizer.method, optimizer.learning_rate, optimizer.direction, optimizer.momentum, optimizer.weight_decay, optimizer.weight_decay_form, optimizer.clip_norm, optimizer.clip_value, optimizer.groups, optimizer.adam",
        ),
        (
            "",
            "s.toml: sweep: is missing, expected a table that says what is swept (`stepscope spec` shows it; a single run is for `stepscope train`): add it, for instance with --set sweep=...",
        ),
        ("[sweep]\nseeds = 1000000000\n", "s.toml:5: sweep.seeds: is more than 100000 seeds"),
        (
            "[sweep]\ndraws = 1000000000\n[sweep.random]\nmodel.init_scale = { uniform = [1, 2] }\n",
            "s.toml:5: sweep.draws: is more than 100000: take fewer draws",
        ),
        (
            "[sweep]\nseeds = 100000\n[sweep.grid]\ntrain.batch_size = [1, 2]\n",
            "s.toml:4: sweep: has more than 100000 combinations: take fewer values",
        ),
        (
            "[sweep.grid]\nname = [\"a\"]\n",
            "s.toml:5: sweep.grid.name: unknown key: did you mean sweep.grid.data.name?",
        ),
        (
            "[model]\nhidden = [8]\n[sweep.grid]\nmodel.kind = [\"mlp\", \"simple-cnn\"]\n",
            "s.toml:5: model.hidden: widths apply to kind = \"mlp\", \"random-features\" and \"ntk\" only: remove the key, or change model.kind (in the run with model.kind = \"simple-cnn\")",
        ),
    ] {
        let error = read(sweep).err().unwrap_or_else(|| panic!("{sweep} was taken"));
        assert_eq!(error.to_string(), expected, "{sweep}");
    }
    let error = points("[sweep]\nseeds = 2\n", "s.toml", &[]).err().unwrap().to_string();
    assert!(error.starts_with("s.toml: optimizer.learning_rate: is missing"), "{error}");
    let error = super::super::parse(&format!("{BASE}[sweep]\nseeds = 2\n"), "s.toml", &[]).unwrap_err().to_string();
    assert!(error.starts_with("s.toml:4: sweep: ") && error.contains("stepscope sweep"), "{error}");
}

#[test]
fn a_value_of_an_override_is_refused_as_it_was_given() {
    let error = points(BASE, "s.toml", &["sweep.grid.train.batch_size=[8, \"x\"]".to_owned()]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "--set sweep.grid.train.batch_size=[8, \"x\"]: train.batch_size: got \"x\", expected a whole number of at least 1"
    );
}

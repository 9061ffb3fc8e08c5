//! A manifest for tests.

use stepscope_types::spec::LearningRateSpec;
use stepscope_types::{DataManifest, LearningRate, Manifest, ModelManifest, RunSpec, Seeds, Software};

pub(crate) fn manifest(name: &str) -> Manifest {
    let rate = LearningRateSpec::Fixed(LearningRate::new(0.1).unwrap());
    let spec = RunSpec { name: name.to_owned(), ..RunSpec::with_learning_rate(rate) };
    let text = str::to_owned;
    Manifest {
        format: Manifest::FORMAT,
        name: text(name),
        process: text("training"),
        seeds: Seeds::from_root(7),
        spec,
        data: DataManifest {
            name: text("optdigits"),
            sha256: "0".repeat(64),
            num_train_examples: 3823,
            num_test_examples: 1797,
            num_classes: 10,
            shape: [1, 8, 8],
        },
        model: ModelManifest { description: text("mlp 64-10 relu"), num_params: 650 },
        software: Software { stepscope: text("0"), burn: text("0"), device: text("cpu"), threads: 1 },
        started_unix_seconds: 1_700_000_000,
    }
}

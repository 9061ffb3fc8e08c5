//! Weights from other programs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stepscope::backend::Backend;
use stepscope::checkpoint::import_weights;
use stepscope::models::Model;
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{ModelSpec, Precision};

fuzz_target!(|bytes: &[u8]| {
    let spec = ModelSpec { hidden: Some(vec![3]), ..ModelSpec::default() };
    let backend = Backend::cpu(Precision::F32);
    if let Ok(network) = Model::new(&spec, [1, 2, 2], 2, RandomStream::new(1, 0), &backend) {
        let _ = import_weights(network, bytes, "fuzz");
    }
});

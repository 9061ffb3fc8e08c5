//! Specifications: whatever is accepted is valid.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(spec) = stepscope::spec::parse(text, "fuzz", &[]) {
        assert_eq!(spec.validate(), Ok(()));
    }
});

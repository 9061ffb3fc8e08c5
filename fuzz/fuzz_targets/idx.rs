//! Data files, plain and gzip: as many numbers as the dimensions say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stepscope::data::{IdxFile, IdxKind};

fuzz_target!(|bytes: &[u8]| {
    for kind in [IdxKind::Images, IdxKind::Labels] {
        if let Ok(file) = IdxFile::parse(bytes, kind, "fuzz") {
            assert_eq!(file.dimensions().iter().product::<usize>(), file.payload().len());
        }
    }
});

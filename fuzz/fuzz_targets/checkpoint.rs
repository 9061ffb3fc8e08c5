//! Checkpoints: whatever is accepted writes down as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stepscope::checkpoint::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    // The checksum would keep nearly every input out: it is made right, so that the parser is at work.
    let mut bytes = bytes.to_vec();
    if let Some(end) = bytes.len().checked_sub(4) {
        let mut crc = u32::MAX;
        for &byte in &bytes[..end] {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
            }
        }
        bytes[end..].copy_from_slice(&(!crc).to_le_bytes());
    }
    if let Ok(checkpoint) = Checkpoint::decode(&bytes, "fuzz") {
        let again = checkpoint.encode("fuzz").expect("what was read can be written");
        assert_eq!(Checkpoint::decode(&again, "fuzz").expect("and read again"), checkpoint);
    }
});

//! Records in a file: length, its checksum, the bytes, their checksum.
//!
//! ```text
//! u64 length | u32 masked CRC of the length | bytes | u32 masked CRC of the bytes      (little endian)
//! masked(c) = rotate_right(c, 15) + 0xa282ead8                                          (wrapping)
//! ```
//! The checksum is CRC-32C. A wrong one over a length makes the rest of the file unreadable; one over the bytes loses that
//! record; a record that is cut off is one that is still being written. Source: `curvature`, section 6.2.

const MASK: u32 = 0xa282_ead8;

/// No record comes near this length: what claims to be longer is damaged, and is not read into memory.
const LONGEST: u64 = 1 << 30;

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

/// Appends `payload` with its frame.
pub(super) fn push(buffer: &mut Vec<u8>, payload: &[u8]) {
    let length = (payload.len() as u64).to_le_bytes();
    buffer.extend(length);
    buffer.extend(masked_crc(&length).to_le_bytes());
    buffer.extend(payload);
    buffer.extend(masked_crc(payload).to_le_bytes());
}

/// What stands at the beginning of `bytes`.
#[derive(Debug, PartialEq)]
pub(super) enum Frame<'a> {
    /// A record, and what follows it.
    Whole { payload: &'a [u8], rest: &'a [u8] },
    /// The beginning of a record: its end is not written yet, or never will be.
    CutOff,
    /// Something else.
    Broken(&'static str),
}

pub(super) fn first(bytes: &[u8]) -> Frame<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return Frame::CutOff };
    let Some((checksum, rest)) = rest.split_first_chunk::<4>() else { return Frame::CutOff };
    if u32::from_le_bytes(*checksum) != masked_crc(length) {
        return Frame::Broken("the checksum of a length does not fit it");
    }
    let length = u64::from_le_bytes(*length);
    if length > LONGEST {
        return Frame::Broken("a record claims more than a gibibyte");
    }
    let Some((payload, rest)) = rest.split_at_checked(length as usize) else { return Frame::CutOff };
    let Some((checksum, rest)) = rest.split_first_chunk::<4>() else { return Frame::CutOff };
    if u32::from_le_bytes(*checksum) != masked_crc(payload) {
        return Frame::Broken("the checksum of a record does not fit it");
    }
    Frame::Whole { payload, rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_published_test_vectors() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked_crc(b"\x1a\x11CRC test, one two"), 0x5794_d08a);
    }

    #[test]
    fn a_file_cut_at_any_byte_has_a_cut_off_end_and_no_broken_record() {
        let mut bytes = Vec::new();
        push(&mut bytes, b"one");
        let end_of_first = bytes.len();
        push(&mut bytes, b"");
        let whole = Frame::Whole { payload: b"one", rest: &bytes[end_of_first..] };
        assert_eq!(first(&bytes), whole);
        assert_eq!(first(&bytes[end_of_first..]), Frame::Whole { payload: b"", rest: b"" });
        for length in 0..end_of_first {
            assert_eq!(first(&bytes[..length]), Frame::CutOff, "{length}");
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_wherever_it_is() {
        let mut bytes = Vec::new();
        push(&mut bytes, b"CRC test, one two");
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(first(&bytes), Frame::Broken(_)), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

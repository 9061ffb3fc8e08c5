//! IDX files, plain or gzip: the format of MNIST and its relatives.
//!
//! Two zero bytes, a type code (8: unsigned byte), the rank, one big-endian u32 for each dimension, then the
//! numbers. stepscope reads images (rank 3: examples, rows, columns) and labels (rank 1).

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use thiserror::Error;

/// The type code of unsigned bytes.
const UNSIGNED_BYTE: u8 = 8;
/// What every gzip file begins with.
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];
/// Deflate stores at most 258 bytes in 2 bits: no gzip stream delivers more than this for each of its bytes.
const MAX_DEFLATE_RATIO: u64 = 1032;
/// No payload above this is read, whatever a header promises: as f32 it would take four times as much.
const MAX_PAYLOAD_BYTES: u64 = 4 << 30;

/// What an IDX file is expected to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdxKind {
    /// Unsigned bytes of rank 3: examples, rows, columns.
    Images,
    /// Unsigned bytes of rank 1, one a label.
    Labels,
}

/// A whole IDX file of unsigned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxFile {
    header: Vec<u8>,
    dimensions: Vec<usize>,
    payload: Vec<u8>,
}

/// Why a file is no IDX file of the expected kind. Every message begins with the file.
#[derive(Debug, Error)]
pub enum IdxError {
    /// The file cannot be opened or read.
    #[error("{file}: cannot be read ({source}): check that the file is there and that you may read it")]
    Unreadable {
        /// Which file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// A folder, a device or a pipe.
    #[error("{file}: not a regular file: give an IDX file, plain or gzip")]
    NotAFile {
        /// Which file.
        file: String,
    },
    /// The gzip stream ends early or fails its checksum.
    #[error("{file}: the gzip stream is damaged or cut off ({source}): fetch or copy the file again")]
    Gzip {
        /// Which file.
        file: String,
        /// What the decoder says.
        source: io::Error,
    },
    /// The file ends inside its header.
    #[error(
        "{file}: got {got} bytes, expected at least the {expected} bytes of an IDX header of {kind}: fetch or copy the file again"
    )]
    NoHeader {
        /// Which file.
        file: String,
        /// Bytes there are.
        got: usize,
        /// Bytes of the header.
        expected: usize,
        /// What was expected in it.
        kind: &'static str,
    },
    /// The first four bytes are those of another kind of file.
    #[error(
        "{file}: begins with the bytes {got:02x?}, expected {expected:02x?}, an IDX file of {kind}: check that the file was not swapped with another"
    )]
    Magic {
        /// Which file.
        file: String,
        /// The first four bytes.
        got: [u8; 4],
        /// The bytes of the expected kind.
        expected: [u8; 4],
        /// What was expected.
        kind: &'static str,
    },
    /// A dimension is 0.
    #[error(
        "{file}: the header gives the dimensions {dimensions:?}, expected each to be at least 1: the file holds no data"
    )]
    EmptyDimension {
        /// Which file.
        file: String,
        /// As the header gives them.
        dimensions: Vec<u32>,
    },
    /// The header promises more than is ever read.
    #[error(
        "{file}: the header gives the dimensions {dimensions:?}, which is above the limit of {limit} bytes: the header is damaged, or the data set has to be cut into smaller files"
    )]
    TooLarge {
        /// Which file.
        file: String,
        /// As the header gives them.
        dimensions: Vec<u32>,
        /// Most bytes that are read.
        limit: u64,
    },
    /// The header promises another number of bytes than the file holds.
    #[error("{file}: the header promises {promised} bytes of data, the file holds {got}: fetch or copy the file again")]
    Length {
        /// Which file.
        file: String,
        /// Bytes after the header, as the header says.
        promised: u64,
        /// Bytes after the header, as the file says: a number, or a bound on it.
        got: String,
    },
}

impl IdxKind {
    fn rank(self) -> u8 {
        match self {
            Self::Images => 3,
            Self::Labels => 1,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Images => "images (unsigned bytes, rank 3)",
            Self::Labels => "labels (unsigned bytes, rank 1)",
        }
    }
}

impl IdxFile {
    /// Reads a file, unpacking it if it begins as gzip does; its name does not matter.
    ///
    /// # Errors
    /// [`IdxError`]: unreadable, not of the expected kind, longer or shorter than its header promises.
    pub fn read(path: &Path, kind: IdxKind) -> Result<Self, IdxError> {
        let file = path.display().to_string();
        let unreadable = |source| IdxError::Unreadable { file: file.clone(), source };
        // Asked before opening: opening a named pipe would wait for a writer.
        let metadata = fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(IdxError::NotAFile { file });
        }
        let source = io::BufReader::new(File::open(path).map_err(unreadable)?);
        read_any(source, metadata.len(), kind, &file)
    }

    /// Reads bytes in memory, unpacking them if they begin as gzip does; `name` stands in messages.
    ///
    /// # Errors
    /// As [`IdxFile::read`].
    pub fn parse(bytes: &[u8], kind: IdxKind, name: &str) -> Result<Self, IdxError> {
        read_any(bytes, bytes.len() as u64, kind, name)
    }

    /// The header as it stands in the file.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The dimensions: examples, rows, columns for images; examples for labels.
    pub fn dimensions(&self) -> &[usize] {
        &self.dimensions
    }

    /// The numbers, last dimension fastest.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The numbers, without a copy.
    pub(super) fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// The first dimension.
    pub fn num_examples(&self) -> usize {
        self.dimensions[0]
    }
}

/// `length` is the number of bytes that `source` holds before unpacking.
fn read_any(mut source: impl Read, length: u64, kind: IdxKind, file: &str) -> Result<IdxFile, IdxError> {
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    source
        .by_ref()
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut start)
        .map_err(|source| IdxError::Unreadable { file: file.to_owned(), source })?;
    let packed = start == GZIP_MAGIC;
    let whole = Cursor::new(start).chain(source);
    if packed {
        let available = Available::AtMost(length.saturating_mul(MAX_DEFLATE_RATIO));
        let damaged = |source| IdxError::Gzip { file: file.to_owned(), source };
        read_plain(MultiGzDecoder::new(whole), available, kind, file, damaged)
    } else {
        let unreadable = |source| IdxError::Unreadable { file: file.to_owned(), source };
        read_plain(whole, Available::Exactly(length), kind, file, unreadable)
    }
}

/// How many unpacked bytes, header included, there are.
#[derive(Clone, Copy)]
enum Available {
    Exactly(u64),
    AtMost(u64),
}

fn read_plain(
    mut source: impl Read,
    available: Available,
    kind: IdxKind,
    file: &str,
    failed: impl Fn(io::Error) -> IdxError,
) -> Result<IdxFile, IdxError> {
    let header_length = 4 + 4 * usize::from(kind.rank());
    let mut header = Vec::with_capacity(header_length);
    source.by_ref().take(header_length as u64).read_to_end(&mut header).map_err(&failed)?;
    let dimensions = check_header(&header, header_length, kind, file)?;
    let promised = check_promise(&dimensions, header_length as u64, available, file)?;

    // `read_to_end` grows with what arrives and reports a refused allocation, so that a header that lies
    // within the bounds above still costs no more memory than the stream delivers.
    let mut payload = Vec::new();
    source.by_ref().take(promised).read_to_end(&mut payload).map_err(&failed)?;
    let mismatch = |got| IdxError::Length { file: file.to_owned(), promised, got };
    if payload.len() as u64 != promised {
        return Err(mismatch(payload.len().to_string()));
    }
    // Reading on to the end also makes the gzip decoder check its checksum.
    if source.read(&mut [0]).map_err(&failed)? != 0 {
        return Err(mismatch("more".to_owned()));
    }
    let dimensions = dimensions.into_iter().map(|dimension| dimension as usize).collect();
    Ok(IdxFile { header, dimensions, payload })
}

/// The dimensions, once magic bytes, type, rank and sizes are as they should be.
fn check_header(header: &[u8], expected: usize, kind: IdxKind, file: &str) -> Result<Vec<u32>, IdxError> {
    let file = || file.to_owned();
    let magic = [0, 0, UNSIGNED_BYTE, kind.rank()];
    if let Some(&got) = header.first_chunk::<4>().filter(|&&got| got != magic) {
        return Err(IdxError::Magic { file: file(), got, expected: magic, kind: kind.describe() });
    }
    if header.len() < expected {
        return Err(IdxError::NoHeader { file: file(), got: header.len(), expected, kind: kind.describe() });
    }
    let (words, _) = header[4..].as_chunks::<4>();
    let dimensions: Vec<u32> = words.iter().map(|&word| u32::from_be_bytes(word)).collect();
    if dimensions.contains(&0) {
        return Err(IdxError::EmptyDimension { file: file(), dimensions });
    }
    Ok(dimensions)
}

/// The bytes of payload that the header promises, once they can be there.
fn check_promise(dimensions: &[u32], header: u64, available: Available, file: &str) -> Result<u64, IdxError> {
    let promised = dimensions
        .iter()
        .try_fold(1_u64, |product, &dimension| product.checked_mul(dimension.into()))
        .filter(|&promised| promised <= MAX_PAYLOAD_BYTES)
        .ok_or_else(|| IdxError::TooLarge {
            file: file.to_owned(),
            dimensions: dimensions.to_vec(),
            limit: MAX_PAYLOAD_BYTES,
        })?;
    let got = match available {
        Available::Exactly(length) if length != promised + header => length.saturating_sub(header).to_string(),
        Available::AtMost(most) if most < promised + header => format!("at most {most}"),
        _ => return Ok(promised),
    };
    Err(IdxError::Length { file: file.to_owned(), promised, got })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn images(dimensions: [u32; 3], payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 3];
        bytes.extend(dimensions.iter().flat_map(|d| d.to_be_bytes()));
        bytes.extend(payload);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn parse(bytes: &[u8]) -> Result<IdxFile, IdxError> {
        IdxFile::parse(bytes, IdxKind::Images, "some.idx")
    }

    #[test]
    fn plain_and_gzip_give_the_same_file() {
        let plain = images([2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255]);
        let file = parse(&plain).unwrap();
        assert_eq!(file.dimensions(), [2, 2, 3]);
        assert_eq!(file.payload().last(), Some(&255));
        assert_eq!([file.header(), file.payload()].concat(), plain);
        assert_eq!(parse(&gzip(&plain)).unwrap(), file);
    }

    #[test]
    fn gzip_is_recognised_by_its_magic_and_not_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images");
        fs::write(&path, gzip(&images([1, 1, 2], &[1, 2]))).unwrap();
        assert_eq!(IdxFile::read(&path, IdxKind::Images).unwrap().payload(), [1, 2]);
    }

    #[test]
    fn every_cut_and_every_trailing_byte_is_refused() {
        let plain = images([2, 1, 2], &[1, 2, 3, 4]);
        for whole in [plain.clone(), gzip(&plain)] {
            for length in 0..whole.len() {
                assert!(parse(&whole[..length]).is_err(), "the first {length} of {} bytes", whole.len());
            }
            let trailing = [&whole[..], &[0]].concat();
            assert!(parse(&trailing).is_err(), "a trailing byte");
        }
        let trailing_inside = gzip(&[&plain[..], &[0]].concat());
        let message = parse(&trailing_inside).unwrap_err().to_string();
        assert_eq!(
            message,
            "some.idx: the header promises 4 bytes of data, the file holds more: fetch or copy the file again"
        );
    }

    #[test]
    fn a_flipped_bit_in_a_gzip_stream_is_refused() {
        let whole = gzip(&images([1, 4, 4], &[7; 16]));
        // Bytes 0..10 hold flags and a time stamp, which carry no data.
        for byte in 10..whole.len() {
            let mut damaged = whole.clone();
            damaged[byte] ^= 0x10;
            assert!(parse(&damaged).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn other_kinds_of_file_are_refused_by_their_first_bytes() {
        let labels = [0, 0, 8, 1, 0, 0, 0, 1, 5];
        assert!(IdxFile::parse(&labels, IdxKind::Labels, "labels").is_ok());
        for bad in [&labels[..], b"GIF89a", &[0, 0, 13, 3], &[0, 0, 8, 2], &[8, 3, 0, 0]] {
            let message = parse(bad).unwrap_err().to_string();
            assert!(message.contains("expected [00, 00, 08, 03], an IDX file of images"), "{message}");
        }
        assert!(matches!(parse(&[]), Err(IdxError::NoHeader { got: 0, expected: 16, .. })));
    }

    #[test]
    fn dimensions_that_cannot_be_are_refused_before_anything_is_allocated() {
        assert!(matches!(parse(&images([0, 8, 8], &[])), Err(IdxError::EmptyDimension { .. })));
        let overflowing = images([u32::MAX; 3], &[1, 2, 3]);
        let lying = images([1 << 20, 1 << 6, 1 << 6], &[1, 2, 3]);
        for bytes in [overflowing.clone(), gzip(&overflowing)] {
            assert!(matches!(parse(&bytes), Err(IdxError::TooLarge { .. })));
        }
        // What the system would have to be asked for is refused by what the file could hold at most.
        let got = |bytes: &[u8]| match parse(bytes) {
            Err(IdxError::Length { promised: 4_294_967_296, got, .. }) => got,
            other => panic!("{other:?}"),
        };
        assert_eq!(got(&lying), "3");
        let packed = gzip(&lying);
        assert_eq!(got(&packed), format!("at most {}", packed.len() as u64 * MAX_DEFLATE_RATIO));
    }

    #[test]
    fn a_bomb_behind_an_honest_looking_header_is_not_unpacked() {
        let bomb = gzip(&images([1, 2, 2], &vec![0; 1 << 24]));
        assert!(bomb.len() < 1 << 15);
        assert!(matches!(parse(&bomb), Err(IdxError::Length { promised: 4, .. })));
    }

    #[test]
    fn folders_and_missing_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: &Path| IdxFile::read(path, IdxKind::Images);
        assert!(matches!(read(folder.path()), Err(IdxError::NotAFile { .. })));
        let message = read(&folder.path().join("none.idx")).unwrap_err().to_string();
        assert!(message.contains("none.idx: cannot be read"), "{message}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, packed: bool, header: bool) {
            let bytes = if header { [&[0, 0, 8, 3][..], &bytes].concat() } else { bytes };
            let bytes = if packed { gzip(&bytes) } else { bytes };
            if let Ok(file) = parse(&bytes) {
                prop_assert_eq!(file.dimensions().iter().product::<usize>(), file.payload().len());
            }
        }
    }
}

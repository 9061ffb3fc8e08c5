//! Arrays as `numpy.save` writes them: format versions 1 to 3, little-endian f4 and f8, 1-D and 2-D, C and Fortran order.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::error::{SourceError, shown};
use super::npy_header::{self, Header};

/// How every `.npy` file begins.
pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header that is read; NumPy's own limit is smaller.
const LONGEST_HEADER: usize = 64 * 1024;
/// Most entries that are read: a gigabyte of f64.
const MAX_ENTRIES: u64 = 1 << 27;
/// Entries converted at a time.
const CHUNK: usize = 8192;

/// A 1-D or 2-D array.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyArray {
    /// (n) or (rows, columns).
    pub shape: Vec<usize>,
    /// Entries in row-major (C) order.
    pub values: Vec<f64>,
}

impl NpyArray {
    /// Rows of a matrix, or entries of a vector.
    pub fn num_rows(&self) -> usize {
        self.shape[0]
    }

    /// Columns of a matrix, 1 for a vector.
    pub fn num_columns(&self) -> usize {
        self.shape.get(1).copied().unwrap_or(1)
    }
}

/// Reads an array; f4 entries become f64. The length is checked against the file before anything is allocated.
///
/// # Errors
/// [`SourceError`] for other types and byte orders (with the NumPy call that converts them), other numbers of dimensions,
/// and files shorter or longer than their header says.
pub fn read_npy(path: &Path) -> Result<NpyArray, SourceError> {
    let file = File::open(path).map_err(SourceError::read(path))?;
    let metadata = file.metadata().map_err(SourceError::read(path))?;
    if !metadata.is_file() {
        let advice = "save the array to a file first, its length has to be known";
        return Err(SourceError::file(path, "no regular file", "a .npy file", advice));
    }
    read_from(path, BufReader::new(file), metadata.len())
}

/// Reads an array from `length` bytes.
pub(super) fn read_from(path: &Path, mut reader: impl Read, length: u64) -> Result<NpyArray, SourceError> {
    let (header, start) = read_header(path, &mut reader)?;
    let width = entry_width(path, &header)?;
    let entries = check_shape(path, &header.shape)?;
    let (needed, held) = (entries * width as u64, length.saturating_sub(start));
    if needed != held {
        let got = format!("{held} bytes of data");
        let expected = format!("{needed} bytes for {} of {}", shape_text(&header.shape), header.descr);
        return Err(SourceError::file(
            path,
            got,
            expected,
            "the file was cut or changed: save it again with numpy.save",
        ));
    }
    let values = read_values(path, &mut reader, entries as usize, width)?;
    let values = if header.fortran_order && header.shape.len() == 2 {
        row_major(&values, header.shape[0], header.shape[1])
    } else {
        values
    };
    Ok(NpyArray { shape: header.shape, values })
}

/// The header, and the offset at which the data starts.
fn read_header(path: &Path, reader: &mut impl Read) -> Result<(Header, u64), SourceError> {
    let short = |what: &str| {
        let advice = "the file was cut: save it again with numpy.save";
        SourceError::file(path, format!("a file that ends inside {what}"), "a .npy file", advice)
    };
    let mut start = [0; 8];
    read_all(path, reader, &mut start)?.then_some(()).ok_or_else(|| short("its first 8 bytes"))?;
    if !start.starts_with(MAGIC) {
        let got = "a file that does not begin with \\x93NUMPY";
        return Err(SourceError::file(path, got, "a .npy file", "write it with numpy.save(file, array)"));
    }
    let [major, minor] = [start[6], start[7]];
    let num_length_bytes = match major {
        1 => 2,
        2 | 3 => 4,
        _ => {
            let got = format!("format version {major}.{minor}");
            return Err(SourceError::file(path, got, "version 1, 2 or 3", "save it again with numpy.save"));
        }
    };
    let mut bytes = [0; 4];
    read_all(path, reader, &mut bytes[..num_length_bytes])?
        .then_some(())
        .ok_or_else(|| short("the header's length"))?;
    let length = u32::from_le_bytes(bytes) as usize;
    if length > LONGEST_HEADER {
        let (got, expected) = (format!("a header of {length} bytes"), format!("at most {LONGEST_HEADER}"));
        return Err(SourceError::file(path, got, expected, "save a plain array of f8, without named fields"));
    }
    let mut text = vec![0; length];
    read_all(path, reader, &mut text)?.then_some(()).ok_or_else(|| short("its header"))?;
    let text = String::from_utf8_lossy(&text);
    let header = npy_header::parse(&text).map_err(|expected| {
        let advice = "save it again with numpy.save";
        SourceError::file(path, format!("the header {}", shown(text.trim())), expected, advice)
    })?;
    Ok((header, 8 + num_length_bytes as u64 + length as u64))
}

/// Bytes of an entry of the types that are read.
fn entry_width(path: &Path, header: &Header) -> Result<usize, SourceError> {
    let refused = |what: &str, advice: &str| {
        let got = format!("{what} ({})", shown(&header.descr));
        Err(SourceError::file(path, got, "little-endian f4 or f8 ('<f4', '<f8')", advice))
    };
    match header.descr.as_str() {
        "<f4" => Ok(4),
        "<f8" => Ok(8),
        descr if descr.starts_with('>') => refused("big-endian entries", "numpy.save(file, array.astype('<f8'))"),
        descr if descr.contains('O') => {
            refused("an array of Python objects", "numpy.save(file, numpy.asarray(array.tolist(), dtype='<f8'))")
        }
        descr if descr.starts_with('[') => {
            refused("named fields", "numpy.save(file, numpy.lib.recfunctions.structured_to_unstructured(array))")
        }
        descr if descr.contains('c') => {
            refused("complex entries", "numpy.save(file, numpy.ascontiguousarray(array.real, dtype='<f8'))")
        }
        _ => refused("another type of entry", "numpy.save(file, array.astype('<f8'))"),
    }
}

/// The number of entries of a shape with one or two dimensions.
fn check_shape(path: &Path, shape: &[usize]) -> Result<u64, SourceError> {
    if shape.is_empty() || shape.len() > 2 {
        let got = format!("an array of shape {}", shape_text(shape));
        let advice = "numpy.save(file, array.reshape(len(array), -1))";
        return Err(SourceError::file(path, got, "one or two dimensions", advice));
    }
    let entries = shape.iter().try_fold(1_u64, |product, &side| product.checked_mul(side as u64));
    match entries {
        Some(0) => {
            let got = format!("an empty array, shape {}", shape_text(shape));
            Err(SourceError::file(path, got, "at least one entry", "check what was saved"))
        }
        Some(entries) if entries <= MAX_ENTRIES => Ok(entries),
        _ => {
            let got = format!("an array of shape {}", shape_text(shape));
            Err(SourceError::file(path, got, format!("at most {MAX_ENTRIES} entries"), "save a part: array[:5000]"))
        }
    }
}

fn shape_text(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({})", sides.join(", "))
}

/// Fills `buffer`; false where the file ends before.
fn read_all(path: &Path, reader: &mut impl Read, buffer: &mut [u8]) -> Result<bool, SourceError> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(SourceError::read(path)(error)),
    }
}

fn read_values(path: &Path, reader: &mut impl Read, entries: usize, width: usize) -> Result<Vec<f64>, SourceError> {
    let mut values = Vec::with_capacity(entries);
    let mut buffer = vec![0; CHUNK * width];
    while values.len() < entries {
        let bytes = &mut buffer[..(entries - values.len()).min(CHUNK) * width];
        reader.read_exact(bytes).map_err(SourceError::read(path))?;
        if width == 4 {
            values.extend(bytes.as_chunks::<4>().0.iter().map(|entry| f64::from(f32::from_le_bytes(*entry))));
        } else {
            values.extend(bytes.as_chunks::<8>().0.iter().map(|entry| f64::from_le_bytes(*entry)));
        }
    }
    Ok(values)
}

/// Column-major entries in row-major order.
fn row_major(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows).flat_map(|row| (0..columns).map(move |column| values[column * rows + row])).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file as NumPy writes it.
    pub(in crate::predict) fn npy(version: u8, descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        let length = header.len() as u32;
        bytes.extend(&length.to_le_bytes()[..if version == 1 { 2 } else { 4 }]);
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    pub(in crate::predict) fn doubles(values: &[f64]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn read(bytes: &[u8]) -> Result<NpyArray, SourceError> {
        read_from(Path::new("a.npy"), bytes, bytes.len() as u64)
    }

    fn refused(bytes: &[u8], words: &[&str]) {
        let message = read(bytes).unwrap_err().to_string();
        for word in words.iter().chain(&["a.npy"]) {
            assert!(message.contains(word), "'{word}' is missing: {message}");
        }
    }

    #[test]
    fn all_versions_orders_and_widths_give_the_same_array() {
        let expected = NpyArray { shape: vec![2, 3], values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        let (rows, columns) = (doubles(&expected.values), doubles(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        for version in 1..=3 {
            assert_eq!(read(&npy(version, "<f8", false, "(2, 3)", &rows)).unwrap(), expected);
            assert_eq!(read(&npy(version, "<f8", true, "(2, 3)", &columns)).unwrap(), expected);
        }
        let singles: Vec<u8> = expected.values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        assert_eq!(read(&npy(1, "<f4", false, "(2, 3)", &singles)).unwrap(), expected);
        assert_eq!(read(&npy(1, "<f8", false, "(6,)", &rows)).unwrap().shape, [6]);
    }

    #[test]
    fn what_is_not_read_is_refused_with_the_call_that_mends_it() {
        let data = doubles(&[1.0, 2.0]);
        refused(&npy(1, ">f8", false, "(2,)", &data), &["big-endian", "astype('<f8')"]);
        refused(&npy(1, "|O", false, "(2,)", &data), &["objects", "numpy.asarray"]);
        refused(&npy(1, "<i8", false, "(2,)", &data), &["<i8", "astype('<f8')"]);
        refused(&npy(1, "<c16", false, "(1,)", &data), &["complex", "array.real"]);
        refused(&npy(1, "<f8", false, "(1, 1, 2)", &data), &["(1, 1, 2)", "reshape"]);
        refused(&npy(1, "<f8", false, "()", &data), &["dimensions"]);
        refused(&npy(1, "<f8", false, "(0,)", &[]), &["empty"]);
        refused(&npy(4, "<f8", false, "(2,)", &data), &["version 4.0"]);
        refused(b"eigenvalue,coefficient\n1,2\n", &["numpy.save"]);
        refused(b"", &["ends inside"]);
    }

    #[test]
    fn a_header_cannot_ask_for_more_memory_than_the_file_has_bytes() {
        let data = doubles(&[1.0, 2.0]);
        refused(&npy(1, "<f8", false, "(3,)", &data), &["16 bytes", "24 bytes"]);
        refused(&npy(1, "<f8", false, "(1,)", &data), &["16 bytes", "8 bytes"]);
        refused(&npy(1, "<f8", false, "(99999999999,)", &data), &["99999999999", "at most"]);
        refused(&npy(1, "<f8", false, "(18446744073709551615, 3)", &data), &["at most"]);
        let mut huge_header = npy(2, "<f8", false, "(2,)", &data);
        huge_header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        refused(&huge_header, &["header of 4294967295 bytes"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), version in 1..4_u8) {
            let _ = read(&bytes);
            let mut started = MAGIC.to_vec();
            started.extend([version, 0]);
            started.extend(&bytes);
            let _ = read(&started);
        }

        #[test]
        fn no_header_text_makes_the_reader_panic(text in "[{}'a-z_:<>f84(), TrueFals\\[\\]é0-9]{0,80}") {
            let mut bytes = MAGIC.to_vec();
            bytes.extend([1, 0]);
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text.as_bytes());
            let _ = read(&bytes);
        }
    }
}

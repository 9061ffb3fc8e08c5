//! CIFAR-10 and CIFAR-100 in their binary form.
//!
//! A record is one label byte (CIFAR-10) or a coarse and a fine label (CIFAR-100), then 3072 bytes: 32x32 pixels of
//! red, of green, of blue. A file holds nothing else, so its length must be a multiple of a record.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::raw::{RawData, RawSplit, RawValues, check_labels, sha256};

/// Channels, rows, columns.
const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
/// More than ten times what the official files hold.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// One of the two data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    train_files: &'static [&'static str],
    test_files: &'static [&'static str],
    /// Label bytes before the pixels; the last one is the class.
    label_bytes: usize,
    num_classes: usize,
    /// The folder in the official archive.
    archive_folder: &'static str,
}

const CIFAR10: Layout = Layout {
    train_files: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test_files: &["test_batch.bin"],
    label_bytes: 1,
    num_classes: 10,
    archive_folder: "cifar-10-batches-bin",
};

const CIFAR100: Layout = Layout {
    train_files: &["train.bin"],
    test_files: &["test.bin"],
    label_bytes: 2,
    num_classes: 100,
    archive_folder: "cifar-100-binary",
};

impl Layout {
    /// The data set of which a training file is in the folder, or in the one that its archive unpacks to; with that folder.
    pub(super) fn find(folder: &Path) -> Option<(Self, PathBuf)> {
        let has_files = |layout: &Self, folder: &Path| layout.train_files.iter().any(|file| folder.join(file).exists());
        let candidates =
            |layout: Self| [folder.to_owned(), folder.join(layout.archive_folder)].map(|folder| (layout, folder));
        [CIFAR10, CIFAR100].into_iter().flat_map(candidates).find(|(layout, folder)| has_files(layout, folder))
    }

    /// Reads all files of the folder. The checksum is that of the training files, then the test file, in order.
    pub(super) fn read(self, folder: &Path) -> Result<RawData, DataError> {
        let read_all = |files: &[&str]| -> Result<Vec<Vec<u8>>, DataError> {
            files.iter().map(|file| self.read_file(&folder.join(file))).collect()
        };
        let (train, test) = (read_all(self.train_files)?, read_all(self.test_files)?);
        let name = folder.display().to_string();
        let sha256 = sha256(train.iter().chain(&test).map(Vec::as_slice));
        let split = |files: &[Vec<u8>], split| {
            let separated = self.separate(files);
            check_labels(&name, split, &separated.labels, self.num_classes).map(|()| separated)
        };
        Ok(RawData {
            shape: SHAPE,
            num_classes: self.num_classes,
            train: split(&train, "training")?,
            test: split(&test, "test")?,
            sha256,
        })
    }

    fn record_length(self) -> usize {
        self.label_bytes + PIXELS
    }

    fn read_file(self, path: &Path) -> Result<Vec<u8>, DataError> {
        let file = || path.display().to_string();
        let unreadable = |source| DataError::Unreadable { file: file(), source };
        let mut bytes = Vec::new();
        File::open(path).and_then(|opened| opened.take(MAX_FILE_BYTES).read_to_end(&mut bytes)).map_err(unreadable)?;
        let record = self.record_length();
        if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
            return Err(DataError::CifarLength { file: file(), got: bytes.len(), record });
        }
        Ok(bytes)
    }

    fn separate(self, files: &[Vec<u8>]) -> RawSplit {
        let records = files.iter().flat_map(|file| file.chunks_exact(self.record_length()));
        let labels = records.clone().map(|record| record[self.label_bytes - 1]).collect();
        let pixels = records.flat_map(|record| &record[self.label_bytes..]).copied().collect();
        RawSplit { values: RawValues::Pixels(pixels), labels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn record(labels: &[u8], pixel: u8) -> Vec<u8> {
        [labels, &[pixel; PIXELS]].concat()
    }

    fn cifar10() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (index, file) in CIFAR10.train_files.iter().enumerate() {
            fs::write(folder.path().join(file), record(&[index as u8], 10 * index as u8)).unwrap();
        }
        let two = [record(&[7], 1), record(&[9], 2)].concat();
        fs::write(folder.path().join("test_batch.bin"), two).unwrap();
        folder
    }

    fn read(folder: &Path) -> Result<RawData, DataError> {
        let (layout, folder) = Layout::find(folder).unwrap();
        layout.read(&folder)
    }

    fn pixels(split: &RawSplit) -> &[u8] {
        match &split.values {
            RawValues::Pixels(pixels) => pixels,
            RawValues::Tokens(_) => panic!("images are pixels"),
        }
    }

    #[test]
    fn the_five_batches_follow_each_other() {
        let folder = cifar10();
        let raw = read(folder.path()).unwrap();
        assert_eq!((raw.shape, raw.num_classes), ([3, 32, 32], 10));
        assert_eq!(
            (raw.train.labels.as_slice(), raw.test.labels.as_slice()),
            ([0, 1, 2, 3, 4].as_slice(), [7, 9].as_slice())
        );
        assert_eq!(pixels(&raw.train).len(), 5 * PIXELS);
        assert!(pixels(&raw.train)[3 * PIXELS..4 * PIXELS].iter().all(|&pixel| pixel == 30));
    }

    #[test]
    fn the_fine_label_of_cifar100_is_the_class() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train.bin"), [record(&[3, 99], 1), record(&[0, 42], 2)].concat()).unwrap();
        fs::write(folder.path().join("test.bin"), record(&[19, 0], 3)).unwrap();
        let raw = read(folder.path()).unwrap();
        assert_eq!((raw.num_classes, raw.train.labels), (100, vec![99, 42]));
    }

    #[test]
    fn wrong_lengths_missing_files_and_wrong_labels_are_refused_by_name() {
        let message = |folder: &TempDir| read(folder.path()).unwrap_err().to_string();
        let cut = cifar10();
        fs::write(cut.path().join("data_batch_3.bin"), vec![0; 5000]).unwrap();
        let text = message(&cut);
        assert!(text.contains("data_batch_3.bin: got 5000 bytes") && text.contains("multiple of 3073"), "{text}");
        let empty = cifar10();
        fs::write(empty.path().join("test_batch.bin"), []).unwrap();
        assert!(message(&empty).contains("test_batch.bin: got 0 bytes"));
        let missing = cifar10();
        fs::remove_file(missing.path().join("data_batch_2.bin")).unwrap();
        assert!(message(&missing).contains("data_batch_2.bin: cannot be read"));
        let wrong = cifar10();
        fs::write(wrong.path().join("test_batch.bin"), record(&[10], 0)).unwrap();
        assert!(message(&wrong).contains("the label of test example 0 (counted from 0) is 10, expected at most 9"));
    }
}

//! A data set in MNIST's layout: four IDX files, each plain or gzip.

use std::path::Path;

use super::error::DataError;
use super::idx::{IdxFile, IdxKind};
use super::raw::{RawData, RawSplit, RawValues, check_labels, sha256};

/// The files of MNIST's layout, each with an optional `.gz`, in the order of the checksum.
pub(super) const FILES: [(&str, IdxKind); 4] = [
    ("train-images-idx3-ubyte", IdxKind::Images),
    ("train-labels-idx1-ubyte", IdxKind::Labels),
    ("t10k-images-idx3-ubyte", IdxKind::Images),
    ("t10k-labels-idx1-ubyte", IdxKind::Labels),
];

/// Reads the four files of a folder. Where a file is there twice, the plain one is read.
pub(super) fn read(folder: &Path) -> Result<[IdxFile; 4], DataError> {
    let read = |(stem, kind): (&'static str, IdxKind)| {
        let candidates = [folder.join(stem), folder.join(format!("{stem}.gz"))];
        let path = candidates.iter().find(|path| path.exists()).ok_or_else(|| DataError::MissingFile {
            folder: folder.display().to_string(),
            stem,
            all: FILES.map(|(stem, _)| stem).join(", "),
        })?;
        IdxFile::read(path, kind).map_err(DataError::from)
    };
    let [train_images, train_labels, test_images, test_labels] = FILES;
    Ok([read(train_images)?, read(train_labels)?, read(test_images)?, read(test_labels)?])
}

/// The four files put together. `num_classes` is `None` where the training labels decide it.
pub(super) fn assemble(name: &str, files: [IdxFile; 4], num_classes: Option<usize>) -> Result<RawData, DataError> {
    let sha256 = sha256(files.iter().flat_map(|file| [file.header(), file.payload()]));
    let [train_images, train_labels, test_images, test_labels] = files;
    let size = |images: &IdxFile| [images.dimensions()[1], images.dimensions()[2]];
    let [rows, columns] = size(&train_images);
    if size(&test_images) != [rows, columns] {
        return Err(DataError::Shapes { name: name.to_owned(), train: [rows, columns], test: size(&test_images) });
    }
    let num_classes = match num_classes {
        Some(num_classes) => num_classes,
        None => count_classes(train_labels.payload()).ok_or_else(|| DataError::OneClass { name: name.to_owned() })?,
    };
    let train = pair(name, "training", train_images, train_labels, num_classes)?;
    let test = pair(name, "test", test_images, test_labels, num_classes)?;
    Ok(RawData { shape: [1, rows, columns], num_classes, train, test, sha256 })
}

/// Highest label + 1, if that makes at least two classes.
pub(super) fn count_classes(labels: &[u8]) -> Option<usize> {
    labels.iter().max().filter(|&&highest| highest > 0).map(|&highest| usize::from(highest) + 1)
}

fn pair(
    name: &str,
    split: &'static str,
    images: IdxFile,
    labels: IdxFile,
    num_classes: usize,
) -> Result<RawSplit, DataError> {
    let (num_images, num_labels) = (images.num_examples(), labels.num_examples());
    if num_images != num_labels {
        return Err(DataError::Counts { name: name.to_owned(), split, num_images, num_labels });
    }
    check_labels(name, split, labels.payload(), num_classes)?;
    Ok(RawSplit { values: RawValues::Pixels(images.into_payload()), labels: labels.into_payload() })
}

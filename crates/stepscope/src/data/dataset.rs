//! A data set in memory: normalised images, labels, a checksum.

use std::path::Path;

use sha2::{Digest, Sha256};
use stepscope_types::DataManifest;
use stepscope_types::spec::DataSpec;

use super::embedded;
use super::error::DataError;
use super::idx::{IdxFile, IdxKind};
use super::normalise::Normalisation;
use crate::spec::nearest;

/// The files of MNIST's layout, each with an optional `.gz`, in the order of the checksum.
const FILES: [(&str, IdxKind); 4] = [
    ("train-images-idx3-ubyte", IdxKind::Images),
    ("train-labels-idx1-ubyte", IdxKind::Labels),
    ("t10k-images-idx3-ubyte", IdxKind::Images),
    ("t10k-labels-idx1-ubyte", IdxKind::Labels),
];

/// Training and test examples of one classification problem.
///
/// ```
/// use stepscope::data::Dataset;
/// use stepscope_types::spec::DataSpec;
/// let digits = Dataset::load(&DataSpec { name: "optdigits".into(), ..DataSpec::default() })?;
/// assert_eq!((digits.shape, digits.num_classes), ([1, 8, 8], 10));
/// assert_eq!((digits.train.num_examples(), digits.test.num_examples()), (3823, 1797));
/// assert_eq!(digits.train.example(0).len(), 64);
/// # Ok::<(), stepscope::data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The embedded name, or the folder.
    pub name: String,
    /// Channels, rows, columns of an example.
    pub shape: [usize; 3],
    /// Number of classes: labels are 0 to this, excluded.
    pub num_classes: usize,
    /// The map that was applied to every pixel.
    pub normalisation: Normalisation,
    /// The examples to train on.
    pub train: Split,
    /// The examples to judge by.
    pub test: Split,
    /// SHA-256, in hexadecimal, of the four whole unpacked IDX files one after the other: training images,
    /// training labels, test images, test labels. It is the same whether the files are gzip or not and
    /// however many of their examples are used.
    pub sha256: String,
}

/// Images with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Normalised pixels: example, channel, row, column, the last one fastest.
    pub images: Vec<f32>,
    /// One class for each example.
    pub labels: Vec<u8>,
    example_length: usize,
}

impl Split {
    /// Number of examples, at least 1.
    pub fn num_examples(&self) -> usize {
        self.labels.len()
    }

    /// Number of pixels of one example over all channels.
    pub fn example_length(&self) -> usize {
        self.example_length
    }

    /// The pixels of one example.
    ///
    /// # Panics
    /// As a slice does, for an index that is not below [`Split::num_examples`].
    pub fn example(&self, index: usize) -> &[f32] {
        &self.images[index * self.example_length..][..self.example_length]
    }

    /// Pixels and labels of the examples of a batch, in its order; the buffers are cleared first, so that a
    /// loop can use the same ones at every step.
    ///
    /// # Panics
    /// As a slice does, for an index that is not below [`Split::num_examples`].
    pub fn gather(&self, indices: &[u32], images: &mut Vec<f32>, labels: &mut Vec<u8>) {
        images.clear();
        labels.clear();
        for &index in indices {
            images.extend_from_slice(self.example(index as usize));
            labels.push(self.labels[index as usize]);
        }
    }
}

impl Dataset {
    /// Reads the data set that a specification names: an embedded one, else a folder with the four IDX files of
    /// MNIST's layout, each plain or gzip (where both are there, the plain one is read).
    ///
    /// The number of classes of a folder is its highest training label + 1. `train_examples` and
    /// `test_examples` keep the first ones of each file.
    ///
    /// # Errors
    /// [`DataError`]: a name that is neither, a file that is missing or damaged, files that do not belong
    /// together, labels outside the classes, images without contrast, more examples than there are.
    pub fn load(spec: &DataSpec) -> Result<Self, DataError> {
        let (files, num_classes) = match embedded::by_name(&spec.name) {
            Some(embedded) => (embedded.read()?, Some(embedded.num_classes)),
            None => (read_folder(&spec.name)?, None),
        };
        assemble(spec, &files, num_classes)
    }

    /// What `run.json` says about the data.
    pub fn manifest(&self) -> DataManifest {
        DataManifest {
            name: self.name.clone(),
            sha256: self.sha256.clone(),
            num_train_examples: self.train.num_examples() as u64,
            num_test_examples: self.test.num_examples() as u64,
            num_classes: self.num_classes as u64,
            shape: self.shape.map(|length| length as u64),
        }
    }
}

fn read_folder(name: &str) -> Result<[IdxFile; 4], DataError> {
    let folder = Path::new(name);
    if !folder.is_dir() {
        let names = || embedded::ALL.iter().map(|embedded| embedded.name);
        return Err(DataError::UnknownName {
            name: name.to_owned(),
            known: names().collect::<Vec<_>>().join(", "),
            nearest: nearest(name, names()),
        });
    }
    let read = |(stem, kind): (&'static str, IdxKind)| {
        let candidates = [folder.join(stem), folder.join(format!("{stem}.gz"))];
        let path = candidates.iter().find(|path| path.exists()).ok_or_else(|| DataError::MissingFile {
            folder: name.to_owned(),
            stem,
            all: FILES.map(|(stem, _)| stem).join(", "),
        })?;
        IdxFile::read(path, kind).map_err(DataError::from)
    };
    let [train_images, train_labels, test_images, test_labels] = FILES;
    Ok([read(train_images)?, read(train_labels)?, read(test_images)?, read(test_labels)?])
}

/// `num_classes` is `None` where the training labels decide it.
fn assemble(spec: &DataSpec, files: &[IdxFile; 4], num_classes: Option<usize>) -> Result<Dataset, DataError> {
    let name = || spec.name.clone();
    let [train_images, train_labels, test_images, test_labels] = files;
    let size = |images: &IdxFile| [images.dimensions()[1], images.dimensions()[2]];
    if size(train_images) != size(test_images) {
        return Err(DataError::Shapes { name: name(), train: size(train_images), test: size(test_images) });
    }
    let num_classes = match num_classes {
        Some(num_classes) => num_classes,
        None => count_classes(train_labels.payload()).ok_or_else(|| DataError::OneClass { name: name() })?,
    };
    check_labels(&spec.name, "training", train_images, train_labels, num_classes)?;
    check_labels(&spec.name, "test", test_images, test_labels, num_classes)?;
    let num_train = example_count(spec, "training", spec.train_examples, train_labels.num_examples())?;
    let num_test = example_count(spec, "test", spec.test_examples, test_labels.num_examples())?;

    let [rows, columns] = size(train_images);
    let example_length = rows * columns;
    let train_pixels = &train_images.payload()[..num_train * example_length];
    let normalisation = Normalisation::of(train_pixels)
        .ok_or_else(|| DataError::ConstantImages { name: name(), value: train_pixels[0] })?;
    let split = |images: &IdxFile, labels: &IdxFile, num_examples: usize| Split {
        images: normalisation.apply(&images.payload()[..num_examples * example_length]),
        labels: labels.payload()[..num_examples].to_vec(),
        example_length,
    };
    Ok(Dataset {
        name: name(),
        shape: [1, rows, columns],
        num_classes,
        normalisation,
        train: split(train_images, train_labels, num_train),
        test: split(test_images, test_labels, num_test),
        sha256: checksum(files),
    })
}

/// Highest label + 1, if that makes at least two classes.
fn count_classes(labels: &[u8]) -> Option<usize> {
    labels.iter().max().filter(|&&highest| highest > 0).map(|&highest| usize::from(highest) + 1)
}

fn check_labels(
    name: &str,
    split: &'static str,
    images: &IdxFile,
    labels: &IdxFile,
    num_classes: usize,
) -> Result<(), DataError> {
    let name = || name.to_owned();
    let (num_images, num_labels) = (images.num_examples(), labels.num_examples());
    if num_images != num_labels {
        return Err(DataError::Counts { name: name(), split, num_images, num_labels });
    }
    match labels.payload().iter().enumerate().find(|(_, label)| usize::from(**label) >= num_classes) {
        Some((index, &label)) => Err(DataError::Label { name: name(), split, index, label, num_classes }),
        None => Ok(()),
    }
}

fn example_count(
    spec: &DataSpec,
    split: &'static str,
    asked: Option<u64>,
    available: usize,
) -> Result<usize, DataError> {
    let Some(asked) = asked else { return Ok(available) };
    match usize::try_from(asked) {
        Ok(count) if (1..=available).contains(&count) => Ok(count),
        _ => {
            let key = if split == "test" { "data.test_examples" } else { "data.train_examples" };
            Err(DataError::ExampleCount { key, name: spec.name.clone(), split, asked, available })
        }
    }
}

fn checksum(files: &[IdxFile; 4]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(file.header());
        hasher.update(file.payload());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn idx(dimensions: &[u32], payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
        bytes.extend(payload);
        bytes
    }

    /// A folder of 1x2 images with these pixels and labels.
    fn folder(train: (&[u8], &[u8]), test: (&[u8], &[u8])) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |(name, _): (&str, IdxKind), bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        let images = |pixels: &[u8]| idx(&[pixels.len() as u32 / 2, 1, 2], pixels);
        let labels = |labels: &[u8]| idx(&[labels.len() as u32], labels);
        write(FILES[0], images(train.0));
        write(FILES[1], labels(train.1));
        write(FILES[2], images(test.0));
        write(FILES[3], labels(test.1));
        folder
    }

    fn named(name: &str) -> DataSpec {
        DataSpec { name: name.to_owned(), ..DataSpec::default() }
    }

    fn load(folder: &TempDir) -> Result<Dataset, DataError> {
        Dataset::load(&named(folder.path().to_str().unwrap()))
    }

    #[test]
    fn embedded_sets_are_what_their_table_says() {
        for embedded in embedded::ALL {
            let dataset = Dataset::load(&named(embedded.name)).unwrap();
            assert_eq!(dataset.train.num_examples(), embedded.num_train_examples);
            assert_eq!(dataset.test.num_examples(), embedded.num_test_examples);
            assert_eq!(dataset.shape, [1, embedded.image_size[0], embedded.image_size[1]]);
            assert_eq!(count_classes(&dataset.train.labels), Some(embedded.num_classes));
        }
    }

    /// The numbers are what `zcat` of the four files in order, piped into `sha256sum`, prints.
    #[test]
    fn the_checksum_is_that_of_the_unpacked_files_in_order() {
        let checksum = |name| Dataset::load(&named(name)).unwrap().sha256;
        assert_eq!(checksum("optdigits"), "9bb1b21650f8208c8efcce549c5e4ab6767d9cb4db4877ee078d1a5da51b0fd1");
        assert_eq!(checksum("fashion14"), "a908215d3eb3be2e90adefa0a0ab139a030dfeaf2ae1db8bf3082da87483d55b");
    }

    /// 98.00 % is the accuracy that the donors of the data document for the nearest neighbour.
    #[test]
    fn the_nearest_training_digit_has_the_right_label_for_98_percent_of_the_test_digits() {
        let digits = Dataset::load(&named("optdigits")).unwrap();
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f32>();
        let nearest = |example: &[f32]| {
            let train = &digits.train;
            (0..train.num_examples())
                .map(|index| (distance(example, train.example(index)), index))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, index)| train.labels[index])
        };
        let test = &digits.test;
        let right = (0..test.num_examples()).filter(|&i| nearest(test.example(i)) == Some(test.labels[i])).count();
        let accuracy = right as f64 / test.num_examples() as f64;
        assert!((accuracy - 0.98).abs() < 0.0005, "{accuracy}");
    }

    #[test]
    fn the_test_split_goes_through_the_map_of_the_training_split() {
        let dataset = load(&folder((&[0, 4, 4, 0], &[0, 1]), (&[2, 6], &[1]))).unwrap();
        assert_eq!(dataset.normalisation, Normalisation { mean: 2.0, standard_deviation: 2.0 });
        assert_eq!(dataset.train.images, [-1.0, 1.0, 1.0, -1.0]);
        assert_eq!(dataset.test.images, [0.0, 2.0]);
        assert_eq!((dataset.num_classes, dataset.shape), (2, [1, 1, 2]));
    }

    #[test]
    fn the_first_examples_are_kept_and_alone_decide_the_normalisation() {
        let folder = folder((&[0, 4, 90, 90, 0, 0], &[0, 1, 4]), (&[2, 6, 0, 0], &[1, 0]));
        let spec = DataSpec {
            name: folder.path().to_str().unwrap().to_owned(),
            train_examples: Some(1),
            test_examples: Some(1),
        };
        let some = Dataset::load(&spec).unwrap();
        assert_eq!((some.train.num_examples(), some.test.num_examples()), (1, 1));
        assert_eq!(some.train.images, [-1.0, 1.0]);
        let all = load(&folder).unwrap();
        assert_eq!((some.num_classes, &some.sha256), (5, &all.sha256), "classes and checksum are the files'");
        for (key, too_many) in [
            ("data.train_examples: got 4, expected 1 to 3", DataSpec { train_examples: Some(4), ..spec.clone() }),
            ("data.test_examples: got 3, expected 1 to 2", DataSpec { test_examples: Some(3), ..spec.clone() }),
            ("data.train_examples: got 0, expected 1 to 3", DataSpec { train_examples: Some(0), ..spec }),
        ] {
            let message = Dataset::load(&too_many).unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        }
    }

    #[test]
    fn a_batch_is_gathered_in_the_order_of_its_indices() {
        let dataset = load(&folder((&[0, 4, 4, 0, 2, 2], &[0, 1, 2]), (&[2, 6], &[1]))).unwrap();
        let (mut images, mut labels) = (vec![9.0], vec![9]);
        dataset.train.gather(&[2, 0], &mut images, &mut labels);
        assert_eq!(labels, [2, 0]);
        assert_eq!(images, [dataset.train.example(2), dataset.train.example(0)].concat());
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused_with_the_facts() {
        let good: (&[u8], &[u8]) = (&[0, 4, 4, 0], &[0, 1]);
        let cases = [
            (folder((&[0, 4, 4, 0], &[1]), good), "got 2 training images and 1 training labels"),
            (folder(good, (&[0, 4], &[0, 1])), "got 1 test images and 2 test labels"),
            (
                folder(good, (&[0, 4, 4, 0], &[1, 7])),
                "the label of test example 1 (counted from 0) is 7, expected at most 1",
            ),
            (folder((&[0, 4, 4, 0], &[0, 0]), good), "every training label is 0"),
            (folder((&[3, 3, 3, 3], &[0, 1]), good), "every pixel of the training images used is 3"),
        ];
        for (folder, expected) in cases {
            let message = load(&folder).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains(folder.path().to_str().unwrap()), "{message}");
        }
        let other_size = folder(good, good);
        fs::write(other_size.path().join(FILES[2].0), idx(&[2, 2, 1], &[0, 4, 4, 0])).unwrap();
        let message = load(&other_size).unwrap_err().to_string();
        assert!(
            message.contains("training images are [1, 2] pixels (rows, columns) and test images [2, 1]"),
            "{message}"
        );
    }

    #[test]
    fn a_missing_file_is_named_with_its_folder() {
        let folder = folder((&[0, 4, 4, 0], &[0, 1]), (&[2, 6], &[1]));
        fs::remove_file(folder.path().join(FILES[3].0)).unwrap();
        let message = load(&folder).unwrap_err().to_string();
        assert!(message.contains("no file t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz"), "{message}");
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_embedded_one() {
        let message = |name: &str| Dataset::load(&named(name)).unwrap_err().to_string();
        assert_eq!(
            message("optdigit"),
            "data.name: got \"optdigit\", which is neither an embedded data set (optdigits, fashion14) nor a folder that is there: did you mean \"optdigits\"?"
        );
        assert!(message("Fashion-14").ends_with("did you mean \"fashion14\"?"));
        assert!(message("/nowhere/at/all").ends_with("nor a folder that is there"));
    }
}

//! Why a data set cannot be used.

use std::io;

use thiserror::Error;

use super::idx::IdxError;

/// Why a data set cannot be used. Every message says where, what was got, what was expected, what to do.
#[derive(Debug, Error)]
pub enum DataError {
    /// One of the four files is no IDX file of its kind.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// Neither a known data set nor a folder.
    #[error(
        "data.name: got \"{name}\", which is neither a known data set ({known}) nor a folder that is there{hint}",
        hint = nearest.map(|nearest| format!(": did you mean \"{nearest}\"?")).unwrap_or_default()
    )]
    UnknownName {
        /// The name given.
        name: String,
        /// The embedded and the published data sets.
        known: String,
        /// The known data set whose name is nearest, if one is near.
        nearest: Option<&'static str>,
    },
    /// A published data set that is not in the cache.
    #[error("data.name: \"{name}\" is not whole in the cache ({folder}): run `stepscope data fetch {name}`")]
    NotFetched {
        /// The data set.
        name: String,
        /// Where it would be.
        folder: String,
    },
    /// A file that cannot be opened or read.
    #[error("{file}: cannot be read ({source}): check that the file is there and that you may read it")]
    Unreadable {
        /// Which file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// A CIFAR file that does not consist of whole records.
    #[error(
        "{file}: got {got} bytes, expected a multiple of {record}, the length of a record: fetch or copy the file again"
    )]
    CifarLength {
        /// Which file.
        file: String,
        /// Its length.
        got: usize,
        /// Bytes of a record.
        record: usize,
    },
    /// An archive that ends early or fails its checksum.
    #[error("{file}: the archive is damaged or cut off ({source}): fetch or copy it again")]
    Archive {
        /// Which file.
        file: String,
        /// What the decoder says.
        source: io::Error,
    },
    /// Reviews of a split and class are missing.
    #[error("{name}: there is no review in {part}: expected texts in train/neg, train/pos, test/neg and test/pos")]
    NoReviews {
        /// The folder.
        name: String,
        /// Split and class.
        part: String,
    },
    /// Texts cannot be moved or mirrored.
    #[error("data.augment: the examples of {name} are texts, which cannot be moved or mirrored: leave the table out")]
    AugmentedText {
        /// The data set.
        name: String,
    },
    /// A folder without one of the four files.
    #[error(
        "{folder}: no file {stem} or {stem}.gz: expected a folder with the four IDX files of MNIST's layout ({all})"
    )]
    MissingFile {
        /// The folder.
        folder: String,
        /// The file that is missing, without `.gz`.
        stem: &'static str,
        /// All four files.
        all: String,
    },
    /// Images and labels of one split differ in number.
    #[error(
        "{name}: got {num_images} {split} images and {num_labels} {split} labels, expected as many of each: check that both files belong together"
    )]
    Counts {
        /// The data set.
        name: String,
        /// `training` or `test`.
        split: &'static str,
        /// Number of images.
        num_images: usize,
        /// Number of labels.
        num_labels: usize,
    },
    /// Training and test images differ in rows or columns.
    #[error(
        "{name}: training images are {train:?} pixels (rows, columns) and test images {test:?}, expected the same size: check that all files belong together"
    )]
    Shapes {
        /// The data set.
        name: String,
        /// Rows and columns of the training images.
        train: [usize; 2],
        /// Rows and columns of the test images.
        test: [usize; 2],
    },
    /// A label that is no class.
    #[error(
        "{name}: the label of {split} example {index} (counted from 0) is {label}, expected at most {}: the data set has {num_classes} classes", .num_classes - 1
    )]
    Label {
        /// The data set.
        name: String,
        /// `training` or `test`.
        split: &'static str,
        /// Position in its file, from 0.
        index: usize,
        /// The label.
        label: u8,
        /// Number of classes.
        num_classes: usize,
    },
    /// Every training label is 0.
    #[error("{name}: every training label is 0, expected at least two classes: there is nothing to tell apart")]
    OneClass {
        /// The data set.
        name: String,
    },
    /// Every training example in use is of one class, which has no variance.
    #[error(
        "data.targets = \"number\": every training example of {name} that is used is of class {label}, expected at least two classes: use more with data.train_examples"
    )]
    OneTarget {
        /// The data set.
        name: String,
        /// The class.
        label: u8,
    },
    /// Every training pixel of a channel has the same value.
    #[error(
        "{name}: every pixel of channel {channel} of the training images used is {value}, expected images that differ: there is nothing to learn from"
    )]
    ConstantImages {
        /// The data set.
        name: String,
        /// The channel, from 0.
        channel: usize,
        /// The value of every pixel.
        value: u8,
    },
    /// More examples were asked for than there are, or none.
    #[error(
        "{key}: got {asked}, expected 1 to {available}, the {split} examples of {name}: lower the number, or leave the key out to use all"
    )]
    ExampleCount {
        /// The key of the specification.
        key: &'static str,
        /// The data set.
        name: String,
        /// `training` or `test`.
        split: &'static str,
        /// Number asked for.
        asked: u64,
        /// Number there are.
        available: usize,
    },
}

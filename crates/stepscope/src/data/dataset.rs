//! A data set in memory: examples, labels, a checksum.

use std::path::PathBuf;

use stepscope_types::DataManifest;
use stepscope_types::spec::DataSpec;

use super::augment::Augmentation;
use super::cache::Cache;
use super::cifar::Layout;
use super::error::DataError;
use super::imdb::{self, Tokenizer};
use super::label_noise::randomise;
use super::normalise::Normalisation;
use super::raw::{RawData, RawSplit, RawValues};
use super::split::Split;
use super::target::Target;
use super::{catalogue, embedded, idx_folder};
use crate::spec::nearest;

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
    /// The embedded or fetched name, or the folder.
    pub name: String,
    /// Channels, rows, columns of an image; for texts 1, 1 and the number of tokens.
    pub shape: [usize; 3],
    /// Number of classes: labels are 0 to this, excluded.
    pub num_classes: usize,
    /// Numbers that a network puts out for the targets: one a class, or a single one.
    pub num_outputs: usize,
    /// The map that was applied to the pixels of each channel; empty for texts.
    pub normalisation: Vec<Normalisation>,
    /// The examples to train on.
    pub train: Split,
    /// The examples to judge by.
    pub test: Split,
    /// Places of the training examples whose label was drawn at random, ascending.
    pub random_labels: Vec<u32>,
    /// SHA-256, in hexadecimal, of the whole unpacked files one after the other. IDX: training images, training labels, test images,
    /// test labels; CIFAR: the training files, the test file; IMDB: names and texts. It is the same whether files are packed or
    /// not and however many of their examples are used.
    pub sha256: String,
}

impl Dataset {
    /// Reads the data set that a specification names: an embedded one, one that `stepscope data fetch` has brought, else a
    /// folder with the files of MNIST's layout (each plain or gzip; where both are there, the plain one is read), of CIFAR's
    /// binary form or of IMDB.
    ///
    /// The number of classes of an IDX folder is its highest training label + 1. `train_examples` and `test_examples` keep the
    /// first ones of each file, and the training examples in use alone decide the normalisation.
    ///
    /// # Errors
    /// [`DataError`]: a name that is neither, a file that is missing or damaged, files that do not belong
    /// together, labels outside the classes, images without contrast, more examples than there are.
    pub fn load(spec: &DataSpec) -> Result<Self, DataError> {
        Self::load_with(spec, &Cache::of_user())
    }

    /// As [`Dataset::load`], with fetched data sets in another cache than the user's.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn load_with(spec: &DataSpec, cache: &Cache) -> Result<Self, DataError> {
        prepare(spec, read(spec, cache)?)
    }

    /// The training examples that `train_examples` leaves out, through the map of those in use: held out from training without
    /// being the test set. `None` where all are in use.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn load_unused(spec: &DataSpec) -> Result<Option<Split>, DataError> {
        let Some(count) = spec.train_examples.and_then(|count| usize::try_from(count).ok()) else { return Ok(None) };
        let RawData { mut train, shape, .. } = read(spec, &Cache::of_user())?;
        let available = train.labels.len();
        if count >= available {
            return Ok(None);
        }
        let labels = train.labels.split_off(count);
        Ok(Some(match &mut train.values {
            RawValues::Pixels(pixels) => {
                let rest = pixels.split_off(pixels.len() / available * count);
                let tables = normalise(spec, pixels, shape)?.iter().map(Normalisation::table).collect();
                Split::of_pixels(rest, tables, labels)
            }
            RawValues::Tokens(tokens) => {
                let rest = tokens.split_off(tokens.len() / available * count);
                Split::of_tokens(rest, labels)
            }
        }))
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

    /// The changes of training images that a specification asks for, if any; `seed` is
    /// [`stepscope_types::Seeds::data_seed`].
    ///
    /// # Errors
    /// [`DataError::AugmentedText`] where the examples are texts.
    pub fn augmentation(&self, spec: &DataSpec, seed: u64) -> Result<Option<Augmentation>, DataError> {
        let augmentation = Augmentation::new(spec.augment, self.shape, self.train.black(), seed);
        if augmentation.is_some() && self.normalisation.is_empty() {
            return Err(DataError::AugmentedText { name: self.name.clone() });
        }
        Ok(augmentation)
    }
}

/// Reads what a specification names.
fn read(spec: &DataSpec, cache: &Cache) -> Result<RawData, DataError> {
    match embedded::by_name(&spec.name) {
        Some(embedded) => idx_folder::assemble(&spec.name, embedded.read()?, Some(embedded.num_classes)),
        None => read_folder(spec, cache),
    }
}

/// Reads a fetched data set or a folder, in the format that its files have.
fn read_folder(spec: &DataSpec, cache: &Cache) -> Result<RawData, DataError> {
    let name = &spec.name;
    let folder = match catalogue::by_name(name) {
        Some(published) if !published.is_in(cache) => {
            let folder = cache.folder(name).display().to_string();
            return Err(DataError::NotFetched { name: name.clone(), folder });
        }
        Some(published) => cache.folder(published.name),
        None => PathBuf::from(name),
    };
    let folder = folder.as_path();
    if !folder.is_dir() {
        let names = || embedded::ALL.iter().map(|set| set.name).chain(catalogue::PUBLISHED.iter().map(|set| set.name));
        return Err(DataError::UnknownName {
            name: name.clone(),
            known: names().collect::<Vec<_>>().join(", "),
            nearest: nearest(name, names()),
        });
    }
    if let Some((layout, folder)) = Layout::find(folder) {
        return layout.read(&folder);
    }
    if imdb::is_here(folder) {
        let vocabulary = u16::try_from(spec.vocabulary).unwrap_or(u16::MAX);
        return imdb::read(folder, Tokenizer { vocabulary, sequence_length: spec.sequence_length as usize });
    }
    idx_folder::assemble(name, idx_folder::read(folder)?, None)
}

/// Cuts the splits to the examples asked for and normalises them.
fn prepare(spec: &DataSpec, raw: RawData) -> Result<Dataset, DataError> {
    let mut train = cut(spec, "training", "data.train_examples", spec.train_examples, raw.train)?;
    let test = cut(spec, "test", "data.test_examples", spec.test_examples, raw.test)?;
    let normalisation = match &train.values {
        RawValues::Pixels(pixels) => normalise(spec, pixels, raw.shape)?,
        RawValues::Tokens(_) => Vec::new(),
    };
    let random_labels = randomise(&mut train.labels, raw.num_classes, spec.random_labels, spec.random_labels_seed);
    let target = Target::of(spec.targets, &train.labels).ok_or_else(|| DataError::OneTarget {
        name: spec.name.clone(),
        label: train.labels.first().copied().unwrap_or(0),
    })?;
    let tables: Vec<[f32; 256]> = normalisation.iter().map(Normalisation::table).collect();
    let split = |raw: RawSplit| {
        let split = match raw.values {
            RawValues::Pixels(pixels) => Split::of_pixels(pixels, tables.clone(), raw.labels),
            RawValues::Tokens(tokens) => Split::of_tokens(tokens, raw.labels),
        };
        split.with_target(target)
    };
    Ok(Dataset {
        name: spec.name.clone(),
        shape: raw.shape,
        num_classes: raw.num_classes,
        num_outputs: spec.num_outputs(raw.num_classes),
        random_labels,
        train: split(train),
        test: split(test),
        normalisation,
        sha256: raw.sha256,
    })
}

/// The first examples of a split.
fn cut(
    spec: &DataSpec,
    split: &'static str,
    key: &'static str,
    asked: Option<u64>,
    mut raw: RawSplit,
) -> Result<RawSplit, DataError> {
    let available = raw.labels.len();
    let Some(asked) = asked else { return Ok(raw) };
    let count = match usize::try_from(asked) {
        Ok(count) if (1..=available).contains(&count) => count,
        _ => return Err(DataError::ExampleCount { key, name: spec.name.clone(), split, asked, available }),
    };
    match &mut raw.values {
        RawValues::Pixels(pixels) => pixels.truncate(pixels.len() / available * count),
        RawValues::Tokens(tokens) => tokens.truncate(tokens.len() / available * count),
    }
    raw.labels.truncate(count);
    Ok(raw)
}

/// The normalisation of every channel.
fn normalise(
    spec: &DataSpec,
    pixels: &[u8],
    [channels, rows, columns]: [usize; 3],
) -> Result<Vec<Normalisation>, DataError> {
    let plane = rows * columns;
    (0..channels)
        .map(|channel| {
            let of_channel = pixels.chunks(channels * plane).flat_map(|image| &image[channel * plane..][..plane]);
            Normalisation::of(of_channel.copied()).ok_or_else(|| DataError::ConstantImages {
                name: spec.name.clone(),
                channel,
                value: pixels.get(channel * plane).copied().unwrap_or(0),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::idx::IdxKind;
    use super::super::idx_folder::{FILES, count_classes};
    use super::*;
    use std::fs;
    use stepscope_types::spec::TargetKind;
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
            assert_eq!(count_classes(dataset.train.labels()), Some(embedded.num_classes));
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
        let train = &digits.train;
        let examples: Vec<Vec<f32>> = (0..train.num_examples()).map(|index| train.example(index)).collect();
        let nearest = |example: &[f32]| {
            (0..train.num_examples())
                .map(|index| (distance(example, &examples[index]), index))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, index)| train.labels()[index])
        };
        let test = &digits.test;
        let right = (0..test.num_examples()).filter(|&i| nearest(&test.example(i)) == Some(test.labels()[i])).count();
        let accuracy = right as f64 / test.num_examples() as f64;
        assert!((accuracy - 0.98).abs() < 0.0005, "{accuracy}");
    }

    #[test]
    fn the_test_split_goes_through_the_map_of_the_training_split() {
        let dataset = load(&folder((&[0, 4, 4, 0], &[0, 1]), (&[2, 6], &[1]))).unwrap();
        assert_eq!(dataset.normalisation, [Normalisation { mean: 2.0, standard_deviation: 2.0 }]);
        assert_eq!([dataset.train.example(0), dataset.train.example(1)].concat(), [-1.0, 1.0, 1.0, -1.0]);
        assert_eq!(dataset.test.example(0), [0.0, 2.0]);
        assert_eq!((dataset.num_classes, dataset.shape), (2, [1, 1, 2]));
    }

    #[test]
    fn what_is_not_trained_on_goes_through_the_map_of_what_is() {
        let of = |train_examples| DataSpec { train_examples, ..named("optdigits") };
        let (whole, part) = (Dataset::load(&of(None)).unwrap(), Dataset::load(&of(Some(3000))).unwrap());
        let unused = Dataset::load_unused(&of(Some(3000))).unwrap().unwrap();
        assert_eq!(unused.num_examples(), 823);
        assert_eq!(unused.labels(), &whole.train.labels()[3000..]);
        let raw = |dataset: &Dataset, x: f32| {
            let map = dataset.normalisation[0];
            f64::from(x) * map.standard_deviation + map.mean
        };
        let pairs = unused.example(5).into_iter().zip(whole.train.example(3005));
        assert!(pairs.into_iter().all(|(a, b)| (raw(&part, a) - raw(&whole, b)).abs() < 1e-4));
        for all in [None, Some(3823)] {
            assert_eq!(Dataset::load_unused(&of(all)).unwrap(), None);
        }
    }

    #[test]
    fn the_first_examples_are_kept_and_alone_decide_the_normalisation() {
        let folder = folder((&[0, 4, 90, 90, 0, 0], &[0, 1, 4]), (&[2, 6, 0, 0], &[1, 0]));
        let spec = DataSpec {
            name: folder.path().to_str().unwrap().to_owned(),
            train_examples: Some(1),
            test_examples: Some(1),
            ..DataSpec::default()
        };
        let some = Dataset::load(&spec).unwrap();
        assert_eq!((some.train.num_examples(), some.test.num_examples()), (1, 1));
        assert_eq!(some.train.example(0), [-1.0, 1.0]);
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
    fn random_labels_and_targets_are_those_of_the_examples_in_use_and_the_test_labels_stay() {
        let spec = DataSpec { train_examples: Some(400), random_labels: 0.5, ..named("optdigits") };
        let (clean, noisy) = (Dataset::load(&named("optdigits")).unwrap(), Dataset::load(&spec).unwrap());
        assert_eq!((noisy.random_labels.len(), clean.random_labels.len()), (200, 0));
        assert_eq!(noisy.test.labels(), clean.test.labels());
        let differ = (0..400).filter(|&place| noisy.train.labels()[place] != clean.train.labels()[place]);
        assert!(differ.map(|place| place as u32).all(|place| noisy.random_labels.contains(&place)));
        let number = Dataset::load(&DataSpec { targets: TargetKind::Number, ..spec }).unwrap();
        assert_eq!((number.num_outputs, noisy.num_outputs), (1, 10));
        assert_eq!(Some(number.train.target()), Target::of(TargetKind::Number, number.train.labels()));
        assert_eq!(number.test.target(), number.train.target());
    }

    #[test]
    fn a_number_of_one_class_is_refused() {
        let folder = folder((&[0, 4, 4, 0], &[1, 0]), (&[2, 6], &[1]));
        let name = folder.path().to_str().unwrap();
        let spec = DataSpec { train_examples: Some(1), targets: TargetKind::Number, ..named(name) };
        let message = Dataset::load(&spec).unwrap_err().to_string();
        assert!(message.contains("data.targets") && message.contains("class 1"), "{message}");
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
            (folder((&[3, 3, 3, 3], &[0, 1]), good), "every pixel of channel 0 of the training images used is 3"),
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
            "data.name: got \"optdigit\", which is neither a known data set (optdigits, fashion14, mnist, fashion-mnist, cifar10, cifar100, imdb) nor a folder that is there: did you mean \"optdigits\"?"
        );
        assert!(message("Fashion-14").ends_with("did you mean \"fashion14\"?"));
        assert!(message("/nowhere/at/all").ends_with("nor a folder that is there"));
    }

    #[test]
    fn a_published_set_that_was_not_fetched_says_how_to_fetch_it() {
        let cache = tempfile::tempdir().unwrap();
        let message = Dataset::load_with(&named("cifar10"), &Cache::at(cache.path())).unwrap_err().to_string();
        assert!(message.contains("stepscope data fetch cifar10"), "{message}");
    }

    #[test]
    fn a_fetched_set_is_read_from_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        let made = folder((&[0, 4, 4, 0], &[0, 1]), (&[2, 6], &[1]));
        fs::rename(made.keep(), cache.path().join("mnist")).unwrap();
        let dataset = Dataset::load_with(&named("mnist"), &Cache::at(cache.path())).unwrap();
        assert_eq!((dataset.name.as_str(), dataset.train.num_examples()), ("mnist", 2));
    }
}

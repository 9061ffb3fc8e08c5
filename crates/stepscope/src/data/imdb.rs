//! IMDB film reviews as sequences of word numbers.
//!
//! Read from the official archive `aclImdb_v1.tar.gz`, or from the folder `aclImdb` that it unpacks to: texts in
//! `train/neg`, `train/pos`, `test/neg` and `test/pos`, half a class each. A word is a run of letters, digits and
//! apostrophes, in lower case, after line breaks of HTML are removed. Words of the training texts are numbered from 2 by how often
//! they occur, ties in the order of the alphabet; 0 fills a sequence up at its beginning, 1 is any rarer word. A
//! longer review keeps its end, where the verdict usually stands.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::error::DataError;
use super::raw::{RawData, RawSplit, RawValues, hex};

/// The official archive.
pub(super) const ARCHIVE: &str = "aclImdb_v1.tar.gz";
/// Below it, in an archive or unpacked, stand the texts.
const ROOT: &str = "aclImdb";
/// Class 0 and class 1.
const CLASSES: [&str; 2] = ["neg", "pos"];
/// The longest review has about 14,000 bytes.
const MAX_TEXT_BYTES: u64 = 1 << 20;
/// 0 is padding and 1 any rare word.
const FIRST_WORD: u16 = 2;

/// How texts become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tokenizer {
    /// Word numbers are 0 to this, excluded; at least 3.
    pub(super) vocabulary: u16,
    /// Tokens that a review is cut or filled up to.
    pub(super) sequence_length: usize,
}

/// The texts of one split and class, each with the name of its file.
type Texts = Vec<(String, String)>;

/// Whether reviews are here: the archive or its folder.
pub(super) fn is_here(folder: &Path) -> bool {
    folder.join(ARCHIVE).is_file() || root_of(folder).is_some()
}

/// Reads and tokenizes the reviews. The checksum runs over the names and texts in order, training texts first.
pub(super) fn read(folder: &Path, tokenizer: Tokenizer) -> Result<RawData, DataError> {
    let mut texts: [[Texts; 2]; 2] = Default::default();
    match root_of(folder) {
        Some(root) => read_folder(&root, &mut texts)?,
        None => read_archive(&folder.join(ARCHIVE), &mut texts)?,
    }
    let name = folder.display().to_string();
    for (split, classes) in ["train", "test"].into_iter().zip(&mut texts) {
        for (class, texts) in CLASSES.into_iter().zip(classes) {
            if texts.is_empty() {
                return Err(DataError::NoReviews { name, part: format!("{split}/{class}") });
            }
            // The order of a folder's entries and of an archive's members is no property of the data.
            texts.sort();
        }
    }
    let mut hasher = Sha256::new();
    for (name, text) in texts.iter().flatten().flatten() {
        hasher.update(name);
        hasher.update(text);
    }
    let numbers = vocabulary(&texts[0], tokenizer.vocabulary);
    let [train, test] = texts.map(|classes| tokenize(&classes, &numbers, tokenizer.sequence_length));
    let shape = [1, 1, tokenizer.sequence_length];
    Ok(RawData { shape, num_classes: CLASSES.len(), train, test, sha256: hex(&hasher.finalize()) })
}

/// The folder with `train/pos`, where there is one.
fn root_of(folder: &Path) -> Option<std::path::PathBuf> {
    [folder.join(ROOT), folder.to_owned()].into_iter().find(|root| root.join("train").join("pos").is_dir())
}

fn read_folder(root: &Path, texts: &mut [[Texts; 2]; 2]) -> Result<(), DataError> {
    for (split, classes) in ["train", "test"].into_iter().zip(texts) {
        for (class, texts) in CLASSES.into_iter().zip(classes) {
            let folder = root.join(split).join(class);
            let unreadable = |source| DataError::Unreadable { file: folder.display().to_string(), source };
            for entry in fs::read_dir(&folder).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                if path.extension().is_some_and(|extension| extension == "txt") {
                    let unreadable = |source| DataError::Unreadable { file: path.display().to_string(), source };
                    let text = read_text(File::open(&path).map_err(unreadable)?).map_err(unreadable)?;
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    texts.push((name, text));
                }
            }
        }
    }
    Ok(())
}

fn read_archive(path: &Path, texts: &mut [[Texts; 2]; 2]) -> Result<(), DataError> {
    let unreadable = |source| DataError::Unreadable { file: path.display().to_string(), source };
    let damaged = |source| DataError::Archive { file: path.display().to_string(), source };
    let file = std::io::BufReader::new(File::open(path).map_err(unreadable)?);
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut parts = member.split('/');
        if parts.next() != Some(ROOT) {
            continue;
        }
        let (split, class, name) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
        let split = ["train", "test"].iter().position(|&known| split == Some(known));
        let class = CLASSES.iter().position(|&known| class == Some(known));
        if let (Some(split), Some(class), true) = (split, class, name.ends_with(".txt")) {
            let name = name.to_owned();
            texts[split][class].push((name, read_text(entry).map_err(damaged)?));
        }
    }
    Ok(())
}

fn read_text(source: impl Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    source.take(MAX_TEXT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The words of a text, in lower case.
fn words(text: &str) -> Vec<String> {
    text.replace("<br />", " ")
        .to_lowercase()
        .split(|character: char| !character.is_alphanumeric() && character != '\'')
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The number of every word that is frequent enough in the training texts.
fn vocabulary(train: &[Texts; 2], size: u16) -> HashMap<String, u16> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for word in train.iter().flatten().flat_map(|(_, text)| words(text)) {
        *counts.entry(word).or_default() += 1;
    }
    let mut by_count: Vec<(String, u64)> = counts.into_iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    by_count.into_iter().map(|(word, _)| word).zip(FIRST_WORD..size).collect()
}

/// Negative and positive reviews in turn, so that the first ones of a split are a fair part of it.
fn tokenize(classes: &[Texts; 2], numbers: &HashMap<String, u16>, length: usize) -> RawSplit {
    let (mut tokens, mut labels) = (Vec::new(), Vec::new());
    for index in 0..classes.iter().map(Vec::len).max().unwrap_or(0) {
        for (class, texts) in classes.iter().enumerate() {
            let Some((_, text)) = texts.get(index) else { continue };
            let words = words(text);
            let kept = &words[words.len().saturating_sub(length)..];
            tokens.resize(tokens.len() + length - kept.len(), 0);
            tokens.extend(kept.iter().map(|word| numbers.get(word).copied().unwrap_or(1)));
            labels.push(class as u8);
        }
    }
    RawSplit { values: RawValues::Tokens(tokens), labels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tempfile::TempDir;

    const TEXTS: [(&str, &str); 5] = [
        ("train/neg/0_1.txt", "Bad, bad film.<br /><br />It isn't good"),
        ("train/pos/0_9.txt", "A good film!"),
        ("test/neg/0_2.txt", "bad unseen"),
        ("test/pos/1_8.txt", "good good good bad film"),
        ("train/unsup/0_0.txt", "not used"),
    ];

    fn unpacked() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in TEXTS {
            let path = folder.path().join(ROOT).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn packed() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join(ARCHIVE)).unwrap();
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
        for (name, text) in TEXTS.iter().rev() {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append_data(&mut header, format!("{ROOT}/{name}"), text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        folder
    }

    const TOKENIZER: Tokenizer = Tokenizer { vocabulary: 5, sequence_length: 4 };

    fn tokens(split: &RawSplit) -> &[u16] {
        match &split.values {
            RawValues::Tokens(tokens) => tokens,
            RawValues::Pixels(_) => panic!("texts are tokens"),
        }
    }

    #[test]
    fn words_are_numbered_by_frequency_and_reviews_keep_their_end() {
        let folder = unpacked();
        assert!(is_here(folder.path()));
        let raw = read(folder.path(), TOKENIZER).unwrap();
        assert_eq!((raw.shape, raw.num_classes), ([1, 1, 4], 2));
        // bad, film and good twice each: 2, 3, 4 by the alphabet; all other words are 1.
        assert_eq!(tokens(&raw.train), [3, 1, 1, 4, 0, 1, 4, 3]);
        assert_eq!(tokens(&raw.test), [0, 0, 2, 1, 4, 4, 2, 3]);
        assert_eq!((raw.train.labels, raw.test.labels), (vec![0, 1], vec![0, 1]));
    }

    #[test]
    fn the_archive_and_its_folder_are_the_same_data() {
        let (unpacked, packed) = (unpacked(), packed());
        let (a, b) = (read(unpacked.path(), TOKENIZER).unwrap(), read(packed.path(), TOKENIZER).unwrap());
        assert_eq!(a.sha256, b.sha256);
        assert_eq!((tokens(&a.train), tokens(&a.test)), (tokens(&b.train), tokens(&b.test)));
        let inside = read(&unpacked.path().join(ROOT), TOKENIZER).unwrap();
        assert_eq!(inside.sha256, a.sha256);
    }

    #[test]
    fn cut_archives_and_missing_parts_are_refused_by_name() {
        let cut = packed();
        let path = cut.path().join(ARCHIVE);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let message = read(cut.path(), TOKENIZER).unwrap_err().to_string();
        assert!(message.contains(ARCHIVE) && message.contains("damaged or cut off"), "{message}");
        let missing = unpacked();
        fs::remove_file(missing.path().join(ROOT).join("test/pos/1_8.txt")).unwrap();
        let message = read(missing.path(), TOKENIZER).unwrap_err().to_string();
        assert!(message.contains("no review in test/pos"), "{message}");
    }
}

//! The word that was probably meant.

/// The candidate that `word` becomes with the fewest typing mistakes (insertions, deletions, replacements, swaps of
/// neighbours), if they are at most a third of the longer word's letters. Case and the choice between `-` and `_` are
/// no mistakes.
///
/// ```
/// assert_eq!(stepscope::spec::nearest("sharpnes", ["loss", "sharpness"]), Some("sharpness"));
/// assert_eq!(stepscope::spec::nearest("colour", ["loss", "sharpness"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let word = plain(word);
    let mistakes = |candidate: &str| strsim::damerau_levenshtein(&word, &plain(candidate));
    candidates
        .into_iter()
        .map(|candidate| (mistakes(candidate), candidate))
        .filter(|(mistakes, candidate)| 3 * mistakes <= word.chars().count().max(candidate.chars().count()).max(3))
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_another_word_finds_none() {
        let candidates = ["learning_rate", "momentum", "kind", "mlp", "simple-cnn"];
        let near = |word| nearest(word, candidates);
        assert_eq!(near("learningrate"), Some("learning_rate"));
        assert_eq!(near("Learning-Rate"), Some("learning_rate"));
        assert_eq!(near("momentmu"), Some("momentum"));
        assert_eq!(near("mpl"), Some("mlp"));
        assert_eq!(near("SimpleCNN"), Some("simple-cnn"));
        for strange in ["", "lr", "velocity", "colour", "ähnlich"] {
            assert_eq!(near(strange), None, "{strange}");
        }
    }
}

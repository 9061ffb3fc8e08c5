//! Layers by the pattern of their names.

use std::ops::Range;

use glob::Pattern;
use thiserror::Error;

use super::ParamLayout;

/// A pattern that selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It is no pattern.
    #[error("\"{pattern}\" is no pattern: {reason} at character {position}: use *, ?, and [...] as in file names")]
    Invalid {
        /// The pattern given.
        pattern: String,
        /// What is wrong.
        reason: String,
        /// Where, from 0.
        position: usize,
    },
    /// It matches no parameter.
    #[error("no parameter's name matches \"{pattern}\": the names are {names}")]
    NoMatch {
        /// The pattern given.
        pattern: String,
        /// All names.
        names: String,
    },
}

impl ParamLayout {
    /// The ranges of the parameters whose names match `pattern`, in order, neighbours joined: what
    /// [`Restricted`](stepscope_spectral::Restricted) takes to restrict an operator to layers.
    ///
    /// `*` stands for any characters, `?` for one, `[ab]` for one of these: `layers.0.*`, `*.weight`.
    ///
    /// # Errors
    /// [`PatternError`] for what is no pattern, and for one that matches nothing, with the names that there are.
    ///
    /// ```
    /// use stepscope::backend::Backend;
    /// use stepscope::models::{Mlp, ParamLayout, init::WeightInit};
    /// use stepscope::spectral::random::RandomStream;
    /// use stepscope::types::spec::{Activation, ModelSpec, Precision};
    /// let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::new(1, 0), &Backend::cpu(Precision::F32));
    /// let layout = ParamLayout::of(&Mlp::new(4, &[3], 2, Activation::Tanh, &mut init));
    /// assert_eq!(layout.matching("layers.0.*")?, [0..15]);
    /// assert_eq!(layout.matching("*.bias")?, [12..15, 21..23]);
    /// assert!(layout.matching("layer.0").unwrap_err().to_string().contains("layers.0.weight"));
    /// # Ok::<(), stepscope::models::PatternError>(())
    /// ```
    pub fn matching(&self, pattern: &str) -> Result<Vec<Range<usize>>, PatternError> {
        let compiled = Pattern::new(pattern).map_err(|error| PatternError::Invalid {
            pattern: pattern.to_owned(),
            reason: error.msg.to_owned(),
            position: error.pos,
        })?;
        let mut joined: Vec<Range<usize>> = Vec::new();
        for (_, range) in self.ranges().filter(|(name, _)| compiled.matches(name)) {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        if joined.is_empty() {
            let names: Vec<&str> = self.ranges().map(|(name, _)| name).collect();
            return Err(PatternError::NoMatch { pattern: pattern.to_owned(), names: names.join(", ") });
        }
        Ok(joined)
    }
}

//! What a report says in words.

use crate::Table;

/// What happened and what to do about it, in plain text: everything is escaped when a page is rendered.
///
/// ```
/// use stepscope_report::Story;
/// let story = Story::new("The measured learning rate wins").paragraph("It ended 0.02 nat below the best fixed one.");
/// assert_eq!(story.paragraphs.len(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Story {
    /// The main finding, in a sentence.
    pub headline: String,
    /// What happened, and what to do, most important first.
    pub paragraphs: Vec<String>,
    /// The numbers that the paragraphs rest on; left out of the page when it has no rows.
    pub table: Table,
}

impl Story {
    /// A story that is only a headline so far.
    pub fn new(headline: impl Into<String>) -> Self {
        Self { headline: headline.into(), ..Self::default() }
    }

    /// Adds a paragraph.
    pub fn paragraph(mut self, text: impl Into<String>) -> Self {
        self.paragraphs.push(text.into());
        self
    }

    /// Sets the table of numbers.
    pub fn table(mut self, table: Table) -> Self {
        self.table = table;
        self
    }
}

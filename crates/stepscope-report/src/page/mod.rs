//! One self-contained page: the story in words and numbers, the curves, and what ran.

mod apart;
mod averages;
mod axis;
mod comparison;
mod costs;
mod curves;
mod details;
mod frame;
mod interval;
mod lineup;
mod panels;
mod plane;
mod ratio;
mod readings;
mod runs_table;
mod sections;
mod snapshots;
mod spectra;
mod template;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Align, Run, Story, Table};
use lineup::Lineup;
pub use snapshots::{SnapshotAverage, SnapshotAverages};
pub use template::escape;
use template::{fill, json_island};

const HTML: &str = include_str!("../../assets/page.html");
const STYLE: &str = include_str!("../../assets/page.css");
const SCRIPTS: [&str; 6] = [
    include_str!("../../assets/format.js"),
    include_str!("../../assets/look.js"),
    include_str!("../../assets/drawing.js"),
    include_str!("../../assets/panel.js"),
    include_str!("../../assets/page.js"),
    include_str!("../../assets/start.js"),
];
const LIVE_SCRIPT: &str = include_str!("../../assets/live.js");
const UPLOT_LICENCE: &str = include_str!("../../assets/uplot/LICENSE");
const UPLOT_SCRIPT: &str = include_str!("../../assets/uplot/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("../../assets/uplot/uPlot.min.css");

/// A page about some runs, rendered as the text of one HTML file.
///
/// The file holds everything it shows: it asks the network for nothing, and its content security policy forbids it.
/// All text given here or read from a run is escaped. Curves need JavaScript; everything else is plain HTML. Rendering
/// is pure. Curves are thinned with their extremes kept, so the size of a page grows with the number of runs and
/// quantities, not with the number of steps; `docs/performance.md` has sizes and times.
///
/// Every quantity that a run recorded has a panel, grouped by the first word of its name. Runs that differ only in their
/// seeds are pooled: median and interval, see [`Groups`](crate::Groups).
///
/// ```
/// use stepscope_report::{Page, Story};
/// let html = Page::new("a < b").story(Story::new("Nothing ran yet")).render();
/// assert!(html.contains("<title>a &lt; b</title>"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Page<'a> {
    title: String,
    story: Story,
    runs: &'a [Run],
    references: Vec<String>,
    snapshots: SnapshotAverages,
    live: bool,
}

impl<'a> Page<'a> {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Sets what happened and what to do.
    pub fn story(mut self, story: Story) -> Self {
        self.story = story;
        self
    }

    /// Sets the runs, in the order in which they are listed and coloured.
    ///
    /// A prediction is drawn dashed, in the colour of the run it predicts: the first training run whose
    /// specification is the same but for its name, or, where there is none, the same optimizer and batch size.
    pub fn runs(mut self, runs: &'a [Run]) -> Self {
        self.runs = runs;
        self
    }

    /// Sets the sources of what was used, one line each.
    pub fn references<Line: Into<String>>(mut self, references: impl IntoIterator<Item = Line>) -> Self {
        self.references = references.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the averages of a run's snapshots.
    pub fn snapshots(mut self, snapshots: SnapshotAverages) -> Self {
        self.snapshots = snapshots;
        self
    }

    /// Lets the page keep itself up to date: it listens for events at `events` beside its address, and asks for
    /// [`Page::update`] at `update`. It may then connect to where it came from, and to nothing else.
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// The text of the page.
    pub fn render(&self) -> String {
        let lineup = Lineup::new(self.runs);
        let mut values = self.parts(&lineup);
        values.extend([
            ("title", escape(&self.title)),
            ("connect", if self.live { "; connect-src 'self'".to_owned() } else { String::new() }),
            ("kicker", if self.live { "stepscope, live" } else { "stepscope report" }.to_owned()),
            ("data", json_island(&curves::Curves::new(&lineup))),
            ("uplot_licence", UPLOT_LICENCE.to_owned()),
            ("uplot_style", UPLOT_STYLE.to_owned()),
            ("uplot_script", UPLOT_SCRIPT.to_owned()),
            ("page_style", STYLE.to_owned()),
            ("page_script", SCRIPTS.concat() + if self.live { LIVE_SCRIPT } else { "" }),
        ]);
        fill(HTML, &values)
    }

    /// What a live page needs to show the present state, as JSON: `parts`, the sections that are plain HTML, by name,
    /// and `data`, what its script draws. `version` is given back to the page as it is.
    pub fn update(&self, version: &str) -> String {
        let lineup = Lineup::new(self.runs);
        json_island(&Update {
            version,
            title: &self.title,
            parts: self.parts(&lineup).into_iter().collect(),
            data: curves::Curves::new(&lineup),
        })
    }

    /// The sections that are plain HTML, by the name of their place.
    fn parts(&self, lineup: &Lineup) -> Vec<(&'static str, String)> {
        vec![
            ("story", story(&self.story)),
            ("runs", runs_table::render(lineup)),
            ("comparison", comparison::render(lineup)),
            ("averages", averages::render(lineup)),
            ("snapshots", snapshots::render(&self.snapshots)),
            ("spectra", spectra::render(lineup)),
            ("sections", sections::render(lineup)),
            ("readings", readings::render(lineup)),
            ("costs", costs::render(lineup)),
            ("details", details::render(lineup)),
            ("references", references(&self.references)),
        ]
    }
}

#[derive(Serialize)]
struct Update<'a> {
    version: &'a str,
    title: &'a str,
    parts: BTreeMap<&'static str, String>,
    data: curves::Curves,
}

fn story(story: &Story) -> String {
    let headline = if story.headline.is_empty() {
        String::new()
    } else {
        format!("<p class=\"headline\">{}</p>\n", escape(&story.headline))
    };
    let paragraphs = story.paragraphs.iter().map(|text| format!("<p>{}</p>\n", escape(text)));
    headline + &paragraphs.collect::<String>() + &table(&story.table)
}

/// A table of plain texts; nothing for one without rows.
fn table(table: &Table) -> String {
    if table.is_empty() {
        return String::new();
    }
    let class = |align: &Align| match align {
        Align::Left => "",
        Align::Right => " class=\"number\"",
    };
    let titles = table.columns().iter();
    let titles = titles.map(|(title, align)| format!("<th scope=\"col\"{}>{}</th>", class(align), escape(title)));
    let rows = table.rows().map(|row| {
        let cells = row.iter().zip(table.columns());
        let cells = cells.map(|(cell, (_, align))| format!("<td{}>{}</td>", class(align), escape(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    });
    let (titles, rows): (String, String) = (titles.collect(), rows.collect());
    format!("<div class=\"scroll\"><table><thead><tr>{titles}</tr></thead><tbody>\n{rows}</tbody></table></div>\n")
}

fn references(references: &[String]) -> String {
    if references.is_empty() {
        return String::new();
    }
    let items: String = references.iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
    format!("<section id=\"references\">\n<h2>References</h2>\n<ol class=\"references\">\n{items}</ol>\n</section>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    const HOSTILE: &str = "</script><script>window.pwned=1</script>\"'&{{data}}";

    fn hostile_page() -> String {
        let mut raw = synthetic::quickstart();
        for (manifest, _) in &mut raw {
            manifest.name = HOSTILE.to_owned();
            manifest.spec.name = HOSTILE.to_owned();
            manifest.data.name = HOSTILE.to_owned();
        }
        let runs: Vec<Run> = raw.into_iter().map(|(manifest, records)| Run::from_records(manifest, records)).collect();
        let story =
            Story::new(HOSTILE).paragraph(HOSTILE).table(Table::new().column(HOSTILE, Align::Left).row([HOSTILE]));
        Page::new(HOSTILE).story(story).runs(&runs).references([HOSTILE]).render()
    }

    #[test]
    fn no_placeholder_is_left_and_none_comes_from_user_text() {
        let html = Page::new("title").live().render();
        let template_leftover = |html: &str| html.split("{{").skip(1).any(|rest| !rest.starts_with("data}}"));
        assert!(!html.contains("{{"));
        let html = hostile_page();
        assert!(html.contains("&amp;{{data}}"), "user text stays as it was given");
        assert!(!template_leftover(&html));
    }

    #[test]
    fn hostile_text_opens_no_tag_anywhere() {
        let html = hostile_page();
        assert!(!html.contains("<script>window.pwned"));
        let scripts = html.matches("<script").count();
        assert_eq!(scripts, Page::new("title").render().matches("<script").count());
        assert_eq!(html.matches("</script").count(), scripts);
    }

    #[test]
    fn the_page_names_no_address_to_load_from() {
        let html = hostile_page();
        for loader in ["src=", "<link", "@import", "url(", "fetch(", "XMLHttpRequest", "import("] {
            assert!(!html.contains(loader), "{loader}");
        }
        assert!(html.contains("default-src 'none'") && !html.contains("connect-src"));
        assert!(Page::new("title").live().render().contains("; connect-src 'self'\""));
    }

    #[test]
    fn an_update_holds_every_part_of_the_page_and_its_curves() {
        let raw = synthetic::quickstart();
        let runs: Vec<Run> = raw.into_iter().map(|(manifest, records)| Run::from_records(manifest, records)).collect();
        let update = Page::new(HOSTILE).runs(&runs).update("v7");
        assert!(!update.contains('<'));
        let update: serde_json::Value = serde_json::from_str(&update).unwrap();
        assert_eq!((update["version"].as_str(), update["title"].as_str()), (Some("v7"), Some(HOSTILE)));
        for (part, html) in update["parts"].as_object().unwrap() {
            assert!(HTML.contains(&format!("data-part=\"{part}\"")), "{part} has no place");
            assert!(html.is_string());
        }
        assert_eq!(update["data"]["runs"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn embedded_assets_cannot_end_their_own_element() {
        for asset in SCRIPTS.iter().chain(&[LIVE_SCRIPT, UPLOT_SCRIPT, UPLOT_STYLE, STYLE]) {
            assert!(!asset.contains("</") && !asset.contains("<!--"));
        }
        assert!(!UPLOT_LICENCE.contains("--"), "the licence stands in a comment");
    }

    #[test]
    fn the_page_does_not_grow_with_the_number_of_steps() {
        let page = |num_steps: u64| {
            let records = (0..num_steps).map(|step| synthetic::loss(step, 1.0 / (step + 1) as f64));
            let run = [Run::from_records(synthetic::manifest("run", 0.1), records)];
            Page::new("title").runs(&run).render().len()
        };
        assert!(page(200_000) < page(4000) + 40_000);
    }
}

//! `stepscope data`: which data sets there are, and bringing one.

use serde::Serialize;
use stepscope::data::fetch::{FetchError, Fetched, Fetcher};
use stepscope::data::{Cache, catalogue, embedded};
use stepscope_report::{Align, Table, number};

use crate::args::{FetchArguments, Format};
use crate::commands::{print, print_json};
use crate::download::DownloadBar;
use crate::failure::Failure;

/// What the list says about a data set.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    description: &'static str,
    num_train_examples: usize,
    num_test_examples: usize,
    source: &'static str,
    licence: &'static str,
    /// `embedded`, `fetched` or `not fetched`.
    state: &'static str,
}

fn rows(cache: &Cache) -> Vec<Row> {
    let embedded = embedded::ALL.iter().map(|set| Row {
        name: set.name,
        description: set.description,
        num_train_examples: set.num_train_examples,
        num_test_examples: set.num_test_examples,
        source: set.source,
        licence: set.licence,
        state: "embedded",
    });
    let published = catalogue::PUBLISHED.iter().map(|set| Row {
        name: set.name,
        description: set.description,
        num_train_examples: set.num_train_examples,
        num_test_examples: set.num_test_examples,
        source: set.source,
        licence: set.licence,
        state: if set.is_in(cache) { "fetched" } else { "not fetched" },
    });
    embedded.chain(published).collect()
}

pub(super) fn list(format: Format) -> Result<(), Failure> {
    let cache = Cache::of_user();
    let rows = rows(&cache);
    if format == Format::Json {
        return print_json(&rows);
    }
    let mut table = Table::new()
        .column("name", Align::Left)
        .column("train", Align::Right)
        .column("test", Align::Right)
        .column("here", Align::Left)
        .column("licence", Align::Left)
        .column("what", Align::Left);
    for row in rows {
        table = table.row([
            row.name.to_owned(),
            number::count(row.num_train_examples as u64),
            number::count(row.num_test_examples as u64),
            row.state.to_owned(),
            row.licence.to_owned(),
            row.description.to_owned(),
        ]);
    }
    print(&format!(
        "{}\n\n`stepscope data fetch NAME` brings one into {}. A folder with IDX, CIFAR or IMDB files works too: \
         data.name = \"FOLDER\" in a specification.",
        table.to_string().trim_end(),
        cache.root().display()
    ))
}

pub(super) fn fetch(arguments: &FetchArguments) -> Result<(), Failure> {
    let cache = arguments.cache.clone().map_or_else(Cache::of_user, Cache::at);
    let environment = || std::env::var(Fetcher::MIRROR_VARIABLE).ok().filter(|address| !address.is_empty());
    let mut fetcher = Fetcher::new(cache);
    if let Some(address) = arguments.mirror.clone().or_else(environment) {
        fetcher = fetcher.with_mirror(address);
    }
    let unknown = arguments.names.iter().find(|name| catalogue::by_name(name).is_none());
    if let Some(name) = unknown {
        let known: Vec<&str> = catalogue::PUBLISHED.iter().map(|set| set.name).collect();
        let hint = if embedded::by_name(name).is_some() {
            "it is part of the program and needs no fetching".to_owned()
        } else {
            format!("known are {}", known.join(", "))
        };
        return Err(Failure::BadInput(anyhow::anyhow!("there is no data set \"{name}\" to fetch: {hint}")));
    }
    let mut brought = Vec::new();
    for published in arguments.names.iter().filter_map(|name| catalogue::by_name(name)) {
        let bar = DownloadBar::new();
        let fetched = fetcher.fetch(published, &mut |now| bar.show(now.file, now.bytes, now.length));
        drop(bar);
        brought.push((published.name, fetched.map_err(failure)?));
    }
    match arguments.format {
        Format::Json => print_json(
            &brought
                .iter()
                .map(|(name, fetched)| {
                    serde_json::json!({
                        "name": name,
                        "folder": fetched.folder,
                        "downloaded": fetched.downloaded,
                    })
                })
                .collect::<Vec<_>>(),
        ),
        Format::Text => {
            let lines: Vec<String> = brought.iter().map(|(name, fetched)| say(name, fetched)).collect();
            print(&lines.join("\n"))
        }
    }
}

fn say(name: &str, fetched: &Fetched) -> String {
    let folder = fetched.folder.display();
    if fetched.downloaded.is_empty() {
        format!("{name}: already whole in {folder}")
    } else {
        format!("{name}: fetched and checked, in {folder}\nUse it with data.name = \"{name}\".")
    }
}

/// A cache that cannot be written is the caller's to change; what a server does is not.
fn failure(error: FetchError) -> Failure {
    match error {
        FetchError::Cache { .. } => Failure::bad_input(error),
        error => Failure::failed(error),
    }
}

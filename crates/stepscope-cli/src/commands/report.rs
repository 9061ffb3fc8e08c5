//! `stepscope report DIR...`: one page about one or more runs.

use std::path::{Path, PathBuf};

use stepscope_report::advice::advise;
use stepscope_report::{Page, Run};

use crate::args::ReportArguments;
use crate::commands::{print, write_whole};
use crate::failure::Failure;

pub(super) fn run(arguments: &ReportArguments) -> Result<(), Failure> {
    let mut folders = Vec::new();
    for folder in &arguments.folders {
        folders.extend(Run::discover(folder).map_err(Failure::bad_input)?);
    }
    let runs: Vec<Run> = Run::load_all(&folders).into_iter().collect::<Result<_, _>>().map_err(Failure::bad_input)?;
    let first = &arguments.folders[0];
    let path = arguments.out.clone().unwrap_or_else(|| first.join("report.html"));
    let title = first.canonicalize().ok().and_then(|path| path.file_name().map(|name| name.display().to_string()));
    let page = write(&path, &title.unwrap_or_else(|| "runs".to_owned()), &runs)?;
    print(&page.display().to_string())
}

/// Writes the page about `runs` to `path`, whole or not at all; gives back where it is.
pub(crate) fn write(path: &Path, title: &str, runs: &[Run]) -> Result<PathBuf, Failure> {
    let advice = advise(runs);
    let html = Page::new(title).story(advice.story).runs(runs).references(advice.references).render();
    write_whole(path, &html)?;
    Ok(path.to_owned())
}

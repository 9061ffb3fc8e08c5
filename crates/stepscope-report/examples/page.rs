//! A page about the runs in some folders, from the library alone:
//! `cargo run --release -p stepscope-report --example page -- page.html DIR...`

use std::error::Error;

use stepscope_report::advice::advise;
use stepscope_report::{Page, Run};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("expected the page to write, then folders of runs")?;
    let mut folders = Vec::new();
    for folder in arguments {
        folders.extend(Run::discover(folder)?);
    }
    let runs = Run::load_all(&folders).into_iter().collect::<Result<Vec<_>, _>>()?;
    let advice = advise(&runs);
    let html = Page::new("Runs").story(advice.story).runs(&runs).references(advice.references).render();
    std::fs::write(out, html)?;
    Ok(())
}

//! `stepscope export DIR...`: runs for other tools.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use stepscope::record::{RecordReader, RunFolder};
use stepscope::types::{Manifest, Step};
use stepscope_export::remote::{Patience, RemoteSink};
use stepscope_export::table::{CsvTable, ParquetTable};
use stepscope_export::tensorboard::TensorBoardSink;
use stepscope_export::{ExportError, RecordSink, TableSink};
use stepscope_report::Run;
use stepscope_report::advice::advise;

use crate::args::{ExportArguments, Format};
use crate::commands::{print, print_json, write_whole};
use crate::exports::Servers;
use crate::failure::Failure;
use crate::progress::{Busy, warn};

/// A run that is exported.
struct Source {
    folder: PathBuf,
    /// What tells it apart from the others.
    label: String,
    manifest: Manifest,
}

/// What `--format json` prints.
#[derive(Debug, Default, Serialize)]
struct Summary {
    runs: usize,
    records: u64,
    /// Files and folders that were written.
    written: Vec<PathBuf>,
    /// Values that servers have now.
    values_sent: u64,
}

pub(super) fn run(arguments: &ExportArguments) -> Result<(), Failure> {
    let sources = sources(&arguments.folders)?;
    for source in &sources {
        // Addresses are checked before anything is written.
        Servers::new(&arguments.servers, &source.label, &source.manifest)?;
    }
    let mut summary = Summary { runs: sources.len(), ..Summary::default() };
    let mut tables = tables(arguments, &mut summary)?;
    let busy = Busy::counting("exporting runs", sources.len() as u64);
    for source in &sources {
        busy.say(&source.label);
        export_run(source, arguments, &mut tables, &mut summary)?;
        busy.advance(1);
    }
    tables.iter_mut().try_for_each(|table| table.finish()).map_err(Failure::failed)?;
    if let Some(path) = &arguments.spectra {
        write_whole(path, &spectra(&sources)?)?;
        summary.written.push(path.clone());
    }
    drop(busy);
    show(&summary, arguments.format)
}

fn sources(folders: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let mut found = Vec::new();
    for folder in folders {
        found.extend(Run::discover(folder).map_err(Failure::bad_input)?);
    }
    let labels = labels(&found);
    let with_manifest = |(folder, label): (PathBuf, String)| {
        let manifest = RunFolder::open(&folder).and_then(|run| run.manifest()).map_err(Failure::bad_input)?;
        Ok(Source { folder, label, manifest })
    };
    found.into_iter().zip(labels).map(with_manifest).collect()
}

/// The last part of each path; more parts where two would be the same.
fn labels(folders: &[PathBuf]) -> Vec<String> {
    let parts: Vec<Vec<String>> = folders
        .iter()
        .map(|folder| {
            let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
            let names = folder.components().filter_map(|part| match part {
                std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            });
            names.collect()
        })
        .collect();
    let longest = parts.iter().map(Vec::len).max().unwrap_or(0);
    let last = |count: usize| -> Vec<String> {
        parts.iter().map(|parts| parts[parts.len().saturating_sub(count)..].join("/")).collect()
    };
    let is_unique = |labels: &[String]| {
        let mut sorted: Vec<&String> = labels.iter().collect();
        sorted.sort();
        sorted.windows(2).all(|pair| pair[0] != pair[1])
    };
    (1..longest).map(last).find(|labels| is_unique(labels)).unwrap_or_else(|| last(longest))
}

fn tables(arguments: &ExportArguments, summary: &mut Summary) -> Result<Vec<Box<dyn TableSink>>, Failure> {
    let mut tables: Vec<Box<dyn TableSink>> = Vec::new();
    if let Some(path) = &arguments.parquet {
        let table = ParquetTable::create(path).map_err(Failure::failed)?;
        summary.written.extend([path.clone(), table.runs_path().to_owned()]);
        tables.push(Box::new(table));
    }
    if let Some(path) = &arguments.csv {
        tables.push(Box::new(CsvTable::create(path).map_err(Failure::failed)?));
        summary.written.push(path.clone());
    }
    Ok(tables)
}

fn export_run(
    source: &Source,
    arguments: &ExportArguments,
    tables: &mut [Box<dyn TableSink>],
    summary: &mut Summary,
) -> Result<(), Failure> {
    let Source { folder, label, manifest } = source;
    let mut events = match &arguments.tensorboard {
        Some(parent) => {
            let folder = parent.join(label);
            summary.written.push(folder.clone());
            Some(TensorBoardSink::create(&folder, manifest, Step(0)).map_err(Failure::failed)?)
        }
        None => None,
    };
    // Nobody trains meanwhile: a server may take its time.
    let patience = Patience { wait_when_full: true, deadline: Duration::from_secs(15), ..Patience::default() };
    let servers = Servers::new(&arguments.servers, label, manifest)?.start(manifest, &patience, &(Arc::new(warn) as _));
    let mut servers = servers.map_err(Failure::failed)?;
    tables.iter_mut().for_each(|table| table.begin_run(label, manifest));
    for record in RecordReader::open(&folder.join(RunFolder::RECORDS)).map_err(Failure::bad_input)? {
        let record = record.map_err(Failure::bad_input)?;
        let mut give = || -> Result<(), ExportError> {
            tables.iter_mut().try_for_each(|table| table.record(&record))?;
            servers.iter_mut().try_for_each(|server| server.record(&record))?;
            events.as_mut().map_or(Ok(()), |events| events.record(&record))
        };
        give().map_err(Failure::failed)?;
        summary.records += 1;
    }
    if !tables.is_empty() {
        summary.records += readings(source, tables)?;
    }
    if let Some(mut events) = events {
        advice(folder, &mut events)?;
        events.finish().map_err(Failure::failed)?;
    }
    servers.iter_mut().try_for_each(|server| deliver(server, summary))
}

/// What was measured at the checkpoints of a run after it, as another run of the tables: it may rest on other examples.
fn readings(source: &Source, tables: &mut [Box<dyn TableSink>]) -> Result<u64, Failure> {
    let path = source.folder.join(RunFolder::READINGS);
    if !path.exists() {
        return Ok(0);
    }
    let label = format!("{} (measured afterwards)", source.label);
    tables.iter_mut().for_each(|table| table.begin_run(&label, &source.manifest));
    let mut num_records = 0;
    for record in RecordReader::open(&path).map_err(Failure::bad_input)? {
        let record = record.map_err(Failure::bad_input)?;
        tables.iter_mut().try_for_each(|table| table.record(&record)).map_err(Failure::failed)?;
        num_records += 1;
    }
    Ok(num_records)
}

/// The nodes of all spectra, a line each.
fn spectra(sources: &[Source]) -> Result<String, Failure> {
    let mut text = "run,step,matrix,mode,n_params,n_examples,vector,eigenvalue,weight\n".to_owned();
    for Source { folder, label, .. } in sources {
        let label = if label.contains([',', '"', '\n']) {
            format!("\"{}\"", label.replace('"', "\"\""))
        } else {
            label.clone()
        };
        for spectrum in Run::load(folder).map_err(Failure::bad_input)?.spectra() {
            let start = format!(
                "{label},{},{},{},{},{}",
                spectrum.step,
                spectrum.matrix,
                spectrum.mode.word(),
                spectrum.num_params,
                spectrum.num_examples
            );
            let vectors = spectrum.probes.iter().enumerate().map(|(index, nodes)| ((index + 1).to_string(), nodes));
            let gradient = spectrum.gradient.iter().map(|measure| ("gradient".to_owned(), &measure.nodes));
            for (vector, nodes) in vectors.chain(gradient) {
                for (node, weight) in nodes.pairs() {
                    text += &format!("{start},{vector},{node},{weight}\n");
                }
            }
        }
    }
    Ok(text)
}

/// What the report says about the run, as a text in TensorBoard.
fn advice(folder: &Path, events: &mut TensorBoardSink) -> Result<(), Failure> {
    let run = Run::load(folder).map_err(Failure::bad_input)?;
    let last_step = run.last_step();
    let story = advise(&[run]).story;
    let text = format!("**{}**\n\n{}", story.headline, story.paragraphs.join("\n\n"));
    events.text("run/advice", last_step, &text).map_err(Failure::failed)
}

fn deliver(server: &mut RemoteSink, summary: &mut Summary) -> Result<(), Failure> {
    server.finish().map_err(Failure::failed)?;
    let delivery = server.delivery();
    summary.values_sent += delivery.num_sent;
    if delivery.num_missing == 0 {
        return Ok(());
    }
    let message = "not every value was sent; the same command sends what is missing";
    Err(Failure::Failed(anyhow::anyhow!(message)))
}

fn show(summary: &Summary, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return print_json(summary);
    }
    let Summary { runs, records, written, values_sent } = summary;
    let mut text = format!("{records} records of {runs} run{}.", if *runs == 1 { "" } else { "s" });
    if *values_sent > 0 {
        text += &format!(" {values_sent} values sent.");
    }
    for path in written {
        text += &format!("\n{}", path.display());
    }
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_as_short_as_tells_runs_apart() {
        let labels = |paths: &[&str]| labels(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(labels(&["/x/runs/a", "/x/runs/b"]), ["a", "b"]);
        assert_eq!(labels(&["/x/1/a", "/x/2/a", "/x/2/b"]), ["1/a", "2/a", "2/b"]);
        assert_eq!(labels(&["/x/a"]), ["a"]);
        assert_eq!(labels(&["/x/../x/a", "/x/a"]).len(), 2);
    }
}

//! Other tools that get a run's records: files and servers that are asked for by a flag.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepscope::train::{Event, Sink, SinkError};
use stepscope::types::{Manifest, Step};
use stepscope_export::remote::{Mlflow, Patience, RemoteSink, Trackio, Warn};
use stepscope_export::tensorboard::{self, TensorBoardSink};
use stepscope_export::{ExportError, RecordSink};

use crate::args::{LiveArguments, ServerArguments};
use crate::failure::Failure;
use crate::progress::warn;

/// What a run is filed under on a server where the environment says nothing else.
const PROJECT: &str = "stepscope";

/// The servers that were asked for, for one run. Nothing is sent before they are started.
pub(crate) struct Servers {
    mlflow: Option<Mlflow>,
    trackio: Option<Trackio>,
}

impl Servers {
    /// The servers of the flags. Experiment, project and tokens are those of the environment, under the names that MLflow
    /// and Trackio themselves use.
    pub(crate) fn new(asked: &ServerArguments, run_name: &str, manifest: &Manifest) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let named = |name: &str| variable(name).unwrap_or_else(|| PROJECT.to_owned());
        let mlflow = asked.mlflow.as_deref().map(|url| {
            let token = variable("MLFLOW_TRACKING_TOKEN");
            Mlflow::new(url, token.as_deref(), &named("MLFLOW_EXPERIMENT_NAME"), run_name, manifest)
        });
        let trackio = asked.trackio.as_deref().map(|url| {
            let token = variable("TRACKIO_WRITE_TOKEN");
            Trackio::new(url, token.as_deref(), &named("TRACKIO_PROJECT"), run_name, manifest)
        });
        Ok(Self {
            mlflow: mlflow.transpose().map_err(Failure::bad_input)?,
            trackio: trackio.transpose().map_err(Failure::bad_input)?,
        })
    }

    /// Begins to send to each of them.
    pub(crate) fn start(
        &mut self,
        manifest: &Manifest,
        patience: &Patience,
        warn: &Warn,
    ) -> Result<Vec<RemoteSink>, ExportError> {
        let mlflow = self.mlflow.take().map(|to| RemoteSink::start(to, manifest, patience.clone(), warn.clone()));
        let trackio = self.trackio.take().map(|to| RemoteSink::start(to, manifest, patience.clone(), warn.clone()));
        mlflow.into_iter().chain(trackio).collect()
    }
}

/// Gives a run's records to other tools while it trains. None of them can end the run: what goes wrong is said once, and
/// the record file has everything.
pub(crate) struct Exports {
    manifest: Manifest,
    /// Where the event file goes, if one was asked for.
    event_folder: Option<PathBuf>,
    servers: Servers,
    warn: Warn,
    sinks: Vec<Box<dyn RecordSink>>,
}

impl Exports {
    /// Checks what was asked for; nothing is written or sent before the run starts.
    ///
    /// A folder that has event files gets another one, asked for or not: what a run began with goes on when it is resumed.
    pub(crate) fn new(asked: &LiveArguments, manifest: &Manifest, folder: &Path) -> Result<Self, Failure> {
        let wants_events = asked.tensorboard || tensorboard::has_event_files(folder);
        Ok(Self {
            manifest: manifest.clone(),
            event_folder: wants_events.then(|| folder.to_owned()),
            servers: Servers::new(&asked.servers, &manifest.name, manifest)?,
            warn: Arc::new(warn),
            sinks: Vec::new(),
        })
    }

    /// From here on, warnings go there.
    pub(crate) fn warn_through(&mut self, warn: Warn) {
        self.warn = warn;
    }

    /// Hands over what was recorded, however the run ended.
    pub(crate) fn finish(mut self) {
        for sink in &mut self.sinks {
            if let Err(error) = sink.finish() {
                (self.warn)(&without(&error));
            }
        }
    }

    /// Opens everything for a process that begins at step `from`.
    fn open(&mut self, from: Step) {
        if let Some(folder) = &self.event_folder {
            match TensorBoardSink::create(folder, &self.manifest, from) {
                Ok(sink) => self.sinks.push(Box::new(sink)),
                Err(error) => (self.warn)(&without(&error)),
            }
        }
        match self.servers.start(&self.manifest, &Patience::default(), &self.warn) {
            Ok(sinks) => self.sinks.extend(sinks.into_iter().map(|sink| Box::new(sink) as Box<dyn RecordSink>)),
            Err(error) => (self.warn)(&without(&error)),
        }
    }
}

impl Sink for Exports {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        match event {
            Event::RunStarted { .. } => self.open(Step(0)),
            Event::RunResumed { step, .. } => self.open(*step),
            _ => {}
        }
        if self.sinks.is_empty() {
            return Ok(());
        }
        let (records, warn) = (event.records(), &self.warn);
        let is_checkpoint = matches!(event, Event::Checkpoint(_));
        self.sinks.retain_mut(|sink| {
            let outcome = records.iter().try_for_each(|record| sink.record(record));
            let outcome = if is_checkpoint { outcome.and_then(|()| sink.flush()) } else { outcome };
            outcome.inspect_err(|error| warn(&without(error))).is_ok()
        });
        Ok(())
    }
}

fn without(error: &ExportError) -> String {
    format!("{error}; the run goes on without it, and `stepscope export` makes it again from the records")
}

//! MLflow's tracking server.

use serde_json::{Value, json};
use stepscope_types::Manifest;

use super::http::Server;
use super::target::{End, Point, SendError, Target};
use crate::{ExportError, specification};

/// The limits of one `runs/log-batch`, and of what is in it. Source: `curvature`, section 6.3.
const MOST_METRICS: usize = 1000;
const MOST_PARAMS: usize = 100;
const LONGEST_KEY: usize = 250;
const LONGEST_PARAM: usize = 500;
const LONGEST_TAG: usize = 5000;

/// The tag by which a run is found again.
const IDENTITY: &str = "stepscope.id";

/// One run on an MLflow tracking server.
///
/// The run is found by its identity or made: a resumed run, or one that is exported after it was sent in part, goes on
/// where it was, and the server keeps a value that it has already once. Specification keys become parameters, the
/// description of the run its note. Values go out in requests of at most 1000.
pub struct Mlflow {
    server: Server,
    experiment: String,
    run_name: String,
    identity: String,
    started_millis: u64,
    /// Not sent yet.
    params: Vec<(String, String)>,
    note: String,
    experiment_id: Option<String>,
    run_id: Option<String>,
}

impl Mlflow {
    /// The run of `manifest` under `run_name`, in the experiment of that name, which is made where it is missing.
    ///
    /// `url` is the tracking server's, with `user:password@` before the host where it wants them; `token` is sent as a
    /// bearer token.
    ///
    /// # Errors
    /// [`ExportError::Url`].
    pub fn new(
        url: &str,
        token: Option<&str>,
        experiment: &str,
        run_name: &str,
        manifest: &Manifest,
    ) -> Result<Self, ExportError> {
        let mut server = Server::new(url, "http://127.0.0.1:5000")?;
        if let Some(token) = token {
            server.add_header("Authorization", format!("Bearer {token}"));
        }
        let params = specification::flat(manifest).into_iter();
        Ok(Self {
            server,
            experiment: experiment.to_owned(),
            run_name: run_name.to_owned(),
            identity: specification::identity(manifest),
            started_millis: manifest.started_unix_seconds.saturating_mul(1000),
            params: params.map(|(key, value)| (key, cut(&specification::plain(&value), LONGEST_PARAM))).collect(),
            note: cut(&specification::markdown(manifest), LONGEST_TAG),
            experiment_id: None,
            run_id: None,
        })
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, SendError> {
        self.server.post(&format!("/api/2.0/mlflow/{path}"), body)?.accepted()
    }

    fn find_experiment(&self) -> Result<Option<String>, SendError> {
        let path = "/api/2.0/mlflow/experiments/get-by-name";
        let answer = self.server.get(path, "experiment_name", &self.experiment)?;
        // Other addresses answer 404 too; only MLflow says so in its own words.
        if answer.status == 404 && answer.body["error_code"] == "RESOURCE_DOES_NOT_EXIST" {
            return Ok(None);
        }
        text(&answer.accepted()?, "/experiment/experiment_id").map(Some)
    }

    fn find_or_create_experiment(&self) -> Result<String, SendError> {
        if let Some(id) = self.find_experiment()? {
            return Ok(id);
        }
        match self.post("experiments/create", &json!({ "name": self.experiment })) {
            Ok(made) => text(&made, "/experiment_id"),
            // Another run made it between the two requests.
            Err(error) => self.find_experiment()?.ok_or(error),
        }
    }

    fn find_run(&self, experiment: &str) -> Result<Option<String>, SendError> {
        let filter = format!("tags.`{IDENTITY}` = '{}'", self.identity);
        let query = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1 });
        let found = self.post("runs/search", &query)?;
        Ok(found.pointer("/runs/0/info/run_id").and_then(Value::as_str).map(str::to_owned))
    }

    fn create_run(&self, experiment: &str) -> Result<String, SendError> {
        let tag = |key: &str, value: &str| json!({ "key": key, "value": value });
        let body = json!({
            "experiment_id": experiment,
            "run_name": self.run_name,
            "start_time": self.started_millis,
            "tags": [
                tag(IDENTITY, &self.identity),
                tag("mlflow.source.name", "stepscope"),
                tag("mlflow.note.content", &self.note),
            ],
        });
        text(&self.post("runs/create", &body)?, "/run/info/run_id")
    }
}

impl Target for Mlflow {
    fn name(&self) -> String {
        format!("MLflow at {}", self.server.shown())
    }

    fn batch_length(&self, waiting: &[Point], _is_last: bool) -> usize {
        waiting.len().min(MOST_METRICS)
    }

    /// What was reached stays reached: a server that fails every other request is opened too.
    fn open(&mut self) -> Result<(), SendError> {
        let experiment = match &self.experiment_id {
            Some(id) => id.clone(),
            None => self.experiment_id.insert(self.find_or_create_experiment()?).clone(),
        };
        if self.run_id.is_none() {
            self.run_id = Some(match self.find_run(&experiment)? {
                Some(id) => {
                    self.post("runs/update", &json!({ "run_id": id, "status": "RUNNING" }))?;
                    id
                }
                None => self.create_run(&experiment)?,
            });
        }
        while !self.params.is_empty() {
            let first = ..self.params.len().min(MOST_PARAMS);
            let params: Vec<Value> =
                self.params[first].iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
            self.post("runs/log-batch", &json!({ "run_id": self.run_id, "params": params }))?;
            self.params.drain(first);
        }
        Ok(())
    }

    fn send(&mut self, points: &[Point]) -> Result<(), SendError> {
        let metrics: Vec<Value> = points
            .iter()
            .map(|point| {
                json!({
                    "key": metric_key(&point.name),
                    "value": point.value,
                    "timestamp": point.unix_millis,
                    "step": point.step,
                })
            })
            .collect();
        self.post("runs/log-batch", &json!({ "run_id": self.run_id, "metrics": metrics })).map(|_| ())
    }

    fn close(&mut self, end: &End) -> Result<(), SendError> {
        let status = if end.succeeded { "FINISHED" } else { "FAILED" };
        let body = json!({ "run_id": self.run_id, "status": status, "end_time": end.unix_millis });
        self.post("runs/update", &body).map(|_| ())
    }
}

/// What MLflow allows in a name: letters, digits and `_-. :/`. Our own names hold nothing else.
fn metric_key(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_-. :/".contains(c) { c } else { '_' };
    cut(&name.chars().map(allowed).collect::<String>(), LONGEST_KEY)
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The text at a place of an answer; an answer without it comes from something that is no MLflow.
fn text(answer: &Value, place: &str) -> Result<String, SendError> {
    let found = answer.pointer(place).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| SendError::Refused(format!("the answer has no {place}: is this address an MLflow server?")))
}

//! Trackio's dashboard server.

use serde_json::{Map, Value, json};
use stepscope_types::Manifest;

use super::http::Server;
use super::target::{End, Point, SendError, Target};
use crate::{ExportError, specification};

/// Steps in a request, as Trackio's own clients have it.
const MOST_STEPS: usize = 128;

/// One run on a Trackio server.
///
/// All values of a step travel as one entry, which has a name of its own: an entry that comes twice is kept once.
/// Specification keys become the run's configuration. Trackio notes the time at which it got a value, not the time at which
/// it was measured, and knows no end of a run.
pub struct Trackio {
    server: Server,
    project: String,
    run_name: String,
    identity: String,
    /// Goes with the first entry.
    config: Option<Value>,
    /// Step of the last entry that was sent, and how many entries of that step were.
    sent: (u64, u64),
}

impl Trackio {
    /// The run of `manifest` under `run_name`, in that project.
    ///
    /// `url` is that of the dashboard, as Trackio shows it, also with `?write_token=` in it; `write_token` is for addresses
    /// without one.
    ///
    /// # Errors
    /// [`ExportError::Url`].
    pub fn new(
        url: &str,
        write_token: Option<&str>,
        project: &str,
        run_name: &str,
        manifest: &Manifest,
    ) -> Result<Self, ExportError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let in_url = query.split('&').find_map(|pair| pair.strip_prefix("write_token="));
        let mut server = Server::new(base, "http://127.0.0.1:7860")?;
        if let Some(token) = in_url.or(write_token) {
            server.add_header("X-Trackio-Write-Token", token.to_owned());
        }
        let config: Map<String, Value> = specification::flat(manifest).into_iter().collect();
        Ok(Self {
            server,
            project: project.to_owned(),
            run_name: run_name.to_owned(),
            identity: specification::identity(manifest),
            config: Some(Value::Object(config)),
            sent: (0, 0),
        })
    }

    fn post(&self, logs: &[Value]) -> Result<(), SendError> {
        let body = json!({ "logs": logs, "hf_token": null });
        self.server.post("/api/bulk_log", &body)?.accepted().map(|_| ())
    }
}

/// Values that go into one entry, from the front: those of one step, up to the first name that comes again.
fn entry_length(points: &[Point]) -> usize {
    let step = points.first().map(|point| point.step);
    let is_new = |index: usize| !points[..index].iter().any(|earlier| earlier.name == points[index].name);
    (0..points.len()).take_while(|&index| Some(points[index].step) == step && is_new(index)).count()
}

impl Target for Trackio {
    fn name(&self) -> String {
        format!("Trackio at {}", self.server.shown())
    }

    /// Whole steps only, so that an entry holds the same values whenever it is sent.
    fn batch_length(&self, waiting: &[Point], is_last: bool) -> usize {
        let mut length = 0;
        for _ in 0..MOST_STEPS {
            let entry = entry_length(&waiting[length..]);
            let is_open = length + entry == waiting.len() && !is_last;
            if entry == 0 || is_open {
                break;
            }
            length += entry;
        }
        length
    }

    fn open(&mut self) -> Result<(), SendError> {
        // An entry makes the run; this says now what is wrong with address and token.
        self.post(&[])
    }

    fn send(&mut self, points: &[Point]) -> Result<(), SendError> {
        let (mut logs, mut rest, mut sent) = (Vec::new(), points, self.sent);
        while let Some(first) = rest.first() {
            let (entry, next) = rest.split_at(entry_length(rest));
            let metrics: Map<String, Value> =
                entry.iter().map(|point| (point.name.to_string(), point.value.into())).collect();
            sent = if sent.0 == first.step { (first.step, sent.1 + 1) } else { (first.step, 1) };
            logs.push(json!({
                "project": self.project,
                "run": self.run_name,
                "run_id": self.identity,
                "metrics": metrics,
                "step": first.step,
                "log_id": format!("{}-{}-{}", self.identity, sent.0, sent.1),
                "config": if logs.is_empty() { &self.config } else { &None },
            }));
            rest = next;
        }
        self.post(&logs)?;
        (self.config, self.sent) = (None, sent);
        Ok(())
    }

    fn close(&mut self, _end: &End) -> Result<(), SendError> {
        Ok(())
    }
}

//! MLflow and Trackio as far as they are used: what they keep, and the limits they hold.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::server::{Reply, Request};

/// What a server was told.
#[derive(Debug, Default)]
pub struct Kept {
    pub num_requests: usize,
    /// Name, step and value, each once, in the order of arrival.
    pub values: Vec<(String, u64, f64)>,
    pub timestamps: Vec<i64>,
    pub params: Vec<(String, String)>,
    pub has_experiment: bool,
    pub num_runs: usize,
    pub status: Option<String>,
    pub largest_batch: usize,
    pub headers: Vec<String>,
    pub config: Option<Value>,
    seen: HashSet<String>,
}

pub type Shared = Arc<Mutex<Kept>>;

pub fn shared() -> Shared {
    Shared::default()
}

/// One MLflow server with one experiment and at most one run.
pub fn mlflow(kept: &Mutex<Kept>, request: &Request) -> Reply {
    let mut kept = kept.lock().unwrap();
    kept.num_requests += 1;
    kept.headers.clone_from(&request.headers);
    let method = request.path.strip_prefix("/api/2.0/mlflow/").unwrap();
    let body = &request.body;
    let list = |key: &str| body[key].as_array().cloned().unwrap_or_default();
    Reply::Json(
        200,
        match method.split('?').next().unwrap() {
            "experiments/get-by-name" if kept.has_experiment => json!({ "experiment": { "experiment_id": "7" } }),
            "experiments/get-by-name" => {
                return Reply::Json(404, json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none" }));
            }
            "experiments/create" => {
                kept.has_experiment = true;
                json!({ "experiment_id": "7" })
            }
            "runs/search" if kept.num_runs == 0 => json!({}),
            "runs/search" => json!({ "runs": [{ "info": { "run_id": "r1" } }] }),
            "runs/create" => {
                assert_eq!(body["experiment_id"], "7");
                kept.num_runs += 1;
                json!({ "run": { "info": { "run_id": "r1" } } })
            }
            "runs/update" => {
                kept.status = body["status"].as_str().map(str::to_owned);
                json!({})
            }
            "runs/log-batch" => {
                let (metrics, params) = (list("metrics"), list("params"));
                if metrics.len() > 1000 || params.len() > 100 || list("tags").len() > 100 || body["run_id"] != "r1" {
                    return Reply::Json(400, json!({ "message": "over the limit" }));
                }
                kept.largest_batch = kept.largest_batch.max(metrics.len());
                for metric in metrics {
                    // The real server's primary key.
                    if kept.seen.insert(format!("{metric}")) {
                        let value = metric["value"].as_f64().unwrap();
                        let point =
                            (metric["key"].as_str().unwrap().to_owned(), metric["step"].as_u64().unwrap(), value);
                        kept.values.push(point);
                        kept.timestamps.push(metric["timestamp"].as_i64().unwrap());
                    }
                }
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                kept.params.extend(params.iter().map(|param| (text(&param["key"]), text(&param["value"]))));
                json!({})
            }
            other => panic!("{other}"),
        },
    )
}

/// One Trackio server that knows the write token `t`.
pub fn trackio(kept: &Mutex<Kept>, request: &Request) -> Reply {
    let mut kept = kept.lock().unwrap();
    kept.num_requests += 1;
    assert_eq!(request.path, "/api/bulk_log");
    if !request.headers.contains(&"x-trackio-write-token: t".to_owned()) {
        return Reply::Json(400, json!({ "error": "A write_token is required" }));
    }
    let logs = request.body["logs"].as_array().unwrap();
    kept.largest_batch = kept.largest_batch.max(logs.len());
    for entry in logs {
        if !kept.seen.insert(entry["log_id"].as_str().unwrap().to_owned()) {
            continue;
        }
        if entry["config"].is_object() {
            kept.config = Some(entry["config"].clone());
        }
        for (name, value) in entry["metrics"].as_object().unwrap() {
            kept.values.push((name.clone(), entry["step"].as_u64().unwrap(), value.as_f64().unwrap()));
        }
    }
    Reply::Json(200, json!({ "data": null }))
}

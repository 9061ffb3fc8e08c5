//! What TensorBoard's HPARAMS tab compares runs by.

use serde_json::Value;
use stepscope_types::Manifest;

use super::protobuf::Message;
use crate::specification;

pub(super) const PLUGIN: &str = "hparams";
pub(super) const START_TAG: &str = "_hparams_/session_start_info";
pub(super) const END_TAG: &str = "_hparams_/session_end_info";

/// `Status` of a session.
const SUCCESS: u64 = 1;
const FAILURE: u64 = 2;

/// `HParamsPluginData` with a `SessionStartInfo`: every key of the specification.
pub(super) fn start(manifest: &Manifest) -> Message {
    let mut session = Message::new();
    for (key, value) in specification::flat(manifest) {
        // `google.protobuf.Value`: one field for each kind.
        let value = match &value {
            Value::Bool(value) => Message::new().varint(4, u64::from(*value)),
            Value::Number(number) => Message::new().double(2, number.as_f64().unwrap_or(f64::NAN)),
            other => Message::new().text(3, &specification::plain(other)),
        };
        session = session.message(1, &Message::new().text(1, &key).message(2, &value));
    }
    let session = session.text(4, &specification::identity(manifest)).double(5, manifest.started_unix_seconds as f64);
    Message::new().varint(1, 0).message(3, &session)
}

/// `HParamsPluginData` with a `SessionEndInfo`.
pub(super) fn end(succeeded: bool, wall_time: f64) -> Message {
    let session = Message::new().varint(1, if succeeded { SUCCESS } else { FAILURE }).double(2, wall_time);
    Message::new().varint(1, 0).message(4, &session)
}

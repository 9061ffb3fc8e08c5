//! The messages of an event file, and the numbers of their fields.

use stepscope_types::Step;

use super::histogram::Histogram;
use super::protobuf::Message;

/// When something happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Updates applied before it.
    pub step: Step,
    /// Seconds since 1970.
    pub wall_time: f64,
}

/// Numbers of fields, by message.
pub(super) mod field {
    pub(in crate::tensorboard) mod event {
        pub(in crate::tensorboard) const WALL_TIME: u32 = 1;
        pub(in crate::tensorboard) const STEP: u32 = 2;
        pub(in crate::tensorboard) const FILE_VERSION: u32 = 3;
        pub(in crate::tensorboard) const SUMMARY: u32 = 5;
        pub(in crate::tensorboard) const SESSION_LOG: u32 = 7;
        pub(in crate::tensorboard) const SOURCE_METADATA: u32 = 10;
    }
    pub(in crate::tensorboard) mod summary {
        pub(in crate::tensorboard) const VALUE: u32 = 1;
    }
    pub(in crate::tensorboard) mod value {
        pub(in crate::tensorboard) const TAG: u32 = 1;
        pub(in crate::tensorboard) const SIMPLE_VALUE: u32 = 2;
        pub(in crate::tensorboard) const HISTOGRAM: u32 = 5;
        pub(in crate::tensorboard) const TENSOR: u32 = 8;
        pub(in crate::tensorboard) const METADATA: u32 = 9;
    }
    pub(in crate::tensorboard) mod metadata {
        pub(in crate::tensorboard) const PLUGIN: u32 = 1;
        pub(in crate::tensorboard) const DESCRIPTION: u32 = 3;
        pub(in crate::tensorboard) const DATA_CLASS: u32 = 4;
    }
    pub(in crate::tensorboard) mod plugin {
        pub(in crate::tensorboard) const NAME: u32 = 1;
        pub(in crate::tensorboard) const CONTENT: u32 = 2;
    }
    pub(in crate::tensorboard) mod tensor {
        pub(in crate::tensorboard) const TYPE: u32 = 1;
        pub(in crate::tensorboard) const SHAPE: u32 = 2;
        pub(in crate::tensorboard) const STRING: u32 = 8;
    }
    pub(in crate::tensorboard) mod session {
        pub(in crate::tensorboard) const STATUS: u32 = 1;
    }
}

/// `SessionLog.status`: what was recorded at this step or later, by a process that is gone, is void.
pub(super) const SESSION_START: u64 = 1;
/// `DataType`: a tensor of byte strings.
const TYPE_STRING: u64 = 7;
/// `DataClass`: what a tag holds.
const CLASS_SCALAR: u64 = 1;
const CLASS_TENSOR: u64 = 2;

/// What a value of a tag is, for its summary.
pub(super) enum Data<'a> {
    Scalar(f32),
    Histogram(&'a Histogram),
    Text(&'a str),
    /// A value whose content is all in the plugin's metadata.
    Plugin {
        name: &'static str,
        content: &'a Message,
    },
}

/// `Event` with `file_version` and the name of the writer: the first record of a file.
pub(super) fn version(wall_time: f64) -> Message {
    let writer = Message::new().text(1, concat!("stepscope ", env!("CARGO_PKG_VERSION")));
    Message::new()
        .double(field::event::WALL_TIME, wall_time)
        .text(field::event::FILE_VERSION, "brain.Event:2")
        .message(field::event::SOURCE_METADATA, &writer)
}

/// `Event` with a `SessionLog` that starts a session.
pub(super) fn session_start(at: Moment) -> Message {
    let log = Message::new().varint(field::session::STATUS, SESSION_START);
    at_moment(at).message(field::event::SESSION_LOG, &log)
}

/// `Event` with a `Summary` of one value. Metadata goes with the first value of a tag only, and says what the tag holds.
pub(super) fn value(at: Moment, tag: &str, data: &Data<'_>, is_first: bool, description: Option<&str>) -> Message {
    let mut value = Message::new().text(field::value::TAG, tag);
    if is_first {
        value = value.message(field::value::METADATA, &metadata(data, description));
    }
    let value = match data {
        Data::Scalar(scalar) => value.float(field::value::SIMPLE_VALUE, *scalar),
        Data::Histogram(histogram) => value.message(field::value::HISTOGRAM, &histogram.message()),
        Data::Text(text) => {
            let tensor = Message::new()
                .varint(field::tensor::TYPE, TYPE_STRING)
                .message(field::tensor::SHAPE, &Message::new())
                .text(field::tensor::STRING, text);
            value.message(field::value::TENSOR, &tensor)
        }
        // A tensor there must be; this one, a string that is empty, is never looked at.
        Data::Plugin { .. } => {
            let tensor = Message::new()
                .varint(field::tensor::TYPE, TYPE_STRING)
                .message(field::tensor::SHAPE, &Message::new())
                .text(field::tensor::STRING, "");
            value.message(field::value::TENSOR, &tensor)
        }
    };
    at_moment(at).message(field::event::SUMMARY, &Message::new().message(field::summary::VALUE, &value))
}

fn at_moment(at: Moment) -> Message {
    Message::new().double(field::event::WALL_TIME, at.wall_time).varint(field::event::STEP, at.step.0)
}

fn metadata(data: &Data<'_>, description: Option<&str>) -> Message {
    let plugin = |name: &str| Message::new().text(field::plugin::NAME, name);
    let (plugin, class) = match data {
        Data::Scalar(_) => (plugin("scalars"), CLASS_SCALAR),
        Data::Histogram(_) => (plugin("histograms"), CLASS_TENSOR),
        Data::Text(_) => (plugin("text"), CLASS_TENSOR),
        Data::Plugin { name, content } => (plugin(name).message(field::plugin::CONTENT, content), CLASS_TENSOR),
    };
    let metadata = Message::new().message(field::metadata::PLUGIN, &plugin);
    let metadata = match description {
        Some(text) => metadata.text(field::metadata::DESCRIPTION, text),
        None => metadata,
    };
    metadata.varint(field::metadata::DATA_CLASS, class)
}

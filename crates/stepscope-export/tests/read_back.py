"""Reads what stepscope exported with the readers of others, and prints it as JSON.

usage: read_back.py tensorboard FOLDER | hparams FOLDER | parquet FILE READER
READER is pyarrow, pandas or polars. Exit status 3: the reader is not installed.
"""

import json
import sys


def tensorboard(folder):
    from tensorboard.backend.event_processing import plugin_event_accumulator
    from tensorboard.util import tensor_util

    # 0: keep every value.
    run = plugin_event_accumulator.EventAccumulator(folder, {"tensors": 0})
    run.Reload()
    tags = {}
    for tag in run.Tags()["tensors"]:
        metadata = run.SummaryMetadata(tag)
        plugin = metadata.plugin_data.plugin_name
        events = run.Tensors(tag)
        if plugin == "hparams":
            continue
        arrays = [tensor_util.make_ndarray(event.tensor_proto) for event in events]
        texts = plugin == "text"
        tags[tag] = {
            "plugin": plugin,
            "description": metadata.summary_description,
            "steps": [event.step for event in events],
            "wall_times": [event.wall_time for event in events],
            "values": [array.item().decode() if texts else array.astype(float).tolist() for array in arrays],
        }
    return {"file_version": run.file_version, "tags": tags}


def hparams(folder):
    from tensorboard.backend.event_processing import plugin_event_accumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    run = plugin_event_accumulator.EventAccumulator(folder)
    run.Reload()
    found = {}
    for tag, content in run.PluginTagToContent("hparams").items():
        data = plugin_data_pb2.HParamsPluginData.FromString(content)
        if data.HasField("session_start_info"):
            for key, value in data.session_start_info.hparams.items():
                found[key] = getattr(value, value.WhichOneof("kind"))
            found["group_name"] = data.session_start_info.group_name
        if data.HasField("session_end_info"):
            found["status"] = data.session_end_info.status
    return found


def parquet(path, reader):
    if reader == "pyarrow":
        from pyarrow import parquet as pq

        table = pq.read_table(path)
        return {"columns": table.to_pydict(), "types": {field.name: str(field.type) for field in table.schema}}
    if reader == "pandas":
        import pandas

        frame = pandas.read_parquet(path)
        return {"columns": json.loads(frame.to_json(orient="columns", double_precision=15)), "types": {}}
    import polars

    return {"columns": polars.read_parquet(path).to_dict(as_series=False), "types": {}}


def main():
    what, *arguments = sys.argv[1:]
    try:
        found = {"tensorboard": tensorboard, "hparams": hparams, "parquet": parquet}[what](*arguments)
    except ImportError as error:
        print(error, file=sys.stderr)
        return 3
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

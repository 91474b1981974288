"""What is in a store of MLflow, by MLflow's own client; what wandb has written, by its own reader."""

import json
import struct
import warnings


def client_of(uri):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SQLAlchemy, on import
        from mlflow.tracking import MlflowClient

        return MlflowClient(uri)


def runs_by_name(client):
    """The runs of the experiment, none if it was not made yet."""
    experiments = [one.experiment_id for one in client.search_experiments() if one.name == "dlproj"]
    return {run.info.run_name: run for run in client.search_runs(experiments)} if experiments else {}


def rows(client, run):
    """The metrics by step, without those that are counted once; each must be there once."""
    found = {}
    for name in run.data.metrics:
        for point in client.get_metric_history(run.info.run_id, name):
            row = found.setdefault(point.step, {})
            assert name not in row, f"{name} of step {point.step} is there twice"
            row[name] = point.value
    return found


def files(client, run, below=None):
    for one in client.list_artifacts(run.info.run_id, below):
        if one.is_dir:
            yield from files(client, run, one.path)
        else:
            yield one.path


def wandb_records(file):
    """The records of an offline run of wandb, whose file is a log as LevelDB has it: blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, parts = file.read_bytes(), 7, b""
    assert content.startswith(b":W&B")
    while position < len(content):
        left = 32768 - position % 32768
        if left < 7:  # no room for a header
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def wandb_history(file):
    """The rows that were logged, by step."""
    found = {}
    for record in wandb_records(file):
        values = {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for item in record.history.item
            if not (item.key or "").startswith("figures")
        }
        if "_step" in values:
            found.setdefault(values["_step"], {}).update(values)
    return found

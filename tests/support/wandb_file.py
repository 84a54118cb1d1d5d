"""Read what an offline wandb run holds: its .wandb file is a LevelDB log of protobuf records."""

import json
import struct
from pathlib import Path

from wandb.proto import wandb_internal_pb2 as protobuf

_BLOCK, _HEADER = 32768, 7


def _records(content):
    position, parts = 7, b""  # the file begins with seven bytes of its own
    while position + _HEADER <= len(content):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", content, position + 4)
        parts += content[position + _HEADER : position + _HEADER + length]
        position += _HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def rows(path):
    """What was logged together, a dictionary for each time, as wandb's own file holds it."""
    found = []
    for content in _records(path.read_bytes()):
        record = protobuf.Record()
        record.ParseFromString(content)
        if record.history.item:
            items = record.history.item
            found.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return found


def history(folder):
    """Key → list of values, over all that was logged in the run whose wandb/ is below `folder`."""
    (path,) = Path(folder).rglob("run-*.wandb")
    logged = {}
    for content in _records(path.read_bytes()):
        record = protobuf.Record()
        record.ParseFromString(content)
        for item in record.history.item:
            logged.setdefault(item.key or "/".join(item.nested_key), []).append(json.loads(item.value_json))
    return logged

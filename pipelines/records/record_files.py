"""Read a record, and make values fit for one: JSON types, and nothing named like a secret."""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.records.checkpoint import run_of_checkpoint

_SECRETS = {"hub_token", "push_to_hub_token", "token", "hf_token"}


def plain(value: Any) -> Any:
    """`value` as JSON types, without keys named like a secret. A dataclass becomes a mapping of the fields that are
    set."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {key: one for key, one in vars(value).items() if one is not None}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if str(k).lower() not in _SECRETS}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object at `path`. Raises `UserError` if it is absent: records are written last, so its stage did not
    finish."""
    if not path.is_file():
        if (run := run_of_checkpoint(path.parent)) is not None:
            raise UserError(f"{path.parent} is a checkpoint, expected the folder of a run", f"name {run}")
        raise UserError(f"there is no {path.name} in {path.parent}", "finish the stage that writes it first")
    record = read_json(path)
    if not isinstance(record, dict):
        raise UserError(f"{path} holds a {type(record).__name__}, expected a JSON object", "run its stage again")
    return record

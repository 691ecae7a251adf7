"""Reading a record back, with an error that says which stage has to run first."""

from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.files import read_json


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object at `path`. Raises `UserError` if it is absent, which means that its stage did not finish."""
    if not path.is_file():
        raise UserError(
            expected=f"the record {path.name} in {path.parent}",
            got="no such file",
            remedy="finish the stage that writes it first",
        )
    record = read_json(path)
    if not isinstance(record, dict):
        raise UserError(
            expected=f"a JSON object in {path}", got=f"a {type(record).__name__}", remedy="run its stage again"
        )
    return record

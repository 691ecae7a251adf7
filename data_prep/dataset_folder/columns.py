"""Rows as an Arrow table: text as text, and lists and objects as JSON that keeps each row's own keys and nulls."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data_prep.conversation import scalar_text
from data_prep.dataset_folder.schema import PROVENANCE_COLUMNS
from pipelines.files import is_utf8

if TYPE_CHECKING:
    from pyarrow import Array, Table

Row = Mapping[str, Any]
_INT64 = range(-(2**63), 2**64)


def columns_of(rows: Iterable[Row]) -> list[str]:
    """The columns of all rows in order of their first appearance, those of provenance last."""
    found = dict.fromkeys(column for row in rows for column in row)
    return [name for name in found if name not in PROVENANCE_COLUMNS] + [n for n in PROVENANCE_COLUMNS if n in found]


def table_of(rows: Sequence[Row], columns: Sequence[str], nested: Iterable[str]) -> "Table":
    """`rows` as a table that `datasets` reads with explicit types: those `nested` as `Json`, all others as text.

    A number or a truth value is its JSON text; a missing value and NaN are null. The JSON is written here because
    `Json.encode_example` rounds floats to ten digits and reads a text that is JSON as the value it spells.
    """
    import pyarrow
    from datasets import Features, Json, Value

    as_json = set(nested)
    features = Features({name: Json() if name in as_json else Value("large_string") for name in columns})
    arrays = [_column([row.get(name) for row in rows], name in as_json) for name in columns]
    table = pyarrow.table(arrays, names=list(columns))
    return table.replace_schema_metadata(features.arrow_schema.metadata)


def nested_columns(rows: Iterable[Row]) -> set[str]:
    """Columns that hold a list or an object in any row."""
    return {name for row in rows for name, value in row.items() if isinstance(value, list | Mapping)}


def unstorable_reason(row: Row) -> str | None:
    """Why a table cannot hold `row`, as a reason for a rejected row; None if it can."""
    reasons = (_unstorable(value, inside=False) for value in row.values())
    return next((reason for reason in reasons if reason), None)


def _unstorable(value: Any, inside: bool = True) -> str | None:
    """As `unstorable_reason`; a number that is not `inside` JSON is kept as text, whatever its size."""
    if isinstance(value, str):
        return None if is_utf8(value) else "not_unicode"
    if isinstance(value, Mapping):
        return _unstorable([*value, *value.values()])
    if isinstance(value, list | tuple):
        return next((reason for one in value if (reason := _unstorable(one))), None)
    if inside and isinstance(value, float) and not math.isfinite(value):
        return "number_is_not_finite"
    return "integer_over_64_bits" if inside and isinstance(value, int) and value not in _INT64 else None


def _column(values: list[Any], as_json: bool) -> "Array":
    import pyarrow

    if as_json:
        json_type = pyarrow.json_(pyarrow.large_string())
        texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        return pyarrow.ExtensionArray.from_storage(json_type, pyarrow.array(texts, pyarrow.large_string()))
    return pyarrow.array([_text(value) for value in values], pyarrow.large_string())


def _text(value: Any) -> str | None:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return None if missing else scalar_text(value)

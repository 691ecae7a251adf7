"""Convert rows to Arrow tables of text and JSON: JSON keeps each row's own keys and nulls."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from data_prep.conversation import scalar_text
from data_prep.dataset_folder.schema import PROVENANCE_COLUMNS
from pipelines.files import is_utf8

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy import ndarray
    from pyarrow import LargeStringArray, Table

Row = Mapping[str, Any]
_INT64 = range(-(2**63), 2**64)
_LEFT_AS_THEY_ARE = ("string", "large_string", "binary", "large_binary")
_MAX_ROWS_IN_MEMORY = 100_000


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Return the columns of all rows in order of first appearance, those of provenance last."""
    found = dict.fromkeys(column for row in rows for column in row)
    return [name for name in found if name not in PROVENANCE_COLUMNS] + [n for n in PROVENANCE_COLUMNS if n in found]


def table_of(rows: Sequence[Row], columns: Sequence[str], nested: Iterable[str]) -> "Table":
    """Return `rows` as a table that `datasets` reads with explicit types: `nested` columns as `Json`, others as text.

    A number or a truth value becomes its JSON text; a missing value and NaN become null. The JSON is written here
    because `Json.encode_example` rounds floats to ten digits and parses text that is JSON.
    """
    return with_features(text_table(rows, columns, nested), nested)


def text_table(rows: Sequence[Row], columns: Sequence[str], nested: Iterable[str]) -> "Table":
    """Return `rows` as a table of text, with JSON text in `nested` columns. Does not import `datasets`."""
    import pyarrow

    as_json = set(nested)
    convert = {name: _json_text if name in as_json else _text for name in columns}
    arrays = [text_array([convert[name](row.get(name)) for row in rows]) for name in columns]
    return pyarrow.table(arrays, names=list(columns))


def text_array(texts: Sequence[str | None]) -> "LargeStringArray":
    """Return what `pyarrow.array` does for texts; that function imports pandas, which takes a second."""
    import numpy as np
    import pyarrow

    encoded = [b"" if text is None else text.encode() for text in texts]
    ends = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    is_valid = np.array([text is not None for text in texts], bool)
    valid = None if is_valid.all() else pyarrow.py_buffer(np.packbits(is_valid, bitorder="little"))
    data = pyarrow.py_buffer(b"".join(encoded))
    return pyarrow.LargeStringArray.from_buffers(len(encoded), pyarrow.py_buffer(ends), data, valid)


def rows_at_places(table: "Table", places: "ndarray") -> "Table":
    """Return the rows of `table` at `places`, without the import of pandas that `Table.take` does for NumPy arrays."""
    import numpy as np
    import pyarrow

    numbers = np.ascontiguousarray(places, np.int64)
    return table.take(
        pyarrow.Int64Array.from_buffers(pyarrow.int64(), len(numbers), [None, pyarrow.py_buffer(numbers)])
    )


def with_features(table: "Table", nested: Iterable[str]) -> "Table":
    """Return a `text_table` with the types and the metadata that `datasets` reads.

    The metadata is what `Features.arrow_schema` has in `datasets` 5, which takes more than a second to import.
    """
    import pyarrow

    as_json = set(nested)
    features = {
        name: {"_type": "Json"} if name in as_json else {"dtype": "large_string", "_type": "Value"}
        for name in table.column_names
    }
    json_type = pyarrow.json_(pyarrow.large_string())
    for place, name in enumerate(table.column_names):
        if name in as_json:
            chunks = [pyarrow.ExtensionArray.from_storage(json_type, chunk) for chunk in table[name].chunks]
            table = table.set_column(place, name, pyarrow.chunked_array(chunks, json_type))
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def nested_columns(rows: Iterable[Row]) -> set[str]:
    """Return the columns that hold a list or an object in any row."""
    return {
        name
        for row in rows
        for name, value in row.items()
        if type(value) is not str and isinstance(value, list | Mapping)  # the first test is ten times as fast
    }


def unstorable_reason(row: Row) -> str | None:
    """Return why a table cannot hold `row`, as a reject reason; None if it can."""
    reasons = (_unstorable(value, inside=False) for value in row.values())
    return next((reason for reason in reasons if reason), None)


def _unstorable(value: Any, inside: bool = True) -> str | None:
    """Like `unstorable_reason`; a number that is not `inside` JSON is kept as text, whatever its size."""
    if isinstance(value, str):
        return None if value.isascii() or is_utf8(value) else "not_unicode"
    if type(value) is dict or isinstance(value, Mapping):
        return _unstorable([*value, *value.values()])
    if isinstance(value, list | tuple):
        return next((reason for one in value if (reason := _unstorable(one))), None)
    if inside and isinstance(value, float) and not math.isfinite(value):
        return "number_is_not_finite"
    return "integer_over_64_bits" if inside and isinstance(value, int) and value not in _INT64 else None


def _json_text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str | None:
    if type(value) is str:
        return value
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return None if missing else scalar_text(value)


def with_explicit_types(rows: "Dataset", also_as_json: Iterable[str] = ()) -> "Dataset":
    """Convert a `Dataset` of Arrow types to text and JSON. Objects become JSON without the nulls that Arrow fills in
    for missing keys; numbers and times become text. Text columns in `also_as_json` become JSON too."""
    from datasets import Dataset, Features, Json, Value
    from datasets.table import InMemoryTable

    texts = {name for name in also_as_json if name in rows.features and not isinstance(rows.features[name], Json)}
    as_json = [name for name, feature in rows.features.items() if _is_nested(feature) or name in texts]
    as_text = [
        name for name, feature in rows.features.items()
        if name not in texts and isinstance(feature, Value) and feature.dtype not in _LEFT_AS_THEY_ARE
    ]  # fmt: skip
    if not as_json and not as_text:
        return rows
    changed = {**dict.fromkeys(as_json, Json()), **dict.fromkeys(as_text, Value("large_string"))}
    features = Features({name: changed.get(name, feature) for name, feature in rows.features.items()})
    arrow = rows.with_format("arrow")
    if len(rows) <= _MAX_ROWS_IN_MEMORY:
        table = _retyped(arrow[:], as_json=as_json, as_text=as_text)
        return Dataset(InMemoryTable(table.replace_schema_metadata(features.arrow_schema.metadata)))
    retype = partial(_retyped, as_json=as_json, as_text=as_text)
    return arrow.map(retype, batched=True, features=features, load_from_cache_file=False).with_format(None)


def _is_nested(feature: Any) -> bool:
    from datasets import LargeList, List

    return isinstance(feature, dict | list | List | LargeList)


def _retyped(table: "Table", as_json: Sequence[str], as_text: Sequence[str]) -> "Table":
    changed = [*as_json, *as_text]
    rows = table.select(changed).to_pylist()
    new = table_of([{name: _without_fill(value) for name, value in row.items()} for row in rows], changed, as_json)
    for name in changed:
        table = table.set_column(table.column_names.index(name), new.schema.field(name), new[name])
    return table


def _without_fill(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_fill(one) for key, one in value.items() if one is not None}
    return [_without_fill(one) for one in value] if isinstance(value, list) else value

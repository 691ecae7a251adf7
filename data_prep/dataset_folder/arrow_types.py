"""A `datasets.Dataset` of Arrow types to one of text and JSON, batch by batch."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from data_prep.dataset_folder.columns import table_of

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow import Table

_LEFT_AS_THEY_ARE = ("string", "large_string", "binary", "large_binary")
_MAX_ROWS_IN_MEMORY = 100_000


def with_explicit_types(rows: "Dataset", also_as_json: Iterable[str] = ()) -> "Dataset":
    """`rows` of Arrow types: objects as JSON without the nulls that Arrow fills in where a row lacks a key, numbers and
    times as text. Columns that are text or JSON already are left, but for text `also_as_json`."""
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

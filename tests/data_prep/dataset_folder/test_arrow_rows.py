"""Values of every Arrow type become text, or JSON values in nested columns."""

import datetime
import decimal
import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from data_prep.dataset_folder import read_row_file
from data_prep.dataset_folder.file_readers.bad_rows import UnreadableFile

NEW_YEAR = datetime.datetime(2024, 1, 1)
JSON_TEXTS = pyarrow.array(['{"a": [1.10, null]}'], pyarrow.string())
JSON_VALUES = pyarrow.ExtensionArray.from_storage(pyarrow.json_(pyarrow.string()), JSON_TEXTS)


@pytest.mark.parametrize(("array", "value"), [
    (pyarrow.array(["a"]), "a"), (pyarrow.array(["a"], pyarrow.large_string()), "a"),
    (pyarrow.array(["a"], pyarrow.string_view()), "a"), (pyarrow.array(["a"]).dictionary_encode(), "a"),
    (pyarrow.array([12345678901234567890], pyarrow.uint64()), "12345678901234567890"), (pyarrow.array([1.5]), "1.5"),
    (pyarrow.array([float("nan")]), None), (pyarrow.array([True]), "true"), (pyarrow.nulls(1), None),
    (pyarrow.array([decimal.Decimal("1.10")]), "1.10"), (pyarrow.array([NEW_YEAR]), "2024-01-01 00:00:00"),
    (pyarrow.array([NEW_YEAR.date()]), "2024-01-01"), (pyarrow.array([b"x"]), b"x"),
    (pyarrow.array([["a", None]]), ["a", None]), (pyarrow.array([["a"]], pyarrow.large_list(pyarrow.string())), ["a"]),
    (pyarrow.array([[1, 2]], pyarrow.list_(pyarrow.int64(), 2)), [1, 2]), (pyarrow.array([[float("nan")]]), [None]),
    (pyarrow.array([{"a": 1, "b": None}]), {"a": 1}),
    (pyarrow.array([[{"a": "x", "b": None}, None]]), [{"a": "x"}, None]),
    (pyarrow.array([{"at": NEW_YEAR}]), {"at": "2024-01-01 00:00:00"}),
    (pyarrow.array([[("k", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())), {"k": 1}),
    (JSON_VALUES, {"a": [1.1, None]}), (pyarrow.array(['{"a": 1}']), '{"a": 1}'),
    (pyarrow.ExtensionArray.from_storage(pyarrow.uuid(), pyarrow.array([bytes(16)], pyarrow.binary(16))),
     str(uuid.UUID(int=0))),
], ids=lambda one: str(one.type) if isinstance(one, pyarrow.Array) else None)  # fmt: skip
def test_a_value_becomes_text_or_json(tmp_path, array, value):
    columns = {"column": array, "name": pyarrow.array(["n"])}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pyarrow.ipc.new_stream(tmp_path / "a.arrow", pyarrow.table(columns).schema) as writer:
        writer.write_table(pyarrow.table(columns))
    for name in ("a.parquet", "a.arrow"):
        assert read_row_file(tmp_path / name) == [{"column": value, "name": "n"}]


def test_lists_of_json_values_are_parsed(tmp_path):
    table = pyarrow.table({"column": pyarrow.ListArray.from_arrays([0, 1], JSON_VALUES)})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert read_row_file(tmp_path / "a.parquet") == [{"column": [{"a": [1.1, None]}]}]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_table_without_rows_is_read(tmp_path, name):
    table = pyarrow.table({"a": pyarrow.array([], pyarrow.string())})
    if name == "a.parquet":
        pyarrow.parquet.write_table(table, tmp_path / name)
    else:
        with pyarrow.ipc.new_file(tmp_path / name, table.schema):
            pass
    assert read_row_file(tmp_path / name) == []


@pytest.mark.parametrize("n_bytes", [0, 3, 100, -10])
def test_an_arrow_file_that_is_cut_is_named(tmp_path, n_bytes):
    table = pyarrow.table({"a": [str(number) for number in range(5000)]})
    with pyarrow.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    content = (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "a.arrow").write_bytes(content[:n_bytes] if n_bytes >= 0 else content[: len(content) // 2])
    with pytest.raises(UnreadableFile, match=r"a\.arrow is not an Arrow file") as raised:
        read_row_file(tmp_path / "a.arrow")
    assert raised.value.reason == "not_arrow"


def nested_values(path: Path) -> list[Any]:
    return [json.loads(json.dumps(row)) for row in read_row_file(path)]


def test_floats_of_a_json_column_keep_their_digits(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"column": JSON_VALUES}), tmp_path / "a.parquet")
    [row] = read_row_file(tmp_path / "a.parquet")
    assert str(row["column"]["a"][0]) == "1.10"
    assert nested_values(tmp_path / "a.parquet") == [{"column": {"a": [1.1, None]}}]

import pyarrow
import pyarrow.parquet
import pytest

from data_prep.dataset_folder.batches import iter_splits, rows_at
from data_prep.dataset_folder.columns import table_of
from pipelines.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """50 rows of train in two files with row groups of 7, five of test; `tools` is JSON."""
    rows = [{"output": str(n), "tools": [{"n": n, "null": None}] if n % 2 else None} for n in range(55)]
    table = table_of(rows, ["output", "tools"], {"tools"})
    (tmp_path / "data").mkdir()
    for name, begin, end in (
        ("train-00000-of-00002", 0, 20),
        ("train-00001-of-00002", 20, 50),
        ("test-0-of-1", 50, 55),
    ):
        path = tmp_path / "data" / f"{name}.parquet"
        pyarrow.parquet.write_table(table.slice(begin, end - begin), path, row_group_size=7)
    return tmp_path


def test_all_rows_come_in_order_with_their_split_and_json_parsed(folder):
    found = [(split, row) for split, rows in iter_splits(folder) for row in rows]
    assert [int(row["output"]) for _, row in found] == list(range(55))
    assert [split for split, _ in found] == ["train"] * 50 + ["test"] * 5
    assert found[3][1]["tools"] == [{"n": 3, "null": None}]
    assert found[4][1]["tools"] is None


def test_a_column_that_a_file_lacks_is_left_out(folder):
    assert {tuple(row) for _, rows in iter_splits(folder, ["text", "output"]) for row in rows} == {("output",)}


@pytest.mark.parametrize("positions", [[0], [6, 7], [13, 19, 20, 21, 49], list(range(50)), []])
def test_rows_at_positions_are_found_in_any_file_and_row_group(folder, positions):
    assert [int(row["output"]) for row in rows_at(folder, "train", positions)] == positions


def test_a_file_cut_in_the_middle_is_named(folder):
    path = folder / "data" / "train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"train-00001-of-00002\.parquet is not a whole Parquet file"):
        list(iter_splits(folder))

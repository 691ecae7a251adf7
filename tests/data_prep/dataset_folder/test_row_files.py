import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from data_prep.dataset_folder import read_row_file, row_suffix
from data_prep.dataset_folder.file_readers import byte_blocks
from pipelines.errors import UserError

ROWS = [{"question": 'a, "b"\u2028\nc', "answer": "ü"}, {"question": "d", "answer": "e" * 200_000}]


def write_csv(path: Path) -> None:
    quoted = [[json.dumps(value, ensure_ascii=False)[1:-1] for value in row.values()] for row in ROWS]
    lines = ["question,answer", *(",".join(f'"{v}"' for v in row) for row in quoted)]
    path.write_text("\n".join(lines).replace('\\"', '""').replace("\\n", "\n") + "\n", encoding="utf-8-sig", newline="")


WRITERS: dict[str, Callable[[Path], None]] = {
    "rows.json": lambda path: path.write_text(json.dumps(ROWS)) and None,
    "rows.jsonl": lambda path: path.write_text("\n\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS)) and None,
    "lines.json": lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in ROWS)) and None,
    "rows.csv": write_csv,
    "rows.parquet": lambda path: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path),
    "rows.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())) and None,
    "rows.JSONL.gz": lambda path: (
        path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in ROWS).encode("utf-8-sig"))) and None
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_all_formats_give_the_same_rows(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert read_row_file(tmp_path / name) == ROWS


def test_the_suffix_is_seen_through_gz():
    assert [row_suffix(Path(name)) for name in ("a.json.gz", "b.ndjson", "c.tar.gz", "README", "d.CSV")] == [
        ".json",
        ".jsonl",
        ".tar",
        "",
        ".csv",
    ]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.jsonl", b'{"x": 1}\n{"x": \n', r"a\.jsonl is not valid JSON: expecting value on line 2"),
    ("a.json", b'[{"x": 1},\n{"x" 2}]', r"expecting ':' delimiter on line 2, column 6; fix that line"),
    ("a.jsonl", b'{"x": 1}\n[2]\n', "line 2 of .* is a list, expected an object"),
    ("a.json", b'[{"x": 1}, "two"]', "row 2 of .* is a str, expected an object"),
    ("a.json", b'{"x": [\n1]}', r"is a dict, expected a list of rows"),
    ("a.json", b'[{"x": "\xe9"}]', "row 1 of .* is not UTF-8 text"),
    ("a.json.gz", gzip.compress(b'["\xe9"]'), "row 1 of .* is not UTF-8 text"),
    ("a.json.gz", b"[]", "is not gzip data"),
    ("a.json.gz", gzip.compress(b"[" + b" " * 1000)[:-9], "is not gzip data"),
    ("a.csv", b"x,y\n1,2\n1,2,3\n", "line 3 of .* has 3 values, expected 2 .*; quote values that hold a comma"),
    ("a.parquet", b"PAR1", "is not a Parquet file"),
])  # fmt: skip
def test_a_broken_file_is_named_with_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_row_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.json.gz", "a.parquet"])
def test_a_missing_file_is_a_user_error(tmp_path, name):
    with pytest.raises(UserError, match=r"does not exist|no such file"):
        read_row_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv"])
def test_an_empty_file_has_no_rows(tmp_path, name):
    (tmp_path / name).write_text("\n" if name != "a.csv" else "x,y\n")
    assert read_row_file(tmp_path / name) == []


@pytest.mark.parametrize("n_bytes", [1, 2, 3, 7])
def test_blocks_of_any_size_give_the_same_rows(tmp_path, monkeypatch, n_bytes):
    rows = [
        {"a\u2028": 'quoted "x" \\ 😀', "b": [1.5, {"c": None}, -12, [], {}], "": "é\n"}, {},
        {"a": "😀", "b": 10**30},
    ]  # fmt: skip
    table = [{"x": 'a "b"\r\nc,é', "y": "😀"}, {"x": "", "y": "d"}]
    monkeypatch.setattr(byte_blocks, "BLOCK_BYTES", n_bytes)
    for indent, ascii_only in ((None, True), (1, False)):
        text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
        lines = "\r\n\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
            (tmp_path / "a.json").write_bytes(text.encode(encoding))
            (tmp_path / "a.jsonl").write_bytes(lines.encode(encoding))
            (tmp_path / "a.csv").write_bytes('x,y\r\n"a ""b""\r\nc,é",😀\r\n,d'.encode(encoding))
            assert read_row_file(tmp_path / "a.json") == read_row_file(tmp_path / "a.jsonl") == rows
            assert read_row_file(tmp_path / "a.csv") == table

"""Every format of rows gives the same rows, in one piece or in parts."""

import csv
import gzip
import json
import lzma
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from datasets import Dataset, Features, Json, Value

from data_prep.dataset_folder.file_readers.text_encodings import encoding_of
from data_prep.sources.source_files import line_ranges as line_ranges_module
from tests.data_prep.sources.reading import json_lines, read_source, rows_of, write

OUTPUTS = ['He said "no", twice.\u2028', "Über\n\n  two lines", "x" * 300_000, "1.10"]
ROWS = rows_of(OUTPUTS)


def csv_text(separator: str = ",") -> str:
    lines = [["instruction", "output"], *([row["instruction"], row["output"]] for row in ROWS)]
    quoted = [separator.join('"' + value.replace('"', '""') + '"' for value in line) for line in lines]
    return "\r\n".join(quoted) + "\r\n"


def write_arrow(path: Path, form: Callable[..., Any]) -> None:
    table = pyarrow.Table.from_pylist(ROWS)
    with form(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def zstd(content: bytes) -> bytes:
    return pyarrow.compress(content, "zstd", asbytes=True)


LINES, ARRAY = json_lines(ROWS), json.dumps(ROWS, indent=1).encode()
TEXTS: Mapping[str, bytes] = {
    "a.jsonl": LINES, "a.ndjson": LINES.replace(b"\n", b"\r\n"), "a.json": ARRAY, "lines.json": LINES,
    "array.jsonl": ARRAY, "mark.jsonl": b"\xef\xbb\xbf" + LINES, "wide.jsonl": LINES.decode().encode("utf-16"),
    "wide.json": ARRAY.decode().encode("utf-16-be").join([b"\xfe\xff", b""]), "a.csv": csv_text().encode("utf-8-sig"),
    "a.tsv": csv_text("\t").encode(), "wide.csv": csv_text().encode("utf-16"), "a.jsonl.gz": gzip.compress(LINES),
    "a.JSON.gz": gzip.compress(ARRAY), "two.jsonl.gz": gzip.compress(LINES[:50]) + gzip.compress(LINES[50:]),
    "a.jsonl.zst": zstd(LINES), "two.jsonl.zst": zstd(LINES[:50]) + zstd(LINES[50:]),
    "a.jsonl.xz": lzma.compress(LINES),
    "two.jsonl.xz": lzma.compress(LINES[:50]) + bytes(8) + lzma.compress(LINES[50:]),
    "a.csv.xz": lzma.compress(csv_text().encode()), "a.csv.zst": zstd(csv_text().encode()),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_format_gives_the_same_rows(tmp_path, name):
    read = read_source(write(tmp_path / name, TEXTS[name]))
    assert read.outputs == [output.strip("\n").strip() for output in OUTPUTS]
    assert read.places == ["1", "2", "3", "4"]
    assert read.rejected == []
    assert len(read.entry["sha256"]) == 64


@pytest.mark.parametrize("form", [pyarrow.ipc.new_stream, pyarrow.ipc.new_file])
def test_an_arrow_file_is_read_in_its_stream_and_its_file_form(tmp_path, form):
    write_arrow(tmp_path / "a.arrow", form)
    assert read_source(tmp_path / "a.arrow").outputs == [output.strip() for output in OUTPUTS]


def test_row_groups_of_a_parquet_file_are_units_with_their_row_numbers(tmp_path):
    outputs = [f"answer {number}" for number in range(50_000)]
    table = pyarrow.Table.from_pylist(rows_of(outputs))
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=10_000)
    read = read_source(tmp_path / "a.parquet")
    assert [(unit.start, unit.stop, unit.first_row) for unit in read.units] == [
        (0, 2, 1),
        (2, 4, 20_001),
        (4, 5, 40_001),
    ]
    assert read.outputs == outputs
    assert read.places == [str(number) for number in range(1, 50_001)]


def test_parquet_values_are_text_and_json_without_the_nulls_that_arrow_fills_in(tmp_path):
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]
    rows = [{"messages": [*history, history[0], {"role": "assistant", "content": "c"}], "category": 1.5}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    [row] = read_source(tmp_path / "a.parquet").rows
    assert row.fields["messages"] == rows[0]["messages"]
    assert row.fields["category"] == "1.5"


def test_a_json_column_of_datasets_keeps_each_rows_own_keys_and_nulls(tmp_path):
    chats = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [
        {"function": {"name": "f", "arguments": {"x": None, "y": 1.10}}}]}]]  # fmt: skip
    features = Features({"messages": Json(), "note": Value("string")})
    Dataset.from_dict({"messages": chats, "note": ["n"]}, features=features).to_parquet(tmp_path / "a.parquet")
    [row] = read_source(tmp_path / "a.parquet").rows
    assert row.fields["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"x": None, "y": 1.1}


@pytest.mark.parametrize("range_bytes", [1, 7, 60, 1000])
@pytest.mark.parametrize("end", [b"", b"\n", b" \n\n"])
def test_a_jsonl_file_is_cut_at_line_ends_and_rows_keep_their_numbers(tmp_path, monkeypatch, range_bytes, end):
    blanks = [b"\n", b"", b" \t\n", b"\r\n\r\n", b"\n\n\n"]
    lines = json_lines(rows_of(f"é {number}" for number in range(23))).splitlines(keepends=True)
    text = b"".join(blanks[number % 5] + line for number, line in enumerate(lines)).rstrip(b"\n") + end
    monkeypatch.setattr(line_ranges_module.line_ranges, "__defaults__", (range_bytes,))
    read = read_source(write(tmp_path / "a.jsonl", text))
    assert read.outputs == [f"é {number}" for number in range(23)]
    assert read.places == [str(number) for number in range(1, 24)]
    assert read.counts.n_rows == 23
    assert len(read.units) > 1 or range_bytes == 1000


def test_a_rejected_row_of_any_part_has_its_row_and_line_number(tmp_path, monkeypatch):
    monkeypatch.setattr(line_ranges_module.line_ranges, "__defaults__", (60,))
    text = json_lines(rows_of("abcdefgh")) + b"\n\n{broken\n" + json_lines(rows_of("i"))
    read = read_source(write(tmp_path / "a.jsonl", text))
    assert [row.to_json() for row in read.rejected] == [
        {"source": "a.jsonl", "source_row": "9", "reason": "not_json", "line": 11, "column": 2}
    ]
    assert read.places[-1] == "10"


def test_numbers_keep_the_digits_of_the_file_and_nan_is_missing(tmp_path):
    values = ["1.10", "1e400", "18446744073709551617", "-0.0", "0.1", "NaN", "7"]
    text = "".join(f'{{"instruction": "a", "output": {value}}}\n' for value in values)
    assert read_source(write(tmp_path / "a.jsonl", text)).outputs == [*values[:5], "", "7"]


def test_bytes_of_another_encoding_are_decoded_if_it_is_sure(tmp_path, capsys):
    texts = ["Die größere Straße führt über die Brücke.", "Schöne Grüße aus München, wir möchten Käse und Brötchen."]
    for encoding in ("cp1252", "utf-8"):
        content = json_lines(rows_of(["plain"] * 3 + texts * 20)).decode().encode(encoding)
        read = read_source(write(tmp_path / f"{encoding}.jsonl", content))
        assert read.outputs[3:5] == texts
        assert read.rejected == []
    assert "encodings" not in read.entry
    assert read_source(tmp_path / "cp1252.jsonl").entry["encodings"] == {"cp1252.jsonl": "cp1252"}
    assert "cp1252.jsonl: read as cp1252" in capsys.readouterr().err


@pytest.mark.parametrize(("language", "encoding", "found"), [
    ("Привет, как дела? Сегодня хорошая погода, и мы идём гулять.", "cp1251", "cp1251"),
    ("Привет, как дела? Сегодня хорошая погода, и мы идём гулять.", "koi8-r", "koi8_r"),
    ("今日は天気がいいので、友達と一緒に公園へ散歩に行きました。", "shift_jis", "cp932"),
    ("今天天气很好，我们一起去公园散步。这是一个非常长的一天。", "gb18030", "gb18030"),
    ("L'été dernier, j'étais à la plage où le café était très cher.", "cp1252", "cp1252"),
    # what reads well as Windows-1252 too is not sure
    ("Árvíztűrő tükörfúrógép. Ma szép idő van, őszintén örülök.", "cp1250", None),
    ("Bugün hava çok güzel, şimdi ne yapacağız? Işık söndü.", "cp1254", None),
    ("Šiandien gražus oras, ačiū už pagalbą. Žąsys skrenda.", "cp1257", None),
])  # fmt: skip
def test_an_encoding_is_only_named_if_no_other_fits_as_well(language, encoding, found):
    assert encoding_of(json_lines(rows_of([language] * 9)).decode().encode(encoding)) == found


HUNGARIAN = ["plain", "Ma szép idő van, őszintén örülök."]


@pytest.mark.parametrize(("name", "text"), [
    ("a.jsonl", json_lines(rows_of(HUNGARIAN)).decode()),
    ("a.json", json.dumps(rows_of(HUNGARIAN), ensure_ascii=False)),
    ("a.csv", f'instruction,output\na,{HUNGARIAN[0]}\nb,"{HUNGARIAN[1]}"\n'),
])  # fmt: skip
def test_rows_of_an_encoding_that_is_not_sure_are_rejected_unless_it_is_named(tmp_path, name, text):
    path = write(tmp_path / name, text.encode("cp1250"))
    assert read_source(path).reasons == [("2", "not_utf8")]
    assert read_source(path, encoding="cp1250").outputs == HUNGARIAN


def test_a_separator_is_found_beside_values_of_any_length(tmp_path):
    """In a process of its own the limit of the csv module is 131,072 characters."""
    csv.field_size_limit(131_072)
    text = 'instruction;output,note\na;"' + "x" * 200_000 + '"\n'
    path = write(tmp_path / "a.csv", text)
    assert read_source(path, column_map={"output": "output,note"}).outputs == ["x" * 200_000]


def test_utf16_without_a_mark_is_read_if_it_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines(rows_of(HUNGARIAN)).decode().encode("utf-16-le"))
    assert read_source(path, encoding="utf-16-le").outputs == HUNGARIAN


def test_one_broken_byte_in_a_utf8_file_costs_one_row(tmp_path):
    text = json_lines(rows_of(["Grüße", "naïve", "Käse", "x"]))
    read = read_source(write(tmp_path / "a.jsonl", text.replace(b"K\xc3", b"K")))
    assert (read.outputs, read.reasons) == (["Grüße", "naïve", "x"], [("3", "not_utf8")])


def sizes(units: Sequence[Any]) -> list[int]:
    return [(unit.stop or 0) - unit.start for unit in units]


def test_units_of_a_large_file_are_about_two_megabytes(tmp_path):
    read = read_source(write(tmp_path / "a.jsonl", json_lines(rows_of(["x" * 1000] * 20_000))))
    assert len(read.rows) == 20_000
    assert len(read.units) == 10
    assert max(sizes(read.units)) <= (2 << 20) + 2000
    assert sum(sizes(read.units)) == (tmp_path / "a.jsonl").stat().st_size

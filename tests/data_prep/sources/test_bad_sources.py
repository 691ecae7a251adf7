"""What cannot be read is rejected with its place, or stops the run with --strict."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from pipelines.errors import UserError
from tests.data_prep.sources.reading import json_lines, read_source, rows_of, write

GOOD = json_lines(rows_of("abc"))
WRONG_COLUMNS = json_lines([{"ask": "a", "say": "b"}])
LARGE_ROW = json_lines(rows_of(["".join(map(str, range(200_000)))]))


def parquet(path: Path, n_rows: int = 3000) -> Path:
    table = pyarrow.Table.from_pylist(rows_of(f"answer {number} " * 20 for number in range(n_rows)))
    pyarrow.parquet.write_table(table, path, row_group_size=1000, compression="none", use_dictionary=False)
    return path


@pytest.mark.parametrize(("name", "content", "place", "reason", "details"), [
    ("a.jsonl", GOOD + b"{broken\n" + GOOD, "4", "not_json", {"line": 4, "column": 2}),
    ("a.jsonl", b"\n" + GOOD + b"[1]\n" + GOOD, "4", "not_an_object", {"line": 5}),
    ("a.jsonl", GOOD + b"[" * 5000 + b"\n" + GOOD, "4", "nested_too_deeply", {"line": 4}),
    ("a.json", b"[" + GOOD.replace(b"}\n", b"},") + b"2," + GOOD.strip().replace(b"}\n", b"},") + b"]",
     "4", "not_an_object", {}),
    ("a.csv", b"instruction,output\na,b\nc,d\ne,f\n1,2,3\nc,d\ne,f\ng,h\n", "4", "too_many_values", {"line": 5}),
    ("a.jsonl", GOOD + LARGE_ROW + GOOD, "4", "row_over_1_mb", {"line": 4}),
    ("a.jsonl.gz", gzip.compress(GOOD + LARGE_ROW + GOOD), "4", "row_over_1_mb", {"line": 4}),
    ("a.csv", b'instruction,output\na,b\nc,d\ne,f\n1,"' + b"x, y and much more,\n" * (1 << 16) + b'"\nc,d\ne,f\ng,h\n',
     "4", "row_over_1_mb", {"line": 5}),
    ("a.csv", b"instruction,output\na,b\nc,d\ne,f\n1," + b"x" * (3 << 20) + b"\nc,d\ne,f\ng,h\n",
     "4", "row_over_1_mb", {"line": 5}),
])  # fmt: skip
def test_one_broken_row_costs_one_row(tmp_path, name, content, place, reason, details):
    read = read_source(write(tmp_path / name, content), max_row_mb=1)
    assert [(row.source_row, row.reason, dict(row.details)) for row in read.rejected] == [(place, reason, details)]
    assert read.places[:4] == ["1", "2", "3", "5"]
    with pytest.raises(UserError, match=name):
        read_source(tmp_path / name, max_row_mb=1, strict=True)


@pytest.mark.parametrize(("name", "content", "reason", "details", "n_rows"), [
    ("a.json", b"[" + GOOD.replace(b"}\n", b"},\n") + b'{"instruction": "a" "output"}]', "not_json",
     {"line": 4, "column": 21}, 3),
    ("a.json", b"[" + GOOD.replace(b"}\n", b"},\n") + b'{"instruction": "a', "not_json", {"line": 4, "column": 17}, 3),
    ("a.json", b"[" + LARGE_ROW + b"]", "row_over_1_mb", {}, 0),
    ("a.json", b"[" + LARGE_ROW.replace(b"123", b"123" * 1_000_000, 1) + b"]", "row_over_1_mb", {}, 0),
    ("a.jsonl.gz", gzip.compress(GOOD)[:-4], "not_gzip", {}, 0),
    ("a.jsonl.zst", pyarrow.compress(GOOD, "zstd", asbytes=True)[:-4], "not_zstd", {}, 0),
    ("a.jsonl.xz", b"not xz", "not_xz", {}, 0),
    ("a.jsonl.gz", b"", "not_gzip", {}, 0),
    ("a.csv", b'instruction,output\na,b\nc,"d\ne,f\n', "unclosed_quote", {"line": 3, "last_line": 4}, 1),
    ("a.csv", b"instruction,output,output\na,b,c\n", "columns_of_one_name", {}, 0),
    ("a.csv", b"instruction,\xff\xfe\n\na,b\n", "not_utf8", {}, 0),
    ("a.csv", b"x" * (3 << 20) + b",output\na,b\n", "not_csv", {}, 0),
    ("a.jsonl", "Grüße".encode("utf-16") + b"\x00", "not_utf8", {}, 0),
    ("a.arrow", b"ARROW1", "not_arrow", {}, 0),
    ("a.jsonl", WRONG_COLUMNS, "columns_not_found", {}, 0),
    ("package.json", b'{"name": "x",\n"version": "1"}', "not_a_list_of_rows", {}, 0),
])  # fmt: skip
def test_one_unreadable_file_of_a_folder_is_named_and_the_rest_is_read(
    tmp_path, name, content, reason, details, n_rows
):  # fmt: skip
    write(tmp_path / "0.jsonl", GOOD)
    write(tmp_path / name, content)
    write(tmp_path / "z.jsonl", GOOD)
    read = read_source(tmp_path, max_row_mb=1)
    [rejected] = read.rejected
    assert (rejected.source_row.partition(":")[0], rejected.reason) == (name, reason)
    assert dict(rejected.details) == details
    assert read.places[:3] == ["0.jsonl:1", "0.jsonl:2", "0.jsonl:3"]
    assert len(read.rows) == 6 + n_rows
    with pytest.raises(UserError, match=name):
        read_source(tmp_path, max_row_mb=1, strict=True)


def test_a_parquet_file_cut_in_the_middle_is_rejected_or_an_error(tmp_path):
    write(tmp_path / "a.jsonl", GOOD)
    content = parquet(tmp_path / "b.parquet").read_bytes()
    write(tmp_path / "b.parquet", content[: len(content) // 2])
    read = read_source(tmp_path)
    assert (len(read.rows), read.reasons) == (3, [("b.parquet", "not_parquet")])
    with pytest.raises(UserError, match=r"b\.parquet is not a Parquet file"):
        read_source(tmp_path / "b.parquet")


def test_a_parquet_file_with_broken_pages_keeps_the_rows_before(tmp_path):
    content = parquet(tmp_path / "a.parquet").read_bytes()
    group = pyarrow.parquet.read_metadata(tmp_path / "a.parquet").row_group(1).column(0)
    start = group.data_page_offset
    write(tmp_path / "a.parquet", content[:start] + b"\xff" * 100 + content[start + 100 :])
    read = read_source(tmp_path / "a.parquet")
    assert (len(read.rows), read.reasons) == (1000, [("a.parquet", "not_parquet")])


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.jsonl", b"{broken\n{\n", r"a\.jsonl is not valid JSON: .* on line 1, column 2"),
    ("a.jsonl", WRONG_COLUMNS, "no column for instruction"),
    ("a.jsonl", b"\n \n", "a.jsonl has no rows"),
    ("a.pkl", b"\x80\x04N.", r"a\.pkl is a pickle, which can run any code"),
    ("a.pkl.gz", b"\x80\x04N.", r"a\.pkl\.gz is a pickle, which can run any code"),
])  # fmt: skip
def test_a_source_of_which_no_row_can_be_read_is_an_error(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message):
        read_source(write(tmp_path / name, content))


def test_an_error_about_columns_is_one_line(tmp_path):
    path = write(tmp_path / "a.csv", b'"ask\nhere",say\na,b\n')
    with pytest.raises(UserError, match="only ask here, say"):
        read_source(path)


def test_a_broken_value_of_an_arrow_file_costs_one_row(tmp_path):
    table = pyarrow.Table.from_pylist(rows_of(f"answer {number}" for number in range(1000)))
    with pyarrow.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    content = (tmp_path / "a.arrow").read_bytes()
    write(tmp_path / "a.arrow", content.replace(b"answer 500answer 501", b"answer \xff\xff\xffanswer 501"))
    read = read_source(tmp_path / "a.arrow")
    assert (len(read.rows), read.reasons) == (999, [("501", "broken_value")])


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match=r"a\.jsonl is a pipe or a device"):
        read_source(tmp_path / "a.jsonl")
    write(tmp_path / "b.jsonl", GOOD)
    assert read_source(tmp_path).reasons == [("a.jsonl", "not_a_file")]


def test_a_folder_of_which_no_file_can_be_read_is_an_error_with_the_first_reason(tmp_path):
    write(tmp_path / "a.jsonl", b"{broken\n")
    write(tmp_path / "b.jsonl", WRONG_COLUMNS)
    with pytest.raises(UserError, match=r"none of the 2 files of .*, the first because .*a\.jsonl is not valid"):
        read_source(tmp_path)


def test_a_wrong_column_map_names_the_columns_and_the_nearest_one(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines([{"question": "a", "answer": "b"}]))
    with pytest.raises(UserError, match=r"no column .*anwser.*question, answer.*") as raised:
        read_source(path, column_map={"output": "anwser"})
    assert "did you mean answer" in str(raised.value)


def test_links_out_of_the_folder_and_to_folders_are_not_followed(tmp_path):
    write(tmp_path / "outside" / "secret.jsonl", GOOD)
    folder = tmp_path / "set"
    write(folder / "a.jsonl", GOOD)
    write(folder / "more" / "b.jsonl", GOOD)
    (folder / "out.jsonl").symlink_to(tmp_path / "outside" / "secret.jsonl")
    (folder / "in.jsonl").symlink_to("more/b.jsonl")
    (folder / "gone.jsonl").symlink_to("nothing.jsonl")
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "again").symlink_to("more")
    read = read_source(folder)
    assert [place for place in read.places if place.endswith(":1")] == ["a.jsonl:1", "in.jsonl:1", "more/b.jsonl:1"]
    assert read.reasons == [
        ("again/", "link_to_folder"), ("gone.jsonl", "not_a_file"), ("out.jsonl", "outside_the_folder"),
        ("out/", "outside_the_folder"),
    ]  # fmt: skip


def test_links_of_the_hubs_cache_lead_to_its_blobs(tmp_path):
    write(tmp_path / "blobs" / "0123", GOOD)
    folder = tmp_path / "snapshots" / "4567"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").symlink_to("../../blobs/0123")
    assert read_source(folder).places == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3"]


def test_pickles_of_a_folder_are_counted_and_never_opened(tmp_path):
    write(tmp_path / "a.jsonl", GOOD)
    write(tmp_path / "b.pkl", b"cos\nsystem\n(S'false'\ntR.")
    assert read_source(tmp_path).reasons == [("b.pkl", "pickle")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_it_is_rejected(tmp_path):
    write(tmp_path / "a.jsonl", GOOD)
    write(tmp_path / "b.jsonl", GOOD).chmod(0)
    assert read_source(tmp_path).reasons == [("b.jsonl", "cannot_be_opened")]


# what takes a lot of memory if it is read at once; a megabyte of zeros compresses a thousand times
MEMORY = """
import gzip, re, sys
from pathlib import Path
import pyarrow
from tests.data_prep.sources.reading import read_source, write
good = b'{"instruction": "a", "output": "b"}\\n'
folder = Path(sys.argv[1])
write(folder / "first.jsonl", good)
read_source(folder)
def peak():  # ru_maxrss begins with that of the parent
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
with (folder / "line.jsonl").open("wb") as file:
    file.write(good + b'{"instruction": "')
    file.seek(1 << 30, 1)
    file.write(b'"}\\n' + good)
block = bytes(1 << 20)
with pyarrow.CompressedOutputStream(str(folder / "bomb.jsonl.zst"), "zstd") as file:
    file.write(good)
    for _ in range(1024):
        file.write(block)
with gzip.open(folder / "bomb.csv.gz", "wb", compresslevel=1) as file:
    file.write(b"instruction,output\\na,b\\n")
    for _ in range(200):
        file.write(block)
print(read_source(folder).reasons)
print((peak() - before) >> 10)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
def test_a_line_of_a_gigabyte_and_decompression_bombs_are_read_in_bounded_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    reasons, megabytes = done.stdout.splitlines()
    assert json.loads(reasons.replace("'", '"').replace("(", "[").replace(")", "]")) == [
        ["bomb.csv.gz", "expands_over_200_times"], ["bomb.jsonl.zst", "expands_over_200_times"],
        ["line.jsonl:2", "row_over_64_mb"],
    ]  # fmt: skip
    assert int(megabytes) < 400


@pytest.fixture(autouse=True)
def _readable_again(tmp_path: Path) -> Iterator[None]:
    yield
    for path in tmp_path.rglob("*.jsonl"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o644)

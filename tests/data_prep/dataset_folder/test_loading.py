"""Rows of files and folders as their files have them: no type is guessed, no null invented, no slice ignored."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from data_prep.dataset_folder import load_rows
from data_prep.dataset_folder.columns import with_explicit_types
from pipelines.errors import UserError

DATES = [{"instruction": f"Day {n}?", "output": f"2024-01-{n:02}"} for n in range(1, 13)]


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(path: Path, rows: Sequence[dict[str, Any]], **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **how)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("name", ["train.jsonl", "train.csv", "rows.json", "data/train-00000-of-00001.parquet"])
def test_answers_that_look_like_dates_stay_text_in_a_folder(tmp_path, name):
    path = tmp_path / "set" / name
    if path.suffix == ".csv":
        write_csv(path, DATES)
    elif path.suffix == ".parquet":
        path.parent.mkdir(parents=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(DATES), path)
    else:
        jsonl(path, DATES)
    rows = load_rows(str(tmp_path / "set"), "train")
    assert list(rows) == DATES == list(load_rows(str(path), "train"))


def test_numbers_and_truth_values_are_written_as_the_file_has_them(tmp_path):
    texts = ["4", "4.0", "1.10", "1e-7", "123456789012345678901234567890", "true", "null", "NaN", '"NaN"', '"007"']
    (tmp_path / "set").mkdir()
    lines = [f'{{"prompt": "p", "completion": {text}}}\n' for text in texts]
    (tmp_path / "set" / "train.jsonl").write_text("".join(lines))
    found = load_rows(str(tmp_path / "set"), "train")["completion"]
    assert list(found) == [*texts[:6], None, None, "NaN", "007"]
    (tmp_path / "big.json").write_text(f'[{{"prompt": "p", "tools": [{texts[4]}]}}]')
    with pytest.raises(UserError, match=r"row 1 of .*: integer over 64 bits"):
        load_rows(str(tmp_path / "big.json"), "train")
    numbers = [{"prompt": 1, "completion": "2"}, {"prompt": None, "completion": ""}]
    write_csv(tmp_path / "rows.csv", numbers)
    assert list(load_rows(str(tmp_path / "rows.csv"), "train")["prompt"]) == ["1", ""]


def test_nested_values_keep_keys_nulls_text_and_small_numbers(tmp_path):
    """`Json.encode_example` of datasets would round 1e-12 to 0 and read the text "12" as a number."""
    rows = [{"messages": [{"arguments": {"a": None, "x": 1e-12}}]}, {"messages": "12"}, {"messages": None}]
    assert list(load_rows(str(jsonl(tmp_path / "rows.jsonl", rows)), "train")) == rows


def test_parquet_loses_the_nulls_that_arrow_fills_in_and_nothing_else(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "a", "tool_calls": None}], "n": 1},
            {"messages": [{"role": "user", "content": "b", "tool_calls": [{"name": "f"}]}], "n": None}]  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    read = list(load_rows(str(tmp_path / "rows.parquet"), "train"))
    assert read[0] == {"messages": [{"role": "user", "content": "a"}], "n": "1"}
    assert read[1] == {**rows[1], "n": None}
    features = datasets.Features({"t": datasets.Json(), "s": datasets.Value("string")})
    plain = datasets.Dataset.from_dict({"t": [{"default": None}], "s": ["x"]}, features=features)
    assert with_explicit_types(plain) is plain


@pytest.mark.parametrize(("split", "expected"), [
    ("train", range(12)), ("train[:10]", range(10)), ("train[50%:]", range(6, 12)), ("train[-2:]", [10, 11]),
    ("train[:2]+train[-1:]", [0, 1, 11]), ("train[:100]", range(12)), ("train[100:]", []),
])  # fmt: skip
def test_slices_of_a_split_are_obeyed_wherever_the_rows_are(tmp_path, split, expected):
    file = jsonl(tmp_path / "set" / "train.jsonl", DATES)
    write_csv(tmp_path / "csv" / "rows.csv", DATES)
    for path in (file, file.parent, tmp_path / "csv"):
        assert list(load_rows(str(path), split)) == [DATES[place] for place in expected], path


@pytest.mark.parametrize("split", ["train[:", "train[1%:x]", "[:10]", "valid[:3]"])
def test_a_split_that_cannot_be_read_is_one_line(tmp_path, split):
    jsonl(tmp_path / "set" / "train.jsonl", DATES)
    with pytest.raises(UserError, match="split"):
        load_rows(str(tmp_path / "set"), split)


def test_the_splits_of_a_folder_are_found_by_name_and_by_its_card(tmp_path):
    jsonl(tmp_path / "set" / "train.jsonl", DATES[:8])
    jsonl(tmp_path / "set" / "test.jsonl", DATES[8:])
    assert len(load_rows(str(tmp_path / "set"), "test")) == 4
    assert len(load_rows(str(tmp_path / "set"), "train+test[:1]")) == 9
    card = "---\nconfigs:\n- config_name: few\n  data_files:\n  - split: train\n    path: test.jsonl\n---\n"
    (tmp_path / "set" / "README.md").write_text(card)
    assert list(load_rows(str(tmp_path / "set"), "train", name="few")) == DATES[8:]
    assert list(load_rows("json", "train", data_files=str(tmp_path / "set" / "test.jsonl"))) == DATES[8:]


def test_files_of_a_folder_are_read_by_their_own_formats_or_named(tmp_path):
    chat = {"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}], "tools": None}
    jsonl(tmp_path / "set" / "a.jsonl", [{"instruction": "a", "input": "i", "output": "b", "system": "s"}])
    jsonl(tmp_path / "set" / "b.jsonl", [chat])
    rows = list(load_rows(str(tmp_path / "set"), "train"))
    assert [[one["content"] for one in row["messages"]] for row in rows] == [["s", "a\n\ni", "b"], ["c", "d"]]
    jsonl(tmp_path / "set" / "c.jsonl", [{"text": "t"}])
    with pytest.raises(UserError, match=r"a\.jsonl: instruction.*c\.jsonl: text"):
        load_rows(str(tmp_path / "set"), "train")


@pytest.mark.parametrize(("separator", "name"), [(";", "a semicolon"), ("\t", "a tab"), ("|", "a bar")])
def test_the_separator_of_a_csv_file_is_found_and_said(tmp_path, capsys, separator, name):
    rows = [
        {"instruction": "a, b; c", "input": "", "output": "d\te|f"},
        {"instruction": "1,5", "input": "x", "output": "y"},
    ]
    path = write_csv(tmp_path / "rows.csv", rows, delimiter=separator)
    assert list(load_rows(str(path), "train")) == rows
    assert f"values are separated by {name}" in capsys.readouterr().err
    assert list(load_rows(str(path.rename(tmp_path / "rows.tsv")), "train")) == rows if separator == "\t" else True


def test_a_separator_that_excel_writes_is_obeyed(tmp_path):
    (tmp_path / "a.csv").write_text("sep=;\ninstruction;output\n1,5;2,5\n")
    assert list(load_rows(str(tmp_path / "a.csv"), "train")) == [{"instruction": "1,5", "output": "2,5"}]


def test_a_head_with_two_separators_follows_the_rows(tmp_path):
    (tmp_path / "a.csv").write_text("question, or task;answer\na, b, c;d\ne;f\n")
    assert load_rows(str(tmp_path / "a.csv"), "train")[0] == {"question, or task": "a, b, c", "answer": "d"}
    (tmp_path / "b.csv").write_text("question;task,answer\na;b,c\nd,e\n")
    assert load_rows(str(tmp_path / "b.csv"), "train")[1] == {"question;task": "d", "answer": "e"}
    (tmp_path / "c.csv").write_text("instruction;output\na;b;c\n")
    with pytest.raises(UserError, match=r"line 2 of .* has 3 values, .*; quote values that hold a semicolon"):
        load_rows(str(tmp_path / "c.csv"), "train")

"""Folders with several splits, and those that `datasets` saved."""

import json

import pytest
from datasets import Dataset, DatasetDict

from data_prep.dataset_folder import DatasetKind
from data_prep.sources.source_files.splits import split_of_name
from pipelines.errors import UserError
from tests.data_prep.sources.reading import json_lines, read_source, rows_of, write


@pytest.mark.parametrize(("name", "split"), [
    ("train.jsonl", "train"), ("data/train-00000-of-00002.parquet", "train"), ("dev.json", "validation"),
    ("test/a.jsonl", "test"), ("set_val.csv", "validation"), ("train/test.json", "train"), ("Test.JSONL", "test"),
    ("trained.jsonl", None), ("latest.jsonl", None), ("rows.jsonl", None),
])  # fmt: skip
def test_names_of_files_and_folders_say_their_split(name, split):
    assert split_of_name(name) == split


def test_only_train_is_read_of_several_splits_and_one_line_says_so(tmp_path, capsys):
    for name in ("train", "test", "validation", "more"):
        write(tmp_path / f"{name}.jsonl", json_lines(rows_of([name])))
    read = read_source(tmp_path)
    assert read.outputs == ["more", "train"]
    assert capsys.readouterr().err == (
        f"{tmp_path.name}: reads the split train, not test, validation (--split all reads all)\n"
    )
    assert (read.entry["splits"], read.entry["splits_not_read"]) == (["train"], ["test", "validation"])


@pytest.mark.parametrize(("split", "outputs"), [
    ("all", ["test", "train"]), ("test", ["test"]), ("train+test", ["test", "train"]),
])  # fmt: skip
def test_other_splits_can_be_chosen(tmp_path, split, outputs):
    for name in ("train", "test"):
        write(tmp_path / name / "rows.jsonl", json_lines(rows_of([name])))
    assert read_source(tmp_path, split=split).outputs == outputs


def test_a_folder_of_one_split_is_read_whole(tmp_path, capsys):
    write(tmp_path / "test.jsonl", json_lines(rows_of(["a"])))
    write(tmp_path / "b.jsonl", json_lines(rows_of(["b"])))
    assert read_source(tmp_path).outputs == ["b", "a"]
    assert capsys.readouterr().err == ""


def test_a_split_that_does_not_exist_is_an_error(tmp_path):
    write(tmp_path / "train.jsonl", json_lines(rows_of(["a"])))
    with pytest.raises(UserError, match=r"has the splits train, not dev; name them with --split, or --split all"):
        read_source(tmp_path, split="dev")


def test_a_saved_dataset_is_read_without_the_caches_in_its_folder(tmp_path):
    rows = Dataset.from_list(rows_of("abc"))
    rows.save_to_disk(tmp_path / "saved", num_shards=2)
    rows.select([0]).save_to_disk(tmp_path / "other")
    cache = next((tmp_path / "other").glob("*.arrow"))
    cache.rename(tmp_path / "saved" / "cache-0123.arrow")
    read = read_source(tmp_path / "saved")
    assert read.outputs == ["a", "b", "c"]
    assert read.entry["format"] == "arrow"
    assert [place.partition(":")[2] for place in read.places] == ["1", "2", "1"]


def test_a_saved_dataset_of_several_splits_is_read_by_split(tmp_path, capsys):
    splits = {name: Dataset.from_list(rows_of([name])) for name in ("train", "test")}
    DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    assert read_source(tmp_path / "saved").outputs == ["train"]
    assert "reads the split train, not test" in capsys.readouterr().err
    assert read_source(tmp_path / "saved", split="all").outputs == ["train", "test"]


def test_a_saved_dataset_cannot_name_files_outside_its_folder(tmp_path):
    Dataset.from_list(rows_of("a")).save_to_disk(tmp_path / "secret")
    Dataset.from_list(rows_of("b")).save_to_disk(tmp_path / "saved")
    state = json.loads((tmp_path / "saved" / "state.json").read_text())
    state["_data_files"].append({"filename": "../secret/data-00000-of-00001.arrow"})
    (tmp_path / "saved" / "state.json").write_text(json.dumps(state))
    read = read_source(tmp_path / "saved")
    assert read.outputs == ["b"]
    assert [reason for _, reason in read.reasons] == ["outside_the_folder"]


def test_text_files_may_be_compressed_and_in_other_encodings(tmp_path):
    import gzip

    german = "Die größere Straße führt über die Brücke zu den schönen Gärten.\n" * 3
    write(tmp_path / "a.txt.gz", gzip.compress(b"Packed\r\n"))
    write(tmp_path / "b.txt", german.encode("cp1252"))
    write(tmp_path / "c.md", b"\xff\xfe" + "Wide\n".encode("utf-16-le"))
    write(tmp_path / "d.rst", "Ma szép idő van, őszintén örülök.".encode("cp1250"))
    read = read_source(tmp_path, DatasetKind.CORPUS)
    assert [row.fields["text"] for row in read.rows] == ["Packed\n", german, "Wide\n"]
    assert read.reasons == [("d.rst", "not_utf8")]
    with pytest.raises(UserError, match=r"d\.rst is not UTF-8, and its encoding is not sure"):
        read_source(tmp_path, DatasetKind.CORPUS, strict=True)


def test_lines_of_a_text_file_are_read_as_a_stream(tmp_path):
    write(tmp_path / "a.txt", b"One\n\n  Two\r\n" + b"\xff\xfe\n" + b"Three")
    read = read_source(tmp_path / "a.txt", DatasetKind.CORPUS, format="text_lines")
    assert [(row.source_row, row.fields["text"]) for row in read.rows] == [
        ("a.txt:1", "One"), ("a.txt:3", "Two"), ("a.txt:5", "Three"),
    ]  # fmt: skip
    assert read.reasons == [("a.txt:4", "not_utf8")]

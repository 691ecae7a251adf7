import json
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.documents import DatasetRows, Scope, TextDocuments, read_dataset
from pipelines.files import sha256_of_file

TEXT = "\n\nTitle\n \nOne line.\nAnother.\n\n\n  Last, indented.\n\n"


def rows_of(*rows: dict[str, Any]) -> DatasetRows:
    return DatasetRows(list(enumerate(rows, start=1)), {"path": "f"})


@pytest.mark.parametrize(("cut", "texts"), [
    ("file", ["\n\nTitle\n \n", "One line.\nAnother.\n\n\n", "  Last, indented.\n\n"]),
    ("paragraph", ["Title", "One line.\nAnother.", "  Last, indented."]),
    ("line", ["Title", "One line.", "Another.", "  Last, indented."]),
])  # fmt: skip
def test_a_text_file_is_one_text_in_passages_or_cut_into_documents(tmp_path, cut, texts):
    path = tmp_path / "text.raw"
    path.write_text(TEXT)
    dataset = read_dataset(str(path), "test", text_documents=TextDocuments(cut))
    found = dataset.in_scope(Scope.TEXT)
    assert found.items == texts
    assert found.follow_on == (cut == "file")
    assert found.follow_on == ("".join(found.items) == TEXT)
    assert dataset.description == {
        "path": str(path), "split": None, "sha256": sha256_of_file(path), "text_documents": cut,
    }  # fmt: skip


def test_a_text_without_blank_lines_has_its_lines_as_passages(tmp_path):
    (tmp_path / "text.txt").write_text("one\ntwo\nthree")
    dataset = read_dataset(str(tmp_path / "text.txt"), "test")
    assert dataset.in_scope(Scope.TEXT).items == ["one\n", "two\n", "three"]
    assert dataset.limited(2, seed=5).in_scope(Scope.TEXT).items == ["one\n", "two\n"], "a text is cut at its end"


def test_a_sample_of_rows_keeps_their_order_and_their_numbers():
    dataset = rows_of(*({"text": str(number)} for number in range(1, 101)))
    drawn = dataset.limited(10, seed=3).rows
    assert drawn == dataset.limited(10, seed=3).rows != dataset.limited(10, seed=4).rows
    assert len(drawn) == 10
    assert all(row["text"] == str(number) for number, row in drawn)
    assert [number for number, _ in drawn] == sorted(number for number, _ in drawn)
    assert dataset.limited(None, seed=3) is dataset


def test_the_scope_follows_the_rows_and_empty_texts_are_left_out_with_their_sources():
    instructions = rows_of(*({"instruction": "a", "output": f"b{n}"} for n in range(2)))
    assert rows_of({"text": "a"}).default_scopes() == [Scope.TEXT]
    assert instructions.default_scopes() == [Scope.RESPONSE]
    assert instructions.in_scope(Scope.TEXT).items == ["b0", "b1"]
    texts = rows_of({"text": "a", "source": "x"}, {"text": "", "source": "y"}, {"text": "b"}).in_scope(Scope.TEXT)
    assert (texts.items, texts.sources) == (["a", "b"], ["x", None])


@pytest.mark.parametrize(("row", "scope", "message"), [
    ({"instruction": "a"}, Scope.TEXT, "row 7 of f has the columns instruction, expected text in `text` or"),
    ({"text": 3}, Scope.TEXT, "row 7 of f has a int, expected text in `text` or `output`"),
    ({"instruction": "a", "output": ""}, Scope.RESPONSE, "row 7 of f has an empty answer"),
    ({"instruction": "a", "output": None}, Scope.RESPONSE, "the columns instruction, output, expected an answer"),
    ({"text": "a"}, Scope.RESPONSE, "row 7 of f has the columns text, expected an answer"),
    ({"instruction": "a", "output": ["b"]}, Scope.RESPONSE, "'output' in row 7 of f is a list, expected text"),
    ({"text": "alone"}, Scope.TEXT, "f has 1 document with text, expected two or more, for an interval"),
])  # fmt: skip
def test_rows_that_cannot_be_measured_are_refused_by_number(row, scope, message):
    with pytest.raises(UserError, match=message):
        DatasetRows([(7, row)], {"path": "f"}).in_scope(scope)


@pytest.mark.parametrize("name", ["no/dataset-of-this-name", "no-dataset-of-this-name"])
def test_a_hub_id_that_cannot_be_had_is_refused_in_one_line(name):
    with pytest.raises(UserError, match=f"cannot load the split test of {name}"):
        read_dataset(name, "test", config="default", revision="main")


@pytest.mark.parametrize("path", ["no/such.jsonl", "no-such.txt", "no/folder/of/ours"])
def test_what_can_only_be_a_path_is_not_asked_of_the_hub(path):
    with pytest.raises(UserError, match=f"--dataset {path} does not exist; give a dataset folder"):
        read_dataset(path, "test")


def test_a_folder_of_another_kind_is_read_as_the_hub_would_read_it(tmp_path):
    with pytest.raises(UserError, match=r"cannot load the split test of .*any data file"):
        read_dataset(str(tmp_path), "test")
    for split, text in {"train": "a", "test": "b"}.items():
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"text": text}) + "\n")
    found = read_dataset(str(tmp_path), "test")
    assert found.rows == [(1, {"text": "b"})]
    (tmp_path / "test.jsonl").write_text(json.dumps({"text": "c"}) + "\n")
    again = read_dataset(str(tmp_path), "test")
    assert again.rows == [(1, {"text": "c"})], "not what was read before"
    assert again.description["sha256"] != found.description["sha256"]
    with pytest.raises(UserError, match="has no split 'other'; choose one of train, test"):
        read_dataset(str(tmp_path), "other")


@pytest.mark.parametrize("flag", ["config", "revision"])
def test_what_belongs_to_the_hub_is_refused_for_a_local_file(tmp_path, flag):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(UserError, match=r"are for a Hub dataset, but .* is local; leave those flags out"):
        read_dataset(str(tmp_path / "rows.jsonl"), "test", **{flag: "main"})  # type: ignore[arg-type]

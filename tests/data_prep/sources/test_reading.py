import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_prep.dataset_folder import DatasetKind, SplitSizes, write_dataset_folder
from data_prep.sources import parse_column_map, recognize
from pipelines.errors import UserError
from tests.data_prep.sources.reading import ReadSource, read_source

INSTRUCTIONS, CORPUS = DatasetKind.INSTRUCTIONS, DatasetKind.CORPUS
FUNCTION = 'def f():\n    """Do."""\n    return {}\n'


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return path


def read(path: Path, kind: DatasetKind = INSTRUCTIONS, column_map: str | None = None) -> ReadSource:
    return read_source(path, kind, column_map=parse_column_map(column_map, kind))


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("names", [
    ("instruction", "input", "output"), ("instruction", "input", "response"), ("question", "context", "answer"),
    ("prompt", "context", "completion"),
])  # fmt: skip
def test_known_column_names_need_no_map(tmp_path, names):
    path = write_rows(tmp_path / "a.json", [dict(zip(names, (" Add. ", "1 2", "3\n"), strict=True))])
    (row,) = read(path).rows
    assert row.fields == {"instruction": "Add.", "input": "1 2", "output": "3"}
    assert (row.source, row.source_row) == ("a.json", "1")


def test_a_column_map_wins_over_known_names(tmp_path):
    path = write_rows(tmp_path / "a.json", [{"instruction": "no", "ask": "yes", "output": "no", "say": "yes"}])
    assert read(path, column_map="instruction=ask, output=say").rows[0].fields == {
        "instruction": "yes",
        "input": "",
        "output": "yes",
    }


def test_the_own_name_wins_over_an_alias(tmp_path):
    path = write_rows(tmp_path / "a.json", [{"prompt": "no", "instruction": "yes", "answer": "no", "output": "yes"}])
    assert set(read(path).rows[0].fields.values()) == {"yes", ""}


@pytest.mark.parametrize(("rows", "column_map", "message"), [
    (
        [{"ask": "a", "say": "b"}],
        None,
        "no column for instruction .*, only ask, say; .*--column_map instruction=NAME",
    ),
    ([{"instruction": "a"}], None, "no column for output"),
    ([{"instruction": "a", "output": "b"}], "output=anser", r"\(anser\), only instruction, output"),
    ([{"instruction": "a", "output": "b"}], "input=ctx", r"no column for input \(ctx\)"),
    ([{"question": "a", "answer": "b"}], "output=question", "no column for instruction"),
    ([{"question": "a", "answer": "b"}], "output=question,instruction=question", "two columns are read from one"),
    ([], None, "a.json has no rows"),
])  # fmt: skip
def test_rows_whose_columns_are_unknown_are_an_error(tmp_path, rows, column_map, message):
    with pytest.raises(UserError, match=message):
        read(write_rows(tmp_path / "a.json", rows), column_map=column_map)


@pytest.mark.parametrize("text", ["answer=output", "output", "output=", "text=a"])
def test_a_column_map_that_maps_nothing_of_ours_is_refused(text):
    with pytest.raises(UserError, match=r"has '(answer|text)', expected|for output; write it like output="):
        parse_column_map(text, INSTRUCTIONS)


def test_values_that_are_no_text_are_rejected_and_numbers_are_written_out(tmp_path):
    values: list[Any] = [4, 0.5, None, ["a"], {"b": 1}, True, "\ud800"]
    path = write_rows(tmp_path / "a.json", [{"instruction": "a", "output": value} for value in values])
    content = read(path)
    assert [row.fields["output"] for row in content.rows] == ["4", "0.5", "", "true"]
    reasons = [(row.source_row, row.reason) for row in content.rejected]
    assert reasons == [(n, "output_is_not_text") for n in "45"] + [("7", "not_unicode")]


def test_the_first_line_of_a_code_answer_keeps_its_indentation(tmp_path):
    answers = ["\n    a = 1\n    return a\n\n", "  one line \n"]
    path = write_rows(tmp_path / "a.json", [{"instruction": "a", "output": answer} for answer in answers])
    assert [row.fields["output"] for row in read(path).rows] == ["    a = 1\n    return a", "one line"]


def test_equal_instructions_share_a_group_whatever_their_case_and_blanks(tmp_path):
    asked = ["What is  love?", "what is love? ", "What is hate?"]
    path = write_rows(tmp_path / "a.json", [{"instruction": text, "output": text} for text in asked])
    groups = [row.group for row in read(path).rows]
    assert groups[0] == groups[1] != groups[2]


def test_a_folder_of_row_files_is_read_in_order_with_file_names(tmp_path):
    write_rows(tmp_path / "set" / "b.json", [{"instruction": "b", "output": "b"}])
    write_rows(tmp_path / "set" / "a.json", [{"instruction": "a", "output": "a"}] * 2)
    (tmp_path / "set" / "README.md").write_text("# A set")
    content = read(tmp_path / "set")
    assert [row.source_row for row in content.rows] == ["a.json:1", "a.json:2", "b.json:1"]
    assert content.counts.n_rows == 3
    assert len(content.entry["sha256"]) == 64


def test_a_source_that_is_nowhere_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"--source .*rows\.jsonl is not a file"):
        read(tmp_path / "rows.jsonl")
    with pytest.raises(UserError, match="is not a file, a folder or a Hub id"):
        read_source("data/rows.csv", INSTRUCTIONS)


def test_a_hub_id_without_the_hub_is_an_error_of_one_line():
    with pytest.raises(UserError, match="is not a path, and reading it from the Hub failed") as raised:
        read_source("nobody/nothing@v1", INSTRUCTIONS)
    assert "\n" not in str(raised.value)


def test_a_built_dataset_folder_is_no_source(tmp_path):
    row = dict.fromkeys(("instruction", "input", "output", "source", "source_row", "group"), "x")
    sizes = SplitSizes(0.0, 0.0)
    write_dataset_folder(
        tmp_path / "out", [row], kind=INSTRUCTIONS, split_sizes=sizes, seed=0, sources=[], rejected=[], command="x"
    )
    with pytest.raises(UserError, match="is a dataset folder: a second split"):
        read(tmp_path / "out")


@pytest.mark.parametrize("kind", [INSTRUCTIONS, CORPUS])
def test_an_empty_folder_is_an_error(tmp_path, kind):
    with pytest.raises(UserError, match="holds no such file"):
        read(tmp_path, kind)
    with pytest.raises(UserError, match=r"has no files ending in .*; name another --source"):
        read_source(tmp_path, kind, format="python_tree")


def test_formats_are_recognised_by_what_a_folder_holds_most_of(tmp_path):
    package = tree(
        tmp_path / "package", {"a.py": "", "b.py": "", "README.md": "x", "tests/1.json": "", "tests/2.json": ""}
    )
    books = tree(tmp_path / "books", {"a.txt": "x", "b.md": "x", "convert.py": ""})
    assert recognize(package, INSTRUCTIONS) == recognize(package, CORPUS) == "python_tree"
    assert recognize(books, CORPUS) == "text_tree"
    assert recognize(books / "a.txt", CORPUS) == "text_tree"
    with pytest.raises(UserError, match=r"ends in \.txt"):
        recognize(books / "a.txt", INSTRUCTIONS)
    with pytest.raises(UserError, match=r"use data_prep/build_corpus.py"):
        read_source(books, INSTRUCTIONS, format="text_tree")


def test_test_code_and_installed_packages_are_skipped_and_counted(tmp_path):
    kept = {"b.py": FUNCTION.format(1), "a/__init__.py": FUNCTION.format(2), "a/b/c.py": FUNCTION.format(3)}
    skipped = dict.fromkeys(
        [
            "test/x.py",
            "a/tests/x.py",
            "lib/site-packages/x.py",
            ".git/x.py",
            "a/__pycache__/x.py",
            "test_a.py",
            "a_test.py",
        ],
        FUNCTION.format(4),
    )
    content = read(tree(tmp_path / "src", {**kept, **skipped}))
    assert [row.group for row in content.rows] == ["a", "a.b.c", "b"]
    assert Counter(row.reason for row in content.rejected) == {
        "test_folder": 2,
        "installed_packages_folder": 1,
        "hidden_folder": 1,
        "cache_folder": 1,
        "test_file": 2,
    }


def test_corpus_documents_are_whole_files_with_module_groups(tmp_path):
    root = tree(tmp_path / "src", {"a/__init__.py": "\n\nx = 1\n\n", "a/b.py": "", "c.py": "def", "d.py": "y = 2"})
    content = read(root, CORPUS)
    assert [(row.fields["text"], row.group) for row in content.rows] == [("x = 1\n", "a"), ("y = 2\n", "d")]
    assert {(row.source_row, row.reason) for row in content.rejected} == {
        ("a/b.py", "empty_text"),
        ("c.py", "does_not_parse"),
    }


def test_text_files_are_documents_of_their_own_group(tmp_path):
    root = tree(tmp_path / "books", {"a.txt": "Alice\n", "b/c.md": "# Bob", "empty.rst": " \n"})
    (root / "latin.txt").write_bytes(b"caf\xe9")
    content = read(root, CORPUS)
    assert [(row.fields["text"], row.group) for row in content.rows] == [("Alice\n", "a.txt"), ("# Bob\n", "b/c.md")]
    assert {(row.source_row, row.reason) for row in content.rejected} == {
        ("empty.rst", "empty_text"),
        ("latin.txt", "not_utf8"),
    }


@pytest.mark.parametrize(("metadata", "licence"), [
    ("License-Expression: MIT\nClassifier: License :: OSI Approved :: BSD License\n", "MIT"),
    ("License: BSD-3-Clause\n", "BSD-3-Clause"),
    (
        "License: UNKNOWN\nClassifier: License :: OSI Approved :: Apache Software License\n",
        "Apache Software License",
    ),
    ("License: ====\n        Copyright 2015\nClassifier: License :: OSI Approved :: BSD License\n", "BSD License"),
    ("", "not stated"),
])  # fmt: skip
def test_a_pip_target_tree_lists_its_packages_with_licences(tmp_path, metadata, licence):
    head = f"Metadata-Version: 2.4\nName: toy-package\nVersion: 1.2\n{metadata}"
    root = tree(tmp_path / "target", {"toy/a.py": FUNCTION.format(1), "toy_package-1.2.dist-info/METADATA": head})
    assert read(root).entry["distributions"] == [{"name": "toy-package", "version": "1.2", "license": licence}]
    assert "distributions" not in read(root / "toy").entry


def test_real_rows_are_read_with_their_own_column_names(shared_data):
    files = {
        "alpaca-52k/alpaca_data.json.gz": 52002,
        "splits/dolly_dev.jsonl": 13977,
        "gpteacher/codegen-instruct.json": 4535,
        "llms-from-scratch/instruction-data.json": 1100,
    }
    for name, n_rows in files.items():
        content = read(shared_data / name)
        assert len(content.rows) == content.counts.n_rows == n_rows, name
        assert all(row.fields["instruction"] for row in content.rows), name


def test_a_json_file_of_one_task_is_read_by_its_instances(tmp_path):
    instances = [{"id": "1", "input": "2 + 2", "output": ["4"]}]
    (tmp_path / "task.json").write_text(json.dumps({"Definition": ["Add."], "Instances": instances}, indent=1))
    [row] = read(tmp_path / "task.json").rows
    assert row.fields == {"instruction": "Add.", "input": "2 + 2", "output": "4"}
    (tmp_path / "task.json").write_text('{\n"Definition": ["Add."], "Instances": [\n')
    with pytest.raises(UserError, match=r"task\.json is not valid JSON: .* on line 3"):
        read(tmp_path / "task.json")


def test_a_text_file_of_any_name_is_a_document_of_a_corpus(tmp_path):
    (tmp_path / "wiki.tokens").write_text("= Title =\nWords.\n")
    (tmp_path / "picture.img").write_bytes(b"\x89PNG\0\1")
    assert [row.fields for row in read(tmp_path / "wiki.tokens", CORPUS).rows] == [{"text": "= Title =\nWords.\n"}]
    with pytest.raises(UserError, match=r"ends in \.img"):
        read(tmp_path / "picture.img", CORPUS)
    lines = read_source(tmp_path / "wiki.tokens", CORPUS, format="text_lines").rows
    assert [(row.source_row, row.fields["text"]) for row in lines] == [
        ("wiki.tokens:1", "= Title ="),
        ("wiki.tokens:2", "Words."),
    ]


def test_a_wrong_column_names_the_nearest_ones(tmp_path):
    path = write_rows(tmp_path / "a.json", [{"question_text": "a", "answer_text": "b"}])
    with pytest.raises(UserError, match=r"only question_text, answer_text; did you mean question_text"):
        read(path, column_map="instruction=questiontext,output=answer_text")
    with pytest.raises(UserError, match=r"for texts without a question use data_prep/build_corpus\.py"):
        read(write_rows(tmp_path / "b.json", [{"text": "a"}]))

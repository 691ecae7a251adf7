"""A dataset on the Hub is read by its files, at one revision, with the real client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_prep.sources.source_files.hub import is_hub_id
from tests.hub_server.real_client import ClientError, RealClient
from tests.hub_server.server import LocalHub

CARD = """---
configs:
- config_name: main
  data_files:
  - {split: train, path: "main/*.jsonl"}
  - {split: test, path: "main_test.jsonl"}
- config_name: few
  data_files: few.jsonl
---
"""
READ = """
from data_prep.dataset_folder import DatasetKind
from data_prep.sources import ReadCounts, ReadOptions, plan_source, read_unit
chosen = ReadOptions(DatasetKind(options.pop("kind", "instructions")), **options)
plan = plan_source(source, chosen, source)
items = [item for unit in plan.units for item in read_unit(unit, chosen, ReadCounts())]
answer = {"rows": [[item.source_row, list(item.fields.values())[-1]] for item in items], "entry": plan.entry}
"""


def lines(*outputs: str) -> str:
    return "".join(json.dumps({"instruction": "a", "output": output}) + "\n" for output in outputs)


class Datasets:
    """Datasets on a local Hub, and reading them in a child process."""

    def __init__(self, client: RealClient) -> None:
        self._client = client

    def add(self, name: str, **files: str) -> str:
        """A commit with the files of a dataset, and its id."""
        code = (
            "api.create_repo(name, repo_type='dataset', exist_ok=True)\n"
            "operations = [CommitOperationAdd(path, text.encode('latin-1')) for path, text in files.items()]\n"
            "answer = api.create_commit(name, operations, commit_message='rows', repo_type='dataset').oid"
        )
        return self._client.run(code, name=name, files=files)

    def read(self, source: str, **options: Any) -> dict[str, Any]:
        """Rows and manifest entry of a source."""
        return self._client.run(READ, source=source, options=options)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasets]:
    folder = tmp_path_factory.mktemp("hub")
    with LocalHub(folder) as hub:
        environment = hub.environment(hub.add_user("ann")) | {"PYTHONPATH": str(Path(__file__).resolve().parents[4])}
        with RealClient(environment) as client:
            yield Datasets(client)


def test_the_train_split_is_read_at_a_revision_with_the_commit_in_the_manifest(datasets):
    first = datasets.add("ann/rows", **{"train.jsonl": lines("old")})
    second = datasets.add("ann/rows", **{"train.jsonl": lines("2024-01-01", "b"), "test.jsonl": lines("c")})
    assert datasets.read(f"ann/rows@{first}")["rows"] == [["1", "old"]]
    read = datasets.read("ann/rows")
    assert read["rows"] == [["1", "2024-01-01"], ["2", "b"]]
    assert read["entry"]["revision"] == second
    assert read["entry"]["splits_not_read"] == ["test"]
    both = datasets.read("ann/rows", split="test+train")["rows"]
    assert both == [["test.jsonl:1", "c"], ["train.jsonl:1", "2024-01-01"], ["train.jsonl:2", "b"]]


def test_a_dataset_with_several_configurations_needs_one(datasets):
    rows = {
        "main/a.jsonl": lines("a"),
        "main/b.jsonl": lines("b"),
        "main_test.jsonl": lines("t"),
        "few.jsonl": lines("f"),
    }
    datasets.add("ann/configs", **{"README.md": CARD, **rows})
    assert datasets.read("ann/configs", config="main")["rows"] == [["main/a.jsonl:1", "a"], ["main/b.jsonl:1", "b"]]
    with pytest.raises(ClientError, match=r"has the configurations main, few; choose one with --dataset_config"):
        datasets.read("ann/configs")


def test_text_files_of_the_hub_are_documents_of_a_corpus(datasets):
    datasets.add("ann/texts", **{"train.txt": "One document.\nOf two lines."})
    assert datasets.read("ann/texts", kind="corpus")["rows"] == [["train.txt", "One document.\nOf two lines.\n"]]


@pytest.mark.parametrize(("files", "message"), [
    ({"code.py": "import os", "a.jsonl": "{}"}, r"has a loading script, code\.py, and no code of a dataset is run"),
    ({"rows.pkl": "\x80"}, r"has its rows in a pickle, rows\.pkl, which can run any code"),
    ({"train.txt": "a line"}, r"has its rows in train\.txt, expected files ending in \.json"),
    ({"rows.bin": "x"}, r"reading it from the Hub failed with DataFilesNotFoundError"),
])  # fmt: skip
def test_a_dataset_that_only_code_can_read_is_refused(datasets, files, message):
    name = "ann/code" if "code.py" in files else f"ann/refused-{len(str(files))}"
    datasets.add(name, **files)
    with pytest.raises(ClientError, match=message) as refused:
        datasets.read(name)
    assert refused.value.name == "UserError"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "is_id"), [
    ("owner/name", True), ("owner/name@v1.0", True), ("owner/name@refs/convert/parquet", True), ("name", False),
    ("data/rows.jsonl", False), ("data/rows.csv.xz", False), ("./name", False), ("a/b/c", False),
])  # fmt: skip
def test_what_is_not_a_path_can_be_a_hub_id(name, is_id):
    assert is_hub_id(name) is is_id

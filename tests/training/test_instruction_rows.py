"""A recipe's rows come from a folder of ours, a file or the Hub, or the run does not start."""

import json
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.recipe import DataArguments
from pipelines.training.instruction_rows import dataset_fingerprint, instruction_rows


def jsonl(path: Path, *rows: dict[str, str]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_local_file_is_understood_as_it_is(tmp_path: Path) -> None:
    name = jsonl(tmp_path / "rows.jsonl", {"instruction": "q", "output": "a", "note": "unused"})
    train, held_out = instruction_rows(DataArguments(dataset_name=name), evaluates=False)
    assert train.to_list() == [{"instruction": "q", "input": "", "output": "a"}]
    assert held_out is None


def test_a_single_file_has_no_split_to_evaluate_on(tmp_path: Path) -> None:
    name = jsonl(tmp_path / "rows.jsonl", {"instruction": "q", "output": "a"})
    with pytest.raises(UserError, match="eval_strategy"):
        instruction_rows(DataArguments(dataset_name=name), evaluates=True)


@pytest.mark.parametrize(("name", "expected"), [(None, "dataset_name"), ("no/such/dataset", "a Hub dataset")])
def test_a_dataset_that_is_not_there_is_one_line(name: str | None, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        instruction_rows(DataArguments(dataset_name=name), evaluates=False)


def test_the_fingerprint_follows_the_rows_and_not_their_place(tmp_path: Path) -> None:
    def fingerprint(name: str, output: str) -> str:
        path = jsonl(tmp_path / name, {"instruction": "q", "output": output})
        return dataset_fingerprint(instruction_rows(DataArguments(dataset_name=path), evaluates=False)[0])

    assert fingerprint("one.jsonl", "a") == fingerprint("two.jsonl", "a") != fingerprint("three.jsonl", "b")

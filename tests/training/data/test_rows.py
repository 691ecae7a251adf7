"""A recipe's rows come from a folder of ours, a file, the Hub or a mixture, or the run does not start."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.recipe.arguments import DataArguments
from pipelines.training.data.rows import recipe_rows, rows_fingerprint
from tests.run_files import write_jsonl


def jsonl(path: Path, *rows: dict[str, Any]) -> str:
    return str(write_jsonl(path, rows))


def train_rows(**keys: Any) -> Any:
    return recipe_rows(DataArguments(**keys), 0, evaluates=False)[0]


def mixed(*paths: str, **keys: Any) -> Any:
    return train_rows(datasets=[{"path": path, **keys} for path in paths])


def numbered(path: Path, name: str, n: int) -> str:
    return jsonl(path / f"{name}.jsonl", *({"instruction": f"{name} {i}", "output": "a"} for i in range(n)))


def test_a_local_file_is_read_and_nested_values_keep_their_own_keys(tmp_path):
    name = jsonl(tmp_path / "rows.jsonl", {"instruction": "q", "output": "a", "note": 3})
    train, held_out = recipe_rows(DataArguments(dataset_name=name), 0, evaluates=False)
    assert train.to_list() == [{"instruction": "q", "output": "a", "note": "3"}]
    assert held_out is None
    rows: list[dict[str, Any]] = [{"messages": [{"x": {"city": "Ulm"}}]}, {"messages": [{"x": {"a": 1, "b": [2]}}]}]
    assert train_rows(dataset_name=jsonl(tmp_path / "rows.jsonl", *rows)).to_list() == rows


def test_a_single_file_is_split_by_test_split_size_with_the_seed(tmp_path):
    name = numbered(tmp_path, "rows", 40)
    with pytest.raises(UserError, match="eval_strategy"):
        recipe_rows(DataArguments(dataset_name=name), 0, evaluates=True)
    arguments = DataArguments(dataset_name=name, test_split_size=0.25)
    parts = [recipe_rows(arguments, seed, evaluates=True) for seed in (0, 0, 1)]
    held_out = [sorted(part[1]["instruction"]) for part in parts if part[1] is not None]
    assert held_out[0] == held_out[1] != held_out[2]
    train, test = parts[0]
    assert test is not None
    assert (len(train), len(test)) == (30, 10)
    assert not set(train["instruction"]) & set(test["instruction"])


def test_a_mixture_takes_its_fractions_and_draws_no_row_twice(tmp_path):
    one, two = numbered(tmp_path, "one", 30), numbered(tmp_path, "two", 10)
    train = mixed(one, two, fraction=0.5)
    assert [sum(text.startswith(name) for text in train["instruction"]) for name in ("one", "two")] == [10, 10]
    assert len(set(mixed(one, two)["instruction"])) == 40


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        ({"weight": 0.5}, "write fraction"),
        ({"columns": ["answer"]}, "expected answer"),
        ({"fraction": 0.5}, "for every entry"),
    ],
)
def test_a_mixture_that_cannot_be_meant_is_one_line(tmp_path, part, complaint):
    one = numbered(tmp_path, "one", 3)
    with pytest.raises(UserError, match=complaint):
        train_rows(datasets=[{"path": one, **part}, {"path": one}])


def test_parts_with_other_columns_are_named(tmp_path):
    one, two = numbered(tmp_path, "one", 3), jsonl(tmp_path / "two.jsonl", {"output": {"deep": 1}})
    with pytest.raises(UserError, match=r"one\.jsonl: instruction, output; .*two\.jsonl: output"):
        mixed(one, two)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "dataset_name"),
        ({"dataset_name": "no/such/dataset"}, "cannot load the split train of no.such.dataset"),
        ({"dataset_name": "x", "dataset_streaming": True}, "remove streaming"),
    ],
)
def test_a_dataset_that_is_not_there_is_one_line(keys, expected):
    with pytest.raises(UserError, match=expected):
        train_rows(**keys)


def test_the_fingerprint_follows_the_rows_and_not_their_place(tmp_path):
    def fingerprint(name: str, output: str) -> str:
        path = jsonl(tmp_path / name, {"instruction": "q", "output": output})
        return rows_fingerprint(train_rows(dataset_name=path))

    assert fingerprint("one.jsonl", "a") == fingerprint("two.jsonl", "a") != fingerprint("three.jsonl", "b")


def test_a_folder_whose_files_changed_gives_its_new_rows(tmp_path):
    """`load_dataset` finds a folder with a card in its cache by name, and would give the old rows."""
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train.jsonl\n---\n"
    (folder / "README.md").write_text(card)
    for n in (3, 5):
        jsonl(folder / "data" / "train.jsonl", *({"instruction": f"q{i}", "output": "a"} for i in range(n)))
        assert len(train_rows(dataset_name=str(folder))) == n


def test_slices_are_obeyed_in_a_recipe_and_in_a_mixture(tmp_path):
    name = numbered(tmp_path, "rows", 40)
    for split, n_rows in (("train[:10]", 10), ("train[75%:]", 10), ("train", 40)):
        train = train_rows(dataset_name=name, dataset_train_split=split)
        assert len(train) == n_rows
        assert mixed(name, split=split)["instruction"] == train["instruction"]


def test_parts_of_a_mixture_are_each_read_by_their_own_format(tmp_path):
    one = jsonl(tmp_path / "one.jsonl", {"instruction": "a", "output": "b"})
    turns = [{"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}]
    two = jsonl(tmp_path / "two.jsonl", {"conversations": turns})
    messages = [{"role": "user", "content": "e"}]
    three = jsonl(tmp_path / "three.jsonl", {"messages": messages, "chat_template_kwargs": {"x": 1}})
    train = mixed(one, two, three)
    assert [row["messages"][0]["content"] for row in train] == ["a", "c", "e"]
    assert [row["chat_template_kwargs"] for row in train] == [None, None, {"x": 1}]
    text = jsonl(tmp_path / "text.jsonl", {"text": "a"})
    with pytest.raises(UserError, match=r"one\.jsonl: instruction, output; .*text\.jsonl: text"):
        mixed(one, text)


def test_columns_of_the_same_kind_but_other_nesting_are_mixed(tmp_path):
    turn = [{"role": "user", "content": "a"}]
    one = jsonl(tmp_path / "one.jsonl", {"prompt": "a", "chosen": "b", "rejected": "c"})
    two = jsonl(tmp_path / "two.jsonl", {"prompt": turn, "chosen": turn, "rejected": turn, "tools": [{"name": "f"}]})
    train = mixed(one, two)
    assert [row["prompt"] for row in train] == ["a", turn]
    assert [row["tools"] for row in train] == [None, [{"name": "f"}]]

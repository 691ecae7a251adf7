"""From an export of message trees to a report on a tiny model: one command for each stage."""

from pathlib import Path

import pytest
from datasets import load_dataset

from tests.chat_trees import chat_trees
from tests.conftest import PROJECT
from tests.run_files import read_json, read_jsonl, write_jsonl

SPLIT = ("--validation_size", "0.1", "--test_size", "0.2")
MESSAGES = chat_trees()
N_MESSAGES, N_DELETED = len(MESSAGES), sum(message["deleted"] for message in MESSAGES)
RECIPE = PROJECT / "tests/programs/recipes/chain_sft.yaml"


@pytest.fixture(scope="module")
def made(tmp_path_factory, run_cli, tiny_model_folder) -> Path:
    """A folder of trees.jsonl, chats/ (dataset folder), instruct/ (adapter) and comparison/."""
    folder = tmp_path_factory.mktemp("chat")
    source = write_jsonl(folder / "trees.jsonl", MESSAGES)
    chats, instruct = folder / "chats", folder / "instruct"
    run_cli("data_prep/build_instructions.py", "--source", source, *SPLIT, "--output", chats)
    run_cli("pipelines/sft.py", "--config", RECIPE, "--model_name_or_path", tiny_model_folder, "--max_length", "256",
            "--dataset_name", chats, "--output_dir", instruct)  # fmt: skip
    run_cli("pipelines/compare.py", "--base", tiny_model_folder, "--instruct", instruct, "--prompts", chats,
            "--all_turns", "--max_new_tokens", "8", "--num_samples", "0",
            "--output", folder / "comparison")  # fmt: skip
    return folder


def test_the_trees_become_conversations_of_several_turns_split_by_tree(made):
    manifest = read_json(made / "chats" / "manifest.json")
    splits = load_dataset(str(made / "chats"))
    groups = {name: set(rows["group"]) for name, rows in splits.items()}
    assert manifest["kind"] == "conversations"
    assert manifest["n_groups"] == {name: len(found) for name, found in groups.items()}
    assert sum(map(len, groups.values())) == len(set().union(*groups.values())), "a tree is in two splits"
    assert max(len(row["messages"]) for row in splits["train"]) == 4
    assert {row["messages"][0]["role"] for row in splits["train"]} == {"user"}
    assert manifest["n_rejected"]["deleted_message"] == N_DELETED
    assert manifest["n_read"] == N_MESSAGES


def test_every_training_tree_is_in_the_ledger_and_none_is_lost(made):
    ledger = read_json(made / "instruct" / "ledger.json")
    assert ledger["n_rows"] == ledger["kept"] == read_json(made / "chats" / "manifest.json")["n_rows"]["train"]


def test_the_report_compares_every_turn_and_resamples_whole_trees(made):
    record = read_json(made / "comparison" / "comparison.json")
    lines = read_jsonl(made / "comparison" / "responses.jsonl")
    rows = load_dataset(str(made / "chats"), split="test")
    n_turns = sum(message["role"] == "assistant" for row in rows for message in row["messages"])
    assert record["prompts"]["n"] == n_turns > len(rows)
    assert {line["group"] for line in lines} == set(rows["group"])
    likelihood = record["differences"]["instruct"]["response_bits_per_byte"]
    assert (likelihood["n"], likelihood["n_groups"]) == (n_turns, len(rows))
    assert likelihood["value"] < 0
    page = (made / "comparison" / "report.html").read_text()
    assert all(line["instruction"] in page for line in lines)

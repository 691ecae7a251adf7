"""Rows of conversations to a dataset folder and back: the same conversation, whatever the row format."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from data_prep import build_instructions
from data_prep.conversation import Conversation, RowFormat, read_row, row_format
from data_prep.dataset_folder import read_manifest, read_rows
from pipelines.recipe.arguments import DataArguments
from pipelines.training.data.rows import recipe_rows

CALL = {"type": "function", "function": {"name": "warmth", "arguments": {"place": "Ulm", "unit": None, "at": 1e-12}}}
TOOLS = [{"type": "function", "function": {"name": "warmth", "parameters": {"properties": {"at": {"default": None}}}}}]


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def build(source: Path, output: Path, *more: str) -> list[dict[str, Any]]:
    """The rows of a folder that is train alone."""
    sizes = ["--validation_size", "0", "--test_size", "0"]
    build_instructions.main(["--source", str(source), "--output", str(output), *sizes, *more])
    return read_rows(output, "train")


ROWS: dict[str, dict[str, Any]] = {
    "several turns": {
        "messages": [said("system", "s"), said("user", "a"), said("assistant", "\n\nb"), said("user", "c"),
                     said("assistant", "d")]
    },
    "weights": {"messages": [said("user", "a"), said("assistant", "b", weight=0), said("user", "c"),
                             said("assistant", "d", train=True)]},
    "a masked turn": {"messages": [said("user", "a"), said("assistant", "b", masked=True), said("user", "c"),
                                   said("assistant", "d")]},
    "thoughts": {"messages": [said("user", "a"), said("assistant", "b", thinking="t")]},
    "parts": {"messages": [said("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
                           said("assistant", "c")]},
    "tools": {"messages": [said("user", "a"), said("assistant", None, tool_calls=[CALL]), said("tool", "20"),
                           said("assistant", "d")], "tools": TOOLS},
    "calls as text": {"messages": [said("user", "a"), said("assistant", None, tool_calls=json.dumps([CALL])),
                                   said("tool", "20"), said("assistant", "d")], "tools": json.dumps(TOOLS)},
    "a call without arguments": {"messages": [said("user", "a"), said("assistant", "", tool_calls=[
        {"type": "function", "function": {"name": "now"}}]), said("tool", "20"), said("assistant", "d")]},
    "a call of the old form": {"messages": [said("user", "a"), said("assistant", None, function_call={
        "name": "now", "arguments": "{}"}), said("function", "20"), said("assistant", "d")]},
    "a call and a tool as text": {
        "messages": [said("user", "a"), said("assistant", "", tool_calls=[json.dumps(CALL)]), said("tool", "20"),
                     said("assistant", "d")],
        "tools": [{"name": "f", "parameters": "{}"}],
    },
    "one call without a list": {
        "messages": [said("user", "a"), said("assistant", "", tool_calls=CALL), said("tool", "20"),
                     said("assistant", "d")],
        "tools": TOOLS[0],
    },
    "a history of messages": {"instruction": "c", "output": "d",
                              "history": [said("user", "a"), said("assistant", "b")]},
    "sharegpt": {"system": "s", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "messages as text": {"messages": json.dumps([said("user", "a"), said("assistant", "b")])},
    "history": {"instruction": "c", "input": "i", "output": "d", "history": [["a", "b"]], "system": "s"},
    "prompt and completion": {"prompt": [said("user", "a"), said("assistant", "b"), said("user", "c")],
                              "completion": [said("assistant", "d")]},
    "template arguments": {"messages": [said("user", "a"), said("assistant", "b")],
                           "chat_template_kwargs": {"enable_thinking": False}},
}  # fmt: skip


def conversation(row: dict[str, Any]) -> Conversation:
    read = read_row(row, row_format(list(row), "text", "rows"))
    assert isinstance(read, Conversation)
    return read


@pytest.mark.parametrize("name", ROWS)
def test_a_conversation_comes_back_from_the_folder_as_it_was(tmp_path, name):
    row, other = ROWS[name], {"messages": [said("user", "x"), said("assistant", "y", tool_calls=[])]}
    output = tmp_path / "out"
    jsonl(tmp_path / "rows" / "a.jsonl", [row])
    jsonl(tmp_path / "rows" / "b.jsonl", [other])
    built = build(tmp_path / "rows", output)
    assert read_manifest(output)["kind"] == "conversations"
    expected, got = conversation(row), conversation(built[0])
    assert got.messages == expected.messages
    assert got.trained_turns() == expected.trained_turns()
    assert (got.tools, got.template_arguments) == (expected.tools, expected.template_arguments)
    assert "weight" not in str(built[1])
    trained, _ = recipe_rows(DataArguments(dataset_name=str(output)), 0, evaluates=False)
    plain = datasets.load_dataset(str(output), split="train", cache_dir=str(tmp_path / "cache"))
    assert list(trained) == list(plain) == built


def test_rows_of_text_alone_stay_instructions_and_keep_their_system_text(tmp_path):
    rows = [{"system": "In capitals.", "instruction": "a", "input": "", "output": "B"},
            {"instruction": "c", "input": "", "output": "d", "history": [], "tools": None}]  # fmt: skip
    built = build(jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out")
    assert read_manifest(tmp_path / "out")["kind"] == "instructions"
    assert [row["system"] for row in built] == ["In capitals.", None]
    assert [one["content"] for one in conversation(built[0]).messages] == ["In capitals.", "a", "B"]


def test_each_file_of_a_folder_is_read_by_its_own_columns(tmp_path):
    jsonl(tmp_path / "rows" / "a.jsonl", [{"instruction": "a", "input": "i", "output": "b"}] * 2)
    jsonl(tmp_path / "rows" / "b.jsonl", [{"messages": [said("user", "c"), said("assistant", "d")]}])
    jsonl(tmp_path / "rows" / "c.jsonl", [{"question": "e", "answer": "f"}])
    built = build(tmp_path / "rows", tmp_path / "out")
    texts = [[one["content"] for one in row["messages"]] for row in built]
    assert texts == [["a\n\ni", "b"], ["c", "d"], ["e", "f"]]
    assert read_manifest(tmp_path / "out")["n_rejected"] == {"duplicate": 1}
    jsonl(tmp_path / "rows" / "d.jsonl", [{"title": "no"}])
    build(tmp_path / "rows", tmp_path / "other")
    assert read_manifest(tmp_path / "other")["n_rejected"] == {"duplicate": 1, "columns_not_found": 1}


def test_files_of_every_row_format_in_a_folder_are_read(tmp_path):
    folder = tmp_path / "rows"
    jsonl(folder / "a.jsonl", [{"instruction": "a", "output": "1.10"}])
    (folder / "b.csv").write_text("question;answer\nb;NA\n")
    (folder / "c.ndjson").write_text('{"instruction": "c", "input": NaN, "output": 1.10}\n')
    (folder / "d.jsonl").write_text('{"instruction": "d", "output": true}\n')
    (folder / "package.json").write_text('{\n  "name": "rows"\n}\n')
    built = build(folder, tmp_path / "out")
    assert [(row["instruction"], row["input"], row["output"]) for row in built] == [
        ("a", "", "1.10"), ("b", "", "NA"), ("c", "", "1.10"), ("d", "", "true")]  # fmt: skip
    assert read_manifest(tmp_path / "out")["n_rejected"] == {"not_a_list_of_rows": 1}


def test_one_file_may_mix_rows_of_several_formats(tmp_path):
    rows = [{"instruction": "a", "output": "b"}, {"messages": [said("user", "c"), said("assistant", "d")]},
            {"instruction": None, "output": None, "messages": None}]  # fmt: skip
    built = build(jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out")
    assert [row["messages"][0]["content"] for row in built] == ["a", "c"]
    assert read_manifest(tmp_path / "out")["n_rejected"] == {"empty_instruction": 1}


def test_what_compare_reads_is_kept_and_the_rest_is_named(tmp_path, capsys):
    kept: dict[str, Any] = {
        "category": "sums", "references": ["4", "four"], "constraints": [{"kind": "n_words", "at_most": 3}],
        "tests": ["assert True"], "numeric_answer": 4.5,
    }  # fmt: skip
    rows: list[dict[str, Any]] = [{"instruction": "a", "output": "b", **kept, "url": "x", "kwargs": {"deep": 1}},
                                  {"instruction": "c", "output": "d", "url": "y", "empty": ""}]  # fmt: skip
    built = build(jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out")
    assert built[0].items() >= {**kept, "numeric_answer": "4.5"}.items()
    assert built[1].items() >= dict.fromkeys(kept).items()
    assert read_manifest(tmp_path / "out")["unread_columns"] == {"url": 2, "kwargs": 1}
    assert "columns not kept: url (2 rows), kwargs (1 rows)" in capsys.readouterr().out
    assert "not kept: `url` (2 rows)" in (tmp_path / "out" / "README.md").read_text()


def test_columns_of_known_test_sets_are_kept(tmp_path):
    head = 'def f(a):\n    """Half."""\n'
    code = {
        "prompt": head,
        "canonical_solution": "    return a / 2\n",
        "test": "def check(f): pass",
        "entry_point": "f",
    }
    ifeval = {
        "key": 1,
        "prompt": "Write.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{}],
        "response": "x",
    }
    mbpp = {"prompt": "Add.", "code": "def add(): ...", "test_list": ["assert 1"], "test_imports": [], "task_id": 3}
    maps = ["output=canonical_solution", "output=response", "output=code"]
    for number, (row, column_map) in enumerate(zip([code, ifeval, mbpp], maps, strict=True)):
        source = jsonl(tmp_path / f"{number}.jsonl", [row])
        [built] = build(source, tmp_path / f"out{number}", "--column_map", column_map)
        expected = {name: value for name, value in row.items() if name not in (column_map[7:], "prompt", "task_id")}
        assert built.items() >= {k: "1" if v == 1 else v for k, v in expected.items() if v != []}.items()
        assert built.get("prompt") == (head if number == 0 else None)


def test_unread_keys_of_messages_are_named(tmp_path):
    rows = [{"messages": [said("user", "a", images=["x"], tool_responses=None), said("assistant", "b", score=3)]}]
    build(jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out")
    assert read_manifest(tmp_path / "out")["unread_columns"] == {"messages.images": 1, "messages.score": 1}


def test_reasons_to_leave_a_conversation_out(tmp_path):
    whole = [said("user", "a"), said("assistant", "b"), said("user", "c"), said("assistant", "d")]
    rows = [
        {"messages": whole},
        {"messages": [{**one, "content": f" {one['content']}"} for one in whole]},
        {"messages": whole[:1]},
        {"messages": [said("user", " "), *whole[1:2]]},
        {"messages": [*whole[:3], said("assistant", "")]},
        {"messages": [*whole[:1], said("assistant", "", weight=0), *whole[2:]]},
        {"messages": [*whole[:3], said("assistant", "long" * 9)]},
        {"messages": [said("narrator", "x")]},
        {"messages": [said("user", "a"), said("assistant", "", tool_calls=[
            {"function": {"name": "f", "arguments": {"n": 2**70}}}])]},
        {"messages": [said("user", "\ud800"), said("assistant", "b")]},
    ]  # fmt: skip
    built = build(jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out", "--max_output_chars", "20")
    assert [row["source_row"] for row in built] == ["1", "6"]
    assert read_manifest(tmp_path / "out")["n_rejected"] == {
        "duplicate": 1, "empty_output": 1, "empty_prompt": 1, "integer_over_64_bits": 1, "no_answer": 1,
        "not_unicode": 1, "output_too_long": 1, "unknown_role: narrator": 1,
    }  # fmt: skip


def test_conversations_that_begin_alike_share_a_group_and_own_groups_win(tmp_path):
    def row(first: str, last: str, **more: Any) -> dict[str, Any]:
        return {"messages": [said("system", last), said("user", first), said("assistant", last)], **more}

    rows = [row("A b", "1"), row("a  B", "2"), row("c", "3"), row("a b", "4", group="tree 7", source="forum")]
    built = build(jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out")
    groups = [one["group"] for one in built]
    assert groups[0] == groups[1] != groups[2]
    assert (groups[3], built[3]["source"], built[3]["source_row"]) == ("tree 7", "forum", "rows.jsonl:4")
    assert read_manifest(tmp_path / "out")["unread_columns"] == {}
    assert RowFormat.MESSAGES is row_format(list(built[0]), "text", "out")

"""build_preferences.py: pairs in every form to a dataset folder, and a reason for each row left out."""

import json
from pathlib import Path

import pytest
from datasets import load_dataset

from data_prep.conversation import read_preference
from data_prep.dataset_folder import read_dataset_folder, read_rows
from tests.conftest import RunCli, one_line_error


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def build(run_cli: RunCli, source: Path, output: Path, *more: str, expect: int = 0) -> str:
    done = run_cli("data_prep/build_preferences.py", "--source", source, "--output", output, "--validation_size", "0",
                   "--test_size", "0", *more, expect=expect)  # fmt: skip
    return one_line_error(done) if expect else done.stdout


def said(speaker: str, text: str) -> dict:
    return {"from": speaker, "value": text}


def test_every_form_of_a_pair_becomes_four_texts(run_cli, tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [
        {"instruction": "a", "input": "i", "chosen": "b\n", "rejected": "c"},
        {"prompt": "a2", "chosen": {"value": "b"}, "rejected": {"content": "c"}},
        {"prompt": "a3", "chosen": turns, "rejected": [{"role": "assistant", "content": "c"}]},
        {"conversations": [said("human", "a4")], "chosen": said("gpt", "b"), "rejected": said("gpt", "c")},
    ]
    for number, row in enumerate(rows):
        folder = tmp_path / f"folder{number}"
        build(run_cli, write(tmp_path / f"rows{number}.jsonl", [row]), folder)
        [kept] = read_dataset_folder(folder, "train")
        assert kept["instruction"][0] == "a"
        assert (kept["input"], kept["chosen"], kept["rejected"]) == (row.get("input", ""), "b", "c")
    assert load_dataset(str(tmp_path / "folder0"), split="train").column_names == [
        "instruction", "input", "chosen", "rejected", "source", "source_row", "group"]  # fmt: skip


def test_whole_conversations_need_no_prompt_and_keep_their_system_text(run_cli, tmp_path):
    begin = [said("human", "a"), said("gpt", "x"), said("human", "y")]
    asked = said("human", "z")
    rows = [
        {"system": "s", "chosen": [*begin, said("gpt", "b")], "rejected": [*begin, said("gpt", "c")]},
        {"chosen": [asked, said("gpt", "b")], "rejected": [asked, said("gpt", "c")]},
    ]
    build(run_cli, write(tmp_path / "rows.jsonl", rows), tmp_path / "folder")
    first, second = read_rows(tmp_path / "folder", "train")
    assert [one["content"] for one in first["prompt"]] == ["s", "a", "x", "y"]
    assert [first["chosen"][0]["content"], first["rejected"][0]["content"]] == ["b", "c"]
    assert [one["content"] for one in second["prompt"]] == ["z"]


def test_each_row_left_out_has_its_reason(run_cli, tmp_path):
    several = [said("human", "a"), said("gpt", "b"), said("human", "c")]
    rows = [
        {"instruction": "keep", "chosen": "b", "rejected": "c"},
        {"instruction": "keep", "chosen": "b", "rejected": "c "},
        {"instruction": "x", "chosen": "same", "rejected": " same\n"},
        {"instruction": "x", "chosen": "b", "rejected": ""},
        {"instruction": "x", "chosen": "b", "rejected": "long" * 9},
        {"instruction": [*several, said("narrator", "d")], "chosen": "b", "rejected": "c"},
    ]
    folder = tmp_path / "folder"
    stdout = build(run_cli, write(tmp_path / "rows.jsonl", rows), folder, "--max_output_chars", "20")
    expected = {"chosen_equals_rejected", "duplicate", "empty_rejected", "rejected_too_long",
                "unknown_role: narrator"}  # fmt: skip
    assert json.loads((folder / "manifest.json").read_text())["n_rejected"] == dict.fromkeys(sorted(expected), 1)
    lines = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert {line["reason"] for line in lines} == expected
    assert "chosen_equals_rejected" in stdout


def test_pairs_with_turns_and_tools_reach_training_as_they_are(run_cli, tmp_path):
    call = {"type": "function", "function": {"name": "now", "arguments": {"zone": None, "day": 1}}}
    tools = [{"type": "function", "function": {"name": "now", "parameters": {"default": None}}}]
    several = [said("human", "a"), said("gpt", "b"), said("human", "c")]
    rows: list[dict] = [
        {"system": "s", "prompt": several, "chosen": "d", "rejected": "e", "instruction": None},
        {"instruction": "one", "input": "i", "chosen": "d", "rejected": "e"},
        {
            "prompt": "what time",
            "chosen": [{"role": "assistant", "tool_calls": [call]}],
            "rejected": "e",
            "tools": tools,
        },
    ]
    folder = tmp_path / "folder"
    build(run_cli, write(tmp_path / "rows.jsonl", rows), folder)
    back = [read_preference(row) for row in read_rows(folder, "train")]
    assert back == [read_preference(row) for row in rows]
    assert back[2].chosen["tool_calls"] == [call]
    assert back[2].tools == tools
    assert list(load_dataset(str(folder), split="train"))[2]["tools"] == tools


@pytest.mark.parametrize(("row", "complaint"), [
    ({"instruction": "x", "chosen": "b", "rejected": "b"}, "1 rejected as chosen_equals_rejected"),
    ({"instruction": "x", "output": "b"}, "no column for chosen (chosen or chosen_messages), only instruction"),
])  # fmt: skip
def test_rows_without_any_preference_are_one_line(run_cli, tmp_path, row, complaint):
    assert complaint in build(run_cli, write(tmp_path / "rows.jsonl", [row]), tmp_path / "folder", expect=2)
    assert not (tmp_path / "folder").exists()


def test_python_files_hold_no_preferences(run_cli, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("x = 1\n")
    assert "holds no such file" in build(run_cli, tmp_path / "code", tmp_path / "out", expect=2)
    forced = build(run_cli, tmp_path / "code", tmp_path / "out", "--format", "python_tree", expect=2)
    assert "chosen and rejected answers" in forced

"""No file and no line that a build writes holds a private text: whether its row is kept, changed or left out."""

import json
import random

import pytest

from data_prep import build_instructions
from data_prep.cleaning.registry import DEFAULT_STEPS
from data_prep.dataset_folder import read_manifest, read_rows
from tests.data_prep.cleaning.made_keys import MAKERS
from tests.run_files import write_jsonl

ANSWER = "The tide turns twice a day because the moon pulls the sea, and the boats of the harbor wait for high water."


def private_texts():
    generator = random.Random(3)
    keys = [maker(generator) for maker in MAKERS.values()]
    return [*keys, "mara.quint@harborpost.org", "+49 151 23456789", "GB82 WEST 1234 5698 7654 32"]


def rows_with(private):
    """Rows that are kept, that each kind of step leaves out, and that no reader can read."""
    ask = f"What do I do with {private} today?"
    call = {"name": "send", "arguments": json.dumps({"to": private, "cc": [private]})}
    yield {
        "instruction": ask,
        "input": private,
        "output": f"Keep {private} safe. {ANSWER}",
        "system": f"Use {private}.",
    }
    yield {
        "instruction": ask,
        "input": private,
        "output": f"Keep {private} safe. {ANSWER}",
        "system": f"Use {private}.",
    }
    yield {"instruction": ask, "input": "", "output": ""}
    yield {
        "instruction": f"Ask about {private}.",
        "output": f"{ANSWER}\n\n### Instruction:\nSend {private}\n\n### Response:\nOk",
    }
    yield {"instruction": ask, "output": f"As an AI language model, I cannot use {private}."}
    yield {"instruction": f"Say it often: {private}", "output": f"{private} " * 60}
    yield {"instruction": ask, "output": f"CafÃ© of {private}: {ANSWER}"}
    yield {"messages": [
        {"role": "user", "content": ask},
        {"role": "assistant", "content": "", "reasoning_content": private, "tool_calls": [{"function": call}]},
        {"role": "tool", "content": private},
        {"role": "assistant", "content": f"Sent to {private}."},
    ]}  # fmt: skip
    yield {"messages": [{"role": "alien", "content": private}, {"role": "assistant", "content": private}]}
    yield {"messages": private}
    yield {"messages": [{"role": "user", "content": ask}]}
    yield {"instruction": 3, "output": [private]}


def written(folder):
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            yield path.name, json.dumps(read_rows(path), ensure_ascii=False)
        elif path.is_file():
            yield path.name, path.read_text()


@pytest.mark.parametrize("steps", ["default", "reject"])
def test_nothing_that_a_build_writes_holds_a_private_text(tmp_path, capsys, steps):
    private = private_texts()
    clean = {"instruction": "What turns the tide?", "output": ANSWER}
    write_jsonl(tmp_path / "rows.jsonl", [clean, *(row for text in private for row in rows_with(text))])
    options = ["--validation_size", "0.1", "--max_removed_share", "1", "--limit", "40"]
    if steps == "reject":
        names = [
            f"{name}: {{action: reject}}" if name in ("secrets", "personal_data") else name for name in DEFAULT_STEPS
        ]
        (tmp_path / "steps.yaml").write_text("".join(f"- {name}\n" for name in names))
        options += ["--steps", str(tmp_path / "steps.yaml")]
    output = tmp_path / "out"
    build_instructions.main(["--source", str(tmp_path / "rows.jsonl"), "--output", str(output), *options])
    printed = capsys.readouterr()
    texts = [*written(output), ("stdout", printed.out), ("stderr", printed.err)]
    inner = [text.splitlines()[1] if "\n" in text else text for text in private]
    leaks = {name for name, content in texts for text in inner if text in content}
    assert leaks == set()
    assert read_manifest(output)["n_rejected"]["output_is_not_text"] == len(private)


def test_a_preview_shows_no_private_text(tmp_path, capsys):
    private = private_texts()
    write_jsonl(tmp_path / "rows.jsonl", [row for text in private for row in rows_with(text)])
    build_instructions.main(
        ["--source", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "out"), "--preview", "300"]
    )
    printed = capsys.readouterr().out
    n_leaks = sum((text.splitlines()[1] if "\n" in text else text) in printed for text in private)
    assert n_leaks == 0
    assert "<GITHUB_TOKEN>" in printed

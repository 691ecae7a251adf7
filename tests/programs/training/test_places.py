"""What is wrong with a path is one line before torch is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

BASE = "recipes/quickstart/base"
MODEL, PAIR = ["--model_name_or_path", BASE], ["--base", BASE, "--instruct", BASE]
COMMANDS = {
    "base": ("compare", ["--base", "no/such/base", "--instruct", BASE, "--prompts", "{rows}"], "no/such/base"),
    "instruct": ("compare", ["--base", BASE, "--instruct", "/nowhere", "--prompts", "{rows}"], "/nowhere"),
    "prompts": ("compare", ["--base", BASE, "--instruct", BASE, "--prompts", "none.jsonl"], "none.jsonl"),
    "general": (
        "compare",
        ["--base", BASE, "--instruct", BASE, "--prompts", "{rows}", "--general", "none.txt"],
        "--general none.txt does not exist",
    ),
    "model": ("perplexity", ["--model_name_or_path", "/nowhere", "--dataset", "{rows}"], "/nowhere"),
    "dataset": ("perplexity", ["--model_name_or_path", BASE, "--dataset", "none.jsonl"], "none.jsonl"),
    "generate": ("generate", ["--model_name_or_path", BASE, "--prompts", "none.jsonl"], "none.jsonl"),
    "template": (
        "generate",
        ["--model_name_or_path", BASE, "--prompt", "a", "--chat_template", "none.jinja"],
        "none.jinja does not exist",
    ),
    "score": ("score", ["--model_name_or_path", BASE, "--file", "none.txt"], "none.txt does not exist"),
    "playground": ("playground", ["--base", BASE, "--instruct", "/nowhere"], "/nowhere"),
    "merge": ("merge", ["--adapter", "/nowhere"], "/nowhere"),
    "no disk": ("merge", ["--adapter", "/nowhere", "--output", "/proc/merged/here"], "cannot write /proc/merged"),
    "no folder": (
        "perplexity",
        [*MODEL, "--dataset", "{rows}", "--output", "/dev/null/p.json"],
        "cannot write /dev/null",
    ),
    "no place": ("compare", [*PAIR, "--prompts", "{rows}", "--output", "/dev/null/x"], "cannot write /dev/null/x"),
    "no room": ("generate", [*MODEL, "--prompt", "a", "--output", "/proc/a.jsonl"], "cannot write /proc"),
    "benchmark": ("benchmark", ["--base", "/nowhere", "--instruct", BASE, "--tasks", "t"], "/nowhere"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_missing_path_is_one_line_before_torch_is_imported(name: str, tmp_path: Path) -> None:
    program, flags, message = COMMANDS[name]
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    given = [flag.format(rows=rows) for flag in flags]
    given += [] if program == "playground" or "--output" in given else ["--output", str(tmp_path / "output.json")]
    code = f"""
import sys
from pipelines import {program}
from pipelines.errors import UserError
try:
    {program}.main({given!r})
except UserError as error:
    print(error)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert message in done.stdout
    assert done.stdout.count("\n") == 1

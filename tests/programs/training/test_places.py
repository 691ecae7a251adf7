"""What is wrong with a path is one line before torch is imported."""

import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from tests.run_files import write_jsonl

BASE = "recipes/quickstart/base"
WORDS = {"BASE": BASE, "PAIR": f"--base {BASE} --instruct {BASE}", "MODEL": f"--model_name_or_path {BASE}"}
# A program and its flags, and what it prints: PAIR is two models, ROWS a file of two prompts.
COMMANDS = {
    "base": ("compare --base no/such/base --instruct BASE --prompts ROWS", "no/such/base"),
    "instruct": ("compare --base BASE --instruct /nowhere --prompts ROWS", "/nowhere"),
    "prompts": ("compare PAIR --prompts none.jsonl", "none.jsonl"),
    "general": ("compare PAIR --prompts ROWS --general none.txt", "--general none.txt does not exist"),
    "model": ("perplexity --model_name_or_path /nowhere --dataset ROWS", "/nowhere"),
    "dataset": ("perplexity MODEL --dataset none.jsonl", "none.jsonl"),
    "generate": ("generate MODEL --prompts none.jsonl", "none.jsonl"),
    "template": ("generate MODEL --prompt a --chat_template none.jinja", "--chat_template none.jinja does not exist"),
    "score": ("score MODEL --file none.txt", "--file none.txt does not exist"),
    "playground": ("playground --base BASE --instruct /nowhere", "/nowhere"),
    "merge": ("merge --adapter /nowhere", "/nowhere"),
    "no disk": ("merge --adapter /nowhere --output /proc/merged/here", "cannot write /proc/merged"),
    "no folder": ("perplexity MODEL --dataset ROWS --output /dev/null/p.json", "cannot write /dev/null"),
    "no place": ("compare PAIR --prompts ROWS --output /dev/null/x", "cannot write /dev/null/x"),
    "no room": ("generate MODEL --prompt a --output /proc/a.jsonl", "cannot write /proc"),
    "benchmark": ("benchmark --base /nowhere --instruct BASE --tasks t", "/nowhere"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_missing_path_is_one_line_before_torch_is_imported(name, tmp_path):
    command, message = COMMANDS[name]
    rows = write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
    program, *given = " ".join(WORDS.get(word, word) for word in command.split()).replace("ROWS", str(rows)).split()
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

"""What is wrong with a path is one line before torch is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.hub.model_places import refuse_unusable_model, refuse_unusable_pair
from tests.conftest import PROJECT

BASE = "recipes/quickstart/base"
MODEL, PAIR = ["--model_name_or_path", BASE], ["--base", BASE, "--instruct", BASE]
COMMANDS = {
    "base": ("compare", ["--base", "no/such/base", "--instruct", BASE, "--prompts", "{rows}"], "got no/such/base"),
    "instruct": ("compare", ["--base", BASE, "--instruct", "/nowhere", "--prompts", "{rows}"], "got /nowhere"),
    "prompts": ("compare", ["--base", BASE, "--instruct", BASE, "--prompts", "none.jsonl"], "none.jsonl"),
    "general": (
        "compare",
        ["--base", BASE, "--instruct", BASE, "--prompts", "{rows}", "--general", "none.txt"],
        "an existing path for --general; got none.txt",
    ),
    "model": ("perplexity", ["--model_name_or_path", "/nowhere", "--dataset", "{rows}"], "got /nowhere"),
    "dataset": ("perplexity", ["--model_name_or_path", BASE, "--dataset", "none.jsonl"], "none.jsonl"),
    "generate": ("generate", ["--model_name_or_path", BASE, "--prompts", "none.jsonl"], "none.jsonl"),
    "template": (
        "generate",
        ["--model_name_or_path", BASE, "--prompt", "a", "--chat_template", "none.jinja"],
        "expected a chat template at none.jinja",
    ),
    "score": ("score", ["--model_name_or_path", BASE, "--file", "none.txt"], "--file; got none.txt"),
    "playground": ("playground", ["--base", BASE, "--instruct", "/nowhere"], "got /nowhere"),
    "merge": ("merge", ["--adapter", "/nowhere"], "got /nowhere"),
    "no disk": ("merge", ["--adapter", "/nowhere", "--output", "/proc/merged/here"], "cannot write /proc/merged"),
    "no folder": (
        "perplexity",
        [*MODEL, "--dataset", "{rows}", "--output", "/dev/null/p.json"],
        "cannot write /dev/null",
    ),
    "no place": ("compare", [*PAIR, "--prompts", "{rows}", "--output", "/dev/null/x"], "cannot write /dev/null/x"),
    "no room": ("generate", [*MODEL, "--prompt", "a", "--output", "/proc/a.jsonl"], "cannot write /proc"),
    "benchmark": ("benchmark", ["--base", "/nowhere", "--instruct", BASE, "--tasks", "t"], "got /nowhere"),
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


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder of things that are no model, and of an adapter."""
    for folder in ("adapter", "dataset", "gguf", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    (tmp_path / "dataset" / "manifest.json").write_text("{}")
    (tmp_path / "gguf" / "model.Q4_K_M.gguf").write_bytes(b"GGUF")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gguf", "got a GGUF file, which is for llama.cpp; give the folder that it was converted from"),
        ("gguf/model.Q4_K_M.gguf", "got a GGUF file, which is for llama.cpp"),
        ("weights.safetensors", "got a file; give the folder that holds config.json"),
        ("dataset", "got a dataset folder; check which flag"),
        ("empty", r"got a folder without config\.json"),
    ],
)
def test_what_is_no_model_is_named(name: str, message: str, places: Path) -> None:
    with pytest.raises(UserError, match=message):
        refuse_unusable_model(str(places / name))


def test_an_adapter_in_the_place_of_a_base_is_named_with_its_base(places: Path) -> None:
    adapter = str(places / "adapter")
    refuse_unusable_model(adapter)
    with pytest.raises(UserError, match=r"expected a base model at .*; got an adapter of org/base; give that"):
        refuse_unusable_model(adapter, as_base=True)
    with pytest.raises(UserError, match="expected a base model"):
        refuse_unusable_pair(adapter, adapter)
    with pytest.raises(UserError, match=r"expected an adapter \(with adapter_config\.json\) at .*; got a whole model"):
        refuse_unusable_pair(BASE, BASE)
    refuse_unusable_pair(BASE, adapter)

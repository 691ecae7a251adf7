"""What is wrong with a recipe or a path is reported before torch is imported: a second, not fifteen."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.recipe import ARGUMENTS, Stage
from pipelines.recipe.accepted_keys import accepted_keys
from tests.conftest import PROJECT

_WATCHED = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("torch" in sys.modules)
"""


def refusal(program: str, *arguments: str) -> str:
    """The one line on stderr of a program that ends with exit code 2 without having imported torch."""
    command = [sys.executable, "-c", _WATCHED, f"pipelines/{program}.py", *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (2, "False"), done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("program", ["sft", "dpo", "pretrain", "doctor"])
def test_all_that_is_wrong_is_reported_at_once_without_torch(program: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model_name_or_path: ./nowhere\ndataset_name: rows.jsonl\nlearning_rate:\n")
    line = refusal(program, "--config", str(recipe), "--seed", "-1", "--output_dir", str(tmp_path / "run"))
    assert line.startswith(f"error: 4 problems in {recipe}: (1) ")
    for place in ("./nowhere", "rows.jsonl"):
        assert f"got {place}, which does not exist" in line
    assert "expected a number for `learning_rate`; got nothing" in line
    assert "expected a whole number from 0 to 4294967295 for `seed`; got -1" in line


@pytest.mark.parametrize("program", ["sft", "dpo", "pretrain", "doctor"])
def test_a_missing_recipe_is_reported_without_torch(program: str, tmp_path: Path) -> None:
    assert "no such file" in refusal(program, "--config", str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("/dev/null/run", "cannot write /dev/null/run: a part of it is a file; choose another path"),
        ("/proc/run", "cannot write /proc/run: no such file or directory; choose another path"),
        ("pipelines", "expected a new or empty output_dir at pipelines; got files of something else"),
    ],
)
def test_an_output_that_no_run_can_have_is_reported_without_torch(place: str, problem: str) -> None:
    line = refusal("sft", "--model_name_or_path", "org/base", "--dataset_name", "org/rows", "--output_dir", place)
    assert problem in line


@pytest.mark.parametrize(
    ("program", "arguments", "problem"),
    [
        ("reproduce", ["/nowhere"], "got /nowhere, which does not exist"),
        ("push", ["/nowhere", "--repo_id", "me/it"], "expected the record run.json in /nowhere"),
        ("push", [".", "--repo_id", "me/it", "--merged", "/nowhere"], "--merged /nowhere does not exist"),
        ("push", ["."], "error: --repo_id is missing. Usage: "),
    ],
)
def test_a_missing_path_or_flag_is_reported_without_torch(program: str, arguments: list[str], problem: str) -> None:
    assert problem in refusal(program, *arguments)


def test_the_keys_read_from_source_are_those_of_the_classes() -> None:
    import dataclasses
    import importlib

    for stage in Stage:
        names = set()
        for path in ARGUMENTS[stage]:
            module, _, name = path.rpartition(".")
            kind = getattr(importlib.import_module(module), name)
            names |= {field.name for field in dataclasses.fields(kind) if field.init}
        assert set(accepted_keys(ARGUMENTS[stage])) == names

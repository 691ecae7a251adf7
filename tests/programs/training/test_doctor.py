"""doctor.py as a user runs it, and the training programs that ask it before step 1."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT, one_line_error

DOCTOR = "pipelines/doctor.py"


@pytest.fixture(scope="module")
def recipe(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain's recipe, with a comment and an end token that its template does not end with."""
    path = tmp_path_factory.mktemp("recipes") / "faulty.yaml"
    keys = {
        "model_name_or_path": chain / "base",
        "dataset_name": chain / "instructions",
        "output_dir": path.parent / "run",
    }
    text = (chain / "sft.yaml").read_text() + "".join(f"{key}: {value}\n" for key, value in keys.items())
    path.write_text("# mine\n" + text + "eos_token: <|endoftext|>  # so that it stops\n")
    return path


def clean(chain: Path, output: Path) -> list[str | Path]:
    return ["--config", chain / "sft.yaml", "--model_name_or_path", chain / "base", "--dataset_name",
            chain / "instructions", "--output_dir", output, "--learning_rate", "2e-3"]  # fmt: skip


def test_a_clean_recipe_leaves_with_0_and_writes_nothing(chain, tmp_path, run_cli):
    done = run_cli(DOCTOR, *clean(chain, tmp_path / "run"), "--max_steps", "-1", "--forecast")
    assert "; 69 of 69 training rows checked" in done.stdout
    assert re.findall("^(?:ERROR|WARNING|NOTE) .*", done.stdout, re.MULTILINE) == ["NOTE    CURED_HERE"]
    assert "GiB" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_told_with_its_line_shown_as_a_page_and_mended_as_a_diff(recipe, tmp_path, run_cli):
    page = tmp_path / "doctor.html"
    done = run_cli(DOCTOR, "--config", recipe, "--show_rows", "1", "--html", page, "--fix", expect=1)
    assert "END_TOKEN_MISMATCH" in one_line_error(done)
    assert "-eos_token: <|endoftext|>" in done.stdout
    assert "+eos_token: <|im_end|>" in done.stdout
    assert "END_TOKEN_MISMATCH" in page.read_text()
    assert "eos_token: <|endoftext|>" in recipe.read_text(), "a diff writes nothing"


def test_the_fix_is_written_when_asked_and_mends_it(recipe, tmp_path, run_cli):
    copy = tmp_path / "copy.yaml"
    copy.write_text(recipe.read_text())
    run_cli(DOCTOR, "--config", copy, "--fix", "--write", expect=1)
    assert "eos_token: <|im_end|>" in copy.read_text()
    assert copy.read_text().startswith("# mine\n")
    run_cli(DOCTOR, "--config", copy)


def test_json_is_one_object_with_the_documented_keys_and_nothing_else_on_stdout(recipe, run_cli):
    printed = run_cli(DOCTOR, "--config", recipe, "--json", "--fix", "--show_rows", "1", expect=1).stdout
    record: dict[str, Any] = json.loads(printed)
    assert record["n_errors"] == 1
    [error] = [finding for finding in record["findings"] if finding["severity"] == "error"]
    assert error["fix"] == {"eos_token": "<|im_end|>"}
    assert record["diff"].startswith("---")
    manual = (PROJECT / "pipelines/preflight/README.md").read_text(encoding="utf-8")
    table = manual[manual.index("## JSON") :]
    documented = dict(re.findall(r"^\| `([\w.\[\]]+)` \| ([a-z ]+) \|", table, re.MULTILINE))
    found: dict[str, set[str]] = {}
    for key, kind in _leaves(record):
        found.setdefault(key, set()).add(kind)
    assert found.keys() == documented.keys()
    assert not {key: kinds for key, kinds in found.items() if not kinds <= set(documented[key].split(" or "))}
    assert f"| `schema_version` | integer | {record['schema_version']} |" in manual


_KINDS = {str: "string", int: "integer", list: "array", dict: "object", type(None): "null"}
_WHOLE = {"fix", "tokens", "shown_rows", "forecast"}


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The dotted keys of a record and their types; names of splits are SPLIT."""
    if isinstance(value, dict) and key.rpartition(".")[2] not in _WHOLE:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{'SPLIT' if key == 'rows' else name}".removeprefix("."))
    elif isinstance(value, list) and key.rpartition(".")[2] not in _WHOLE:
        for inner in value:
            yield from _leaves(inner, f"{key}[]")
    else:
        yield key, _KINDS[type(value)]


def yaml_blocks() -> list[Any]:
    manual = (PROJECT / "pipelines/preflight/README.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)]


def with_this_python() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def test_the_hook_of_the_manual_checks_every_changed_recipe(recipe, tmp_path):
    [hook] = yaml_blocks()[0]["repos"][0]["hooks"]
    assert re.search(hook["files"], "recipes/gpt2/sft/lora.yaml")
    assert not re.search(hook["files"], "accelerate_configs/cpu.yaml")
    files = [tmp_path / "missing.yaml", recipe]
    done = subprocess.run([*shlex.split(hook["entry"]), *map(str, files)], cwd=PROJECT, env=with_this_python(),
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode != 0
    assert "missing.yaml" in done.stderr
    assert "the doctor found errors (END_TOKEN_MISMATCH)" in done.stderr


def test_the_step_of_the_manual_checks_the_recipes_of_a_pull_request(tmp_path):
    [step] = yaml_blocks()[1]
    for name in ("changed", "same"):
        (tmp_path / "recipes").mkdir(exist_ok=True)
        (tmp_path / "recipes" / f"{name}.yaml").write_text("seed: 0\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "a"],
        ["update-ref", "refs/remotes/origin/main", "HEAD"],
    ):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    (tmp_path / "pipelines").symlink_to(PROJECT / "pipelines")
    (tmp_path / "recipes" / "changed.yaml").write_text("dataset_name: none.jsonl\n")
    subprocess.run([*git, "commit", "-qam", "b"], cwd=tmp_path, check=True)
    script = step["run"].replace("${{ github.base_ref }}", "main")
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=with_this_python(),
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode != 0
    assert "changed.yaml" in done.stderr
    assert "same.yaml" not in done.stderr


def test_keys_that_the_trainer_refuses_are_a_finding_among_the_others(chain, tmp_path, run_cli):
    done = run_cli(
        DOCTOR, *clean(chain, tmp_path), "--optim", "galore_adamw", "--lora_dropout", "0.9", "--json", expect=1
    )
    ids = {one["id"] for one in json.loads(done.stdout)["findings"]}
    assert {"TRAINING_IMPOSSIBLE", "PACKAGE_MISSING", "VALUE_UNUSUAL"} <= ids


def test_what_is_not_there_leaves_with_2(chain, tmp_path, run_cli):
    done = run_cli(DOCTOR, "--config", tmp_path / "none.yaml", expect=2)
    assert "none.yaml" in one_line_error(done)
    done = run_cli(DOCTOR, *clean(chain, tmp_path), "--dataset_name", tmp_path / "none.jsonl", expect=2)
    assert "none.jsonl" in one_line_error(done)


def test_a_page_that_cannot_be_written_and_a_lonely_write_are_wrong_use(recipe, run_cli):
    assert "cannot write" in one_line_error(run_cli(DOCTOR, "--config", recipe, "--html", recipe / "x.html", expect=2))
    assert "--fix" in one_line_error(run_cli(DOCTOR, "--config", recipe, "--write", expect=2))


def test_training_stops_before_anything_is_written(recipe, run_cli):
    done = run_cli("pipelines/sft.py", "--config", recipe, expect=1)
    assert "END_TOKEN_MISMATCH" in one_line_error(done)
    assert not (recipe.parent / "run").exists()


def test_training_goes_on_with_warn_and_the_record_has_what_was_said(chain, tmp_path, run_cli):
    cut = ("--max_length", "56", "--long_rows", "keep_end_token", "--max_steps", "1", "--eval_strategy", "no")
    done = run_cli("pipelines/sft.py", *clean(chain, tmp_path / "run"), *cut, expect=1)
    assert "ANSWERS_CUT" in one_line_error(done)
    run_cli("pipelines/sft.py", *clean(chain, tmp_path / "run"), *cut, "--doctor", "warn")
    said = json.loads((tmp_path / "run" / "run.json").read_text())["doctor"]
    assert said["mode"] == "warn"
    assert "ANSWERS_CUT" in {finding["id"] for finding in said["findings"]}
    run_cli("pipelines/sft.py", *clean(chain, tmp_path / "unseen"), *cut, "--doctor", "off")
    assert json.loads((tmp_path / "unseen" / "run.json").read_text())["doctor"] is None


def test_two_processes_stop_as_one(recipe, run_cli):
    done = run_cli("pipelines/sft.py", "--config", recipe, expect=1, n_processes=2)
    assert done.stderr.count("error: the doctor found") == 2, done.stderr
    assert not (recipe.parent / "run").exists()

"""doctor.py as a user runs it, and the training programs that ask it before step 1."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import one_line_error

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
    done = run_cli(DOCTOR, *clean(chain, tmp_path / "run"), "--forecast")
    assert done.stdout.startswith("sft: nothing found; 69 of 69 training rows checked")
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


def test_json_is_one_object_and_nothing_else_on_stdout(recipe, run_cli):
    record: dict[str, Any] = json.loads(run_cli(DOCTOR, "--config", recipe, "--json", "--fix", expect=1).stdout)
    assert record["kind"] == "diagnosis"
    assert record["n_errors"] == 1
    [error] = [finding for finding in record["findings"] if finding["severity"] == "error"]
    assert error["fix"] == {"eos_token": "<|im_end|>"}
    assert record["diff"].startswith("---")


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

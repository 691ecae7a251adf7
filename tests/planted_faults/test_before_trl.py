"""How the planted faults are put to `trl sft`, and how its words are read; the runs are tests/benchmarks'."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.benchmarks.doctors.trl_runs import Outcome, trl_row, verdict, write_trl_recipe
from tests.conftest import PROJECT
from tests.planted_faults.faults import FAULTS

CONTROL = Outcome(0, ("FutureWarning: old since 5.2", "Training completed."))


def test_an_end_with_a_word_about_the_fault_is_caught():
    assert verdict(Outcome(1, ("ValueError: target modules not found",)), CONTROL, "target.modules")[0] == "caught"


def test_an_end_about_something_else_is_no_catch():
    assert verdict(Outcome(1, ("OSError: no space left",)), CONTROL, "target.modules") == (
        "stopped", "OSError: no space left",
    )  # fmt: skip


def test_a_run_that_names_the_fault_has_warned():
    assert verdict(Outcome(0, ("rows are truncated",)), CONTROL, "truncat") == ("warned", "rows are truncated")


def test_what_the_run_without_a_fault_says_too_is_no_word_about_it():
    assert verdict(Outcome(0, ("FutureWarning: old since 7.9",)), CONTROL, "FutureWarning") == ("silent", "")


def test_an_instruction_with_its_input_is_a_prompt_and_the_output_a_completion():
    row = trl_row({"instruction": "Add.", "input": "1, 2", "output": "3", "group": "sums"})
    assert row == {
        "prompt": [{"role": "user", "content": "Add.\n\n1, 2"}],
        "completion": [{"role": "assistant", "content": "3"}],
        "group": "sums",
    }


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.trl_cannot is None], ids=lambda fault: fault.name)
def test_trl_gets_no_key_of_this_project_alone(fault, bases, tmp_path):
    recipe = write_trl_recipe(fault.pair(), fault.family, bases[fault.family], tmp_path / "trl")
    keys = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    assert not keys.keys() & {"long_rows", "doctor", "general_text", "respect_documents"}
    assert (Path(keys["dataset_name"]) / "train.jsonl").is_file()
    assert keys["max_steps"] == 2


@pytest.mark.slow
def test_the_table_is_made_wherever_it_is_asked_for(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.doctor_against_trl", "--output", "table",
         "--only", "END_TOKEN_MISMATCH"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| `END_TOKEN_MISMATCH` | 2 | 2 |" in (tmp_path / "table" / "table.md").read_text()

"""Real SIGKILLs in real processes: the short version of tests/benchmarks/kill_and_resume.py."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.reproduction.equal_runs import compare_runs
from tests.conftest import PROJECT
from tests.run_files import mark_started
from tests.training.resumed_kinds import KINDS


def test_four_killed_runs_of_four_kinds_end_as_straight_ones():
    command = [sys.executable, "-m", "tests.benchmarks.kill_and_resume", "--kills", "4"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "4 kills, 0 runs that differ" in done.stdout
    assert done.stdout.count("killed inside a checkpoint") == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["SFT, padded, LoRA", "SFT, grouped, LoRA"])
def test_two_ranks_resume_in_the_middle_of_the_second_epoch(kind, tiny_model_folder, tmp_path, run_cli):
    recipe = KINDS[kind].write_recipe(tmp_path / "recipe.json", tiny_model_folder, gradient_accumulation_steps=1)
    command = ("pipelines/sft.py", "--config", recipe, "--use_cpu", "true", "--output_dir")
    run_cli(*command, tmp_path / "straight", n_processes=2)
    killed = Path(shutil.copytree(tmp_path / "straight", tmp_path / "killed"))
    for path in killed.iterdir():
        if path.name not in ("checkpoint-3", "checkpoint-6", "run.json", "lock.json", "samples.jsonl"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    mark_started(killed)
    run_cli(*command, killed, "--resume", n_processes=2)
    assert compare_runs(tmp_path / "straight", killed).differences == ()

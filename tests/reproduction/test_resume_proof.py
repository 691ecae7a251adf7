"""verify_resume.py: a killed run continues to the same bits, and what differs is named."""

import json
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipelines import verify_resume
from pipelines.errors import UserError
from pipelines.records.checkpoint import seal_checkpoint
from pipelines.reproduction.equal_runs import compare_runs
from tests.run_files import read_json, write_jsonl


def run_folder(folder: Path, loss: float = 2.0, weight: float = 1.0, moment: float = 0.5, n_tokens: int = 9) -> Path:
    """A run with two checkpoints; what is given is that of the second, and of the end."""
    for step in (2, 4):
        at = folder / f"checkpoint-{step}"
        at.mkdir(parents=True)
        save_file({"a.weight": torch.tensor([weight if step == 4 else 1.0, 2.0])}, at / "adapter_model.safetensors")
        torch.save({"state": {0: {"exp_avg": torch.tensor([moment])}}, "step": 4}, at / "optimizer.pt")
        torch.save({"numpy": np.random.RandomState(0).get_state()}, at / "rng_state.pth")
        (at / "training_args.bin").write_bytes(str(folder).encode())
        seal_checkpoint(at, {"n_tokens": n_tokens if step == 4 else 5, "seconds_train": time.time()})
    log = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": loss, "train_runtime": time.time()}]
    state = {"log_history": log, "best_model_checkpoint": str(folder / "checkpoint-2")}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    (folder / "run.json").write_text(json.dumps({"recipe": {"output_dir": str(folder)}, "seconds_wall": time.time()}))
    (folder / "samples.jsonl").write_text("{}\n{}\n")
    return folder


def test_equal_runs_differ_in_nothing_but_places_and_times(tmp_path):
    found = compare_runs(run_folder(tmp_path / "one"), run_folder(tmp_path / "other"))
    assert (found.n_equal, found.differences) == (11, ())


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"loss": 2.5}, "trainer_state.json: 1 of 5 values, first step 2, entry 1.loss (2.0, resumed 2.5)"),
        ({"weight": 1.5}, "checkpoint-4/adapter_model.safetensors: 1 of 1 values, first a.weight"),
        ({"moment": 0.25}, "checkpoint-2/optimizer.pt: 1 of 2 values, first state.0.exp_avg"),
        ({"n_tokens": 5}, "checkpoint-4/checkpoint.json: 1 of 3 values, first cost.n_tokens (9, resumed 5)"),
    ],
)
def test_every_difference_is_named_where_it_begins(tmp_path, changes, line):
    found = compare_runs(run_folder(tmp_path / "one"), run_folder(tmp_path / "other", **changes))
    assert found.differences == (line,)


def test_a_file_of_one_run_alone_and_another_line_are_differences(tmp_path):
    one, other = (run_folder(tmp_path / name) for name in ("one", "other"))
    (other / "checkpoint-4" / "rng_state.pth").unlink()
    with (other / "samples.jsonl").open("a") as file:
        file.write("{}\n")
    found = compare_runs(one, other).differences
    assert found == ("checkpoint-4/rng_state.pth is only in the straight run", "samples.jsonl: line 3 differs")


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    one, other = (run_folder(tmp_path / name) for name in ("one", "other"))
    torch.save({"made": Path("code")}, other / "checkpoint-4" / "optimizer.pt")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        compare_runs(one, other)


@pytest.fixture
def recipe(tiny_model_folder: Path, tmp_path: Path) -> Path:
    rows = ({"instruction": f"add {n}", "output": f"def add_{n}(x):\n    return x + {n}"} for n in range(24))
    keys: dict[str, Any] = {
        "model_name_or_path": str(tiny_model_folder), "dataset_name": str(write_jsonl(tmp_path / "rows.jsonl", rows)),
        "bf16": False, "dtype": "float32", "use_peft": True, "lora_r": 4, "lora_dropout": 0.1, "max_length": 64,
        "per_device_train_batch_size": 2, "learning_rate": 1e-2, "eval_strategy": "no", "row_losses": False,
    }  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(keys))
    return path


def test_a_killed_run_with_dropout_continues_to_the_same_bits(recipe, tmp_path, capsys):
    verify_resume.main(["--config", str(recipe), "--steps", "20", "--output", str(tmp_path / "proof")])
    assert "killed after step 10 and resumed" in capsys.readouterr().out
    assert read_json(tmp_path / "proof" / "resume.json")["differences"] == []
    assert read_json(tmp_path / "proof" / "resumed" / "run.json")["legs"][1]["first_step"] == 10


def test_an_odd_number_of_steps_has_no_half(recipe):
    with pytest.raises(UserError, match="--steps is 3, expected an even number"):
        verify_resume.main(["--config", str(recipe), "--steps", "3"])


def test_the_reason_of_a_run_that_fails_is_told(recipe):
    with pytest.raises(UserError, match=r"sft\.py ended with exit code 2: .*learnig_rate"):
        verify_resume.main(["--config", str(recipe), "--steps", "2", "--learnig_rate", "1"])

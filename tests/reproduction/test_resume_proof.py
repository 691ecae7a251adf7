"""verify_resume.py: a killed run continues to the same bits, and what differs is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipelines import verify_resume
from pipelines.errors import UserError
from pipelines.records.checkpoint import seal_checkpoint
from pipelines.reproduction.resume_proof import compare_checkpoints
from tests.run_files import read_json, write_jsonl


def checkpoint(folder: Path, loss: float = 2.0, weight: float = 1.0, moment: float = 0.5, n_tokens: int = 9) -> Path:
    folder.mkdir()
    save_file({"a.weight": torch.tensor([weight, 2.0])}, folder / "adapter_model.safetensors")
    torch.save({"state": {0: {"exp_avg": torch.tensor([moment])}}, "step": 4}, folder / "optimizer.pt")
    torch.save({"numpy": np.random.RandomState(0).get_state()}, folder / "rng_state.pth")
    log = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": loss, "train_runtime": 1.5}]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    (folder / "training_args.bin").write_bytes(str(folder).encode())
    seal_checkpoint(folder, {"n_tokens": n_tokens, "seconds_train": 1.0})
    return folder


def test_equal_checkpoints_differ_in_nothing_but_places_and_times(tmp_path):
    found = compare_checkpoints(checkpoint(tmp_path / "one"), checkpoint(tmp_path / "other"))
    assert (found.n_equal, found.differences) == (4, ())


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"loss": 2.5}, "first at step 2: loss is 2.0 straight, 2.5 resumed"),
        ({"weight": 1.5}, "adapter_model.safetensors: 1 of 1 values, such as a.weight"),
        ({"moment": 0.25}, "optimizer.pt: 1 of 2 values, such as state.0.exp_avg"),
        ({"n_tokens": 5}, "tokens counted: 9 straight, 5 resumed"),
    ],
)
def test_every_difference_is_named(tmp_path, changes, line):
    found = compare_checkpoints(checkpoint(tmp_path / "one"), checkpoint(tmp_path / "other", **changes))
    assert found.differences == (line,)


def test_a_file_of_one_run_alone_is_a_difference(tmp_path):
    one, other = (checkpoint(tmp_path / name) for name in ("one", "other"))
    (other / "rng_state.pth").unlink()
    seal_checkpoint(other, {"n_tokens": 9})
    assert compare_checkpoints(one, other).differences == ("rng_state.pth is only in the straight run",)


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
    assert read_json(tmp_path / "proof" / "resumed" / "run.json")["n_legs"] == 2


def test_an_odd_number_of_steps_has_no_half(recipe):
    with pytest.raises(UserError, match="--steps is 3, expected an even number"):
        verify_resume.main(["--config", str(recipe), "--steps", "3"])


def test_the_reason_of_a_run_that_fails_is_told(recipe):
    with pytest.raises(UserError, match=r"sft\.py ended with exit code 2: .*learnig_rate"):
        verify_resume.main(["--config", str(recipe), "--steps", "2", "--learnig_rate", "1"])

"""Overfitting is a held-out loss that rose, and nothing else is called so."""

from typing import Any

import pytest
from transformers import TrainingArguments
from trl import SFTConfig

from pipelines.postflight.loss_gap import loss_gap
from tests.postflight.runs import FULL, examined, ids_of, sft, sft_recipe


def history(held_out: list[float], train: float = 1.0) -> list[dict[str, Any]]:
    """Logs of an evaluation every ten steps, five to an epoch, with a training log each."""
    logs: list[dict[str, Any]] = []
    for number, loss in enumerate(held_out, start=1):
        logs.append({"step": 10 * number, "epoch": number / 5, "loss": train})
        logs.append({"step": 10 * number, "epoch": number / 5, "eval_loss": loss})
    return [*logs, {"step": 10 * len(held_out), "train_loss": 2.0}]


def arguments(**options: Any) -> TrainingArguments:
    options = {"bf16": False, "use_cpu": True, "report_to": "none", "eval_strategy": "epoch", **options}
    return SFTConfig(output_dir="unused", **options)


@pytest.mark.parametrize(
    ("held_out", "course"),
    [
        ([2.0, 1.5, 1.3], "still falling"), ([2.0, 1.5, 1.499], "level"), ([2.0, 1.5, 1.6], "level"),
        ([2.0, 1.5, 1.7], "rose"), ([1.5], "seen once"), ([0.693, 0.004, 0.006], "level"),
        ([-1.0, -3.0, -1.5], "level"),
    ],
)  # fmt: skip
def test_the_course_of_the_held_out_loss(held_out, course):
    part = loss_gap(history(held_out), arguments())
    assert part.facts["course"] == course
    assert [finding.id for finding in part.findings] == (["OVERFITTED"] if course == "rose" else [])
    assert part.facts["gap"] == pytest.approx(held_out[-1] - 1.0)
    assert part.facts["best"]["value"] == min(held_out)


def test_the_remedy_is_where_the_loss_was_best():
    losses = [2.0, 1.8, 1.7, 1.6, 1.5, 1.7, 1.9]
    [finding] = loss_gap(history(losses), arguments()).findings
    assert finding.summary == "the held-out loss rose by 27%, from 1.5 after step 50 to 1.9 at the end"
    assert finding.remedy.startswith("set `num_train_epochs: 1`, or")
    assert "keep_best: loss" in finding.remedy
    [finding] = loss_gap(history(losses), arguments(max_steps=70)).findings
    assert finding.remedy.startswith("set `max_steps: 50`, or")


def test_an_evaluation_of_the_best_checkpoint_after_the_run_is_the_last_word():
    logs = history([2.0, 1.5, 1.9])
    part = loss_gap([*logs, {"step": 30, "eval_loss": 1.5}], arguments())
    assert (part.facts["course"], part.facts["last"]["value"]) == ("level", 1.5)
    part = loss_gap([*logs, {"step": 20, "eval_loss": 1.5}], arguments())
    assert (part.facts["course"], part.facts["last"]) == ("earlier kept", {"step": 20, "value": 1.5})
    assert not part.findings


def test_the_training_loss_at_the_end_is_the_mean_of_its_last_tenth():
    logs: list[dict[str, Any]] = [{"step": n, "loss": 3.0} for n in range(18)]
    logs += [{"step": 18, "loss": 1.0}, {"step": 19, "loss": 2.0}]
    assert loss_gap(logs, arguments()).facts["train"] == {"value": 1.5, "n_logs": 2}
    assert "no evaluation" in loss_gap(logs, arguments()).facts["reason"]
    assert "logging_steps" in loss_gap([{"step": 3, "eval_loss": 1.0}], arguments()).facts["reason"]


def test_losses_that_are_no_numbers_are_left_out():
    logs = [*history([2.0, 1.5]), {"step": 30, "loss": float("nan")}, {"step": 30, "eval_loss": float("inf")}]
    assert loss_gap(logs, arguments()).facts["last"] == {"step": 20, "value": 1.5}


def test_packing_in_one_of_the_two_is_told():
    assert loss_gap(history([1.0]), arguments()).facts["averaged_alike"]
    assert loss_gap(history([1.0]), arguments(packing=True)).facts["averaged_alike"]
    assert not loss_gap(history([1.0]), arguments(packing=True, eval_packing=False)).facts["averaged_alike"]


def test_a_run_that_learns_its_rows_by_heart_overfits(qwen_base, tmp_path):
    rows = [{"instruction": f"Say {word}.", "output": word * 3} for word in ("sun", "moon", "tide", "oak")]
    keys = {"max_steps": 60, "eval_steps": 10, "logging_steps": 5, "learning_rate": 5e-3}
    recipe = sft_recipe(tmp_path, qwen_base, rows=rows, **keys, **FULL)
    _, found = examined(sft(recipe))
    facts = found.parts["loss"].facts
    assert facts["gap"] > 1
    assert facts["best"]["step"] < facts["last"]["step"]
    assert "OVERFITTED" in ids_of(found)

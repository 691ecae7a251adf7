"""Numbers outside the range that recipes use, on both sides, and those at its ends."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.recipe.usual_values import CHECKS
from pipelines.records.finding import Severity
from tests.preflight.contexts import context_of, pairs_of, recipe_of, rows_of

Said = Callable[..., list[Severity]]
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


@pytest.fixture(scope="module")
def said(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Said:
    """The severities of what is said of a recipe with these keys."""
    folder = tmp_path_factory.mktemp("values")
    context = context_of(folder, qwen, rows_of(4))

    def of(stage: Stage = Stage.SFT, **keys: Any) -> list[Severity]:
        rows = pairs_of(rows_of(4)) if stage is Stage.DPO else rows_of(4)
        recipe = recipe_of(folder, qwen, rows, stage=stage, **keys)
        data, training, model = recipe.arguments
        changed = replace(context, stage=stage, keys=recipe.keys, data=data, training=training, model=model)
        return [finding.severity for check in CHECKS for finding in check(changed)]

    return of


@pytest.mark.parametrize("keys", [
    {"weight_decay": 1.0}, {"max_grad_norm": 0.001}, {"max_grad_norm": 500}, {"neftune_noise_alpha": 100},
    {"lora_dropout": 0.5}, {"adam_beta1": 0.1}, {"adam_beta2": 0.5, "adam_beta1": 0.4}, {"adam_beta2": 0.99999},
    {"adam_epsilon": 1e-3}, {"adam_epsilon": 1e-20}, {"adam_beta1": 0.999, "adam_beta2": 0.9},
    {"lora_r": 8, "lora_alpha": 512}, {"lora_r": 64, "lora_alpha": 1},
    {"lora_r": 128, "lora_alpha": 256, "use_rslora": True}, {"lora_r": 64, "lora_alpha": 1, "use_rslora": True},
    {"label_smoothing_factor": 0.5, "loss_type": "nll"},
])  # fmt: skip
def test_a_number_that_no_recipe_has_is_a_warning(said, keys):
    assert set(said(**keys)) == {WARNING}


@pytest.mark.parametrize("keys", [
    {}, {"weight_decay": 0.0}, {"weight_decay": 0.2}, {"max_grad_norm": 0.3}, {"neftune_noise_alpha": 15},
    {"neftune_noise_alpha": None}, {"neftune_noise_alpha": 0}, {"lora_dropout": 0.0}, {"lora_dropout": 0.2},
    {"adam_beta1": 0.8, "adam_beta2": 0.95}, {"adam_beta2": 0.9999}, {"adam_epsilon": 1e-5}, {"adam_epsilon": 1e-10},
    {"lora_r": 1, "lora_alpha": 32}, {"lora_r": 512, "lora_alpha": 32}, {"lora_r": 16, "lora_alpha": 128},
    {"lora_r": 64, "lora_alpha": 128, "use_rslora": True}, {"lora_r": 128, "lora_alpha": 16, "use_rslora": True},
    {"optim": "adafactor", "adam_epsilon": 1e-3}, {"optim": "sgd", "adam_beta1": 0.1},
    {"use_peft": None, "lora_r": None, "lora_target_modules": None},
])  # fmt: skip
def test_a_number_of_a_published_recipe_is_left_alone(said, keys):
    assert said(**keys) == []


def test_no_clipping_is_a_note(said):
    assert said(max_grad_norm=0.0) == [NOTE]


@pytest.mark.parametrize(("keys", "severities"), [
    ({"beta": 0.01}, []), ({"beta": 0.5}, []), ({"beta": 10.0}, [WARNING]), ({"beta": 1e-4}, [WARNING]),
    ({"beta": 0.0}, [ERROR]), ({"beta": 5.0, "loss_type": ["sigmoid_norm"]}, []),
    ({"beta": 100.0, "loss_type": ["sigmoid_norm"]}, [WARNING]), ({"beta": 0.001, "loss_type": ["sppo_hard"]}, []),
    ({"beta": 0.01, "loss_type": ["ipo"]}, []), ({"beta": 5.0, "loss_type": ["sigmoid", "sft"]}, [WARNING]),
    ({"label_smoothing": 0.1}, []), ({"label_smoothing": 0.4}, [WARNING]), ({"label_smoothing": 0.6}, [ERROR]),
])  # fmt: skip
def test_the_beta_of_a_preference_loss_is_judged_by_its_type(said, keys, severities):
    assert said(Stage.DPO, **keys) == severities

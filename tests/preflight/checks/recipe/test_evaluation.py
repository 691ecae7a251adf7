"""Evaluations that come never or once, and best checkpoints that are the worst or none."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.recipe.evaluation import _METRICS, CHECKS
from pipelines.records.finding import Severity
from pipelines.training.dry_run import refuse_impossible_training
from tests.preflight.contexts import context_of, findings_by_id, pairs_of, recipe_of, rows_of

found = partial(findings_by_id, CHECKS)
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
BEST = {"load_best_model_at_end": True, "save_strategy": "steps", "eval_steps": 5, "save_steps": 5}


@pytest.fixture(scope="module")
def usual(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> CheckContext:
    """20 rows in batches of 2, three times, with held-out rows: 30 steps."""
    return context_of(tmp_path_factory.mktemp("usual"), qwen, rows_of(20), rows_of(4, "held"))


@pytest.fixture
def case(usual: CheckContext, qwen: Path, tmp_path: Path) -> Callable[..., CheckContext]:
    """The usual context with other keys."""

    def make(**keys: Any) -> CheckContext:
        recipe = recipe_of(tmp_path, qwen, rows_of(20), rows_of(4, "held"), **keys)
        data, training, model = recipe.arguments
        return replace(usual, keys=recipe.keys, data=data, training=training, model=model)

    return make


def test_held_out_rows_that_are_not_evaluated_are_reported(case):
    finding = found(replace(case(), has_unused_evaluation=True))["EVALUATION_UNUSED"]
    assert (finding.severity, finding.remedy) == (WARNING, "set eval_strategy: epoch")


@pytest.mark.parametrize(("keys", "said"), [
    ({"eval_steps": 500}, True),
    ({"eval_steps": 10}, False),
    ({"eval_steps": 0.5}, False),
    ({}, False),  # by default as often as it is logged
    ({"eval_strategy": "epoch", "eval_steps": 500}, False),
    ({"eval_steps": 10, "eval_delay": 31}, True),
    ({"eval_steps": 10, "eval_delay": 30}, False),
    ({"eval_strategy": "epoch", "eval_delay": 4}, True),
    ({"eval_strategy": "epoch", "eval_delay": 3}, False),
    ({"eval_strategy": "epoch", "max_steps": 5, "eval_delay": 1}, True),
    ({"eval_strategy": "epoch", "max_steps": 5}, False),  # the last epoch is evaluated although it is not finished
])  # fmt: skip
def test_an_evaluation_beyond_the_run_is_reported(case, keys, said):
    assert ("EVALUATION_UNUSED" in found(case(**keys))) is said


@pytest.mark.parametrize(("keys", "severity"), [
    ({**BEST}, None),
    ({**BEST, "metric_for_best_model": "eval_loss"}, None),
    ({**BEST, "metric_for_best_model": "loss", "greater_is_better": False}, None),
    ({**BEST, "metric_for_best_model": "eval_loss", "greater_is_better": True}, ERROR),
    ({**BEST, "greater_is_better": True}, ERROR),
    ({**BEST, "metric_for_best_model": "mean_token_accuracy"}, None),
    ({**BEST, "metric_for_best_model": "eval_mean_token_accuracy", "greater_is_better": False}, ERROR),
    ({**BEST, "metric_for_best_model": "p_end_inside"}, ERROR),  # by default greater is better
    ({**BEST, "metric_for_best_model": "eval_bleu"}, ERROR),
    ({**BEST, "metric_for_best_model": "eval_rewards/accuracies"}, ERROR),
    ({**BEST, "metric_for_best_model": "eval_runtime"}, WARNING),
    ({"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": True}, WARNING),
    ({"eval_strategy": "no", "save_strategy": "best", "metric_for_best_model": "loss"}, WARNING),
    ({"eval_steps": 5, "metric_for_best_model": "eval_loss"}, NOTE),
    ({"eval_steps": 5, "metric_for_best_model": "eval_loss", "greater_is_better": True}, WARNING),
    ({"eval_steps": 5, "lr_scheduler_type": "reduce_lr_on_plateau", "greater_is_better": True}, ERROR),
    ({"eval_steps": 5}, None),
])  # fmt: skip
def test_a_best_model_that_is_not_the_best_is_reported(case, keys, severity):
    finding = found(case(**keys)).get("BEST_MODEL_WRONG")
    assert (finding and finding.severity) == severity


def test_a_preference_run_can_choose_by_its_rewards(qwen, tmp_path):
    def said(metric: str, **keys: Any) -> bool:
        keys = {"stage": Stage.DPO, **BEST, "metric_for_best_model": metric, **keys}
        pairs = pairs_of(rows_of(20))
        return "BEST_MODEL_WRONG" in found(context_of(tmp_path, qwen, pairs[:16], pairs[16:], **keys))

    assert not said("eval_rewards/accuracies")
    assert said("eval_rewards/accuracies", greater_is_better=False)
    assert not said("eval_rewards/rejected", greater_is_better=False)


@pytest.mark.parametrize("stage", [Stage.SFT, Stage.DPO])
def test_the_trainers_measure_these_metrics(stage, qwen, tmp_path):
    rows = pairs_of(rows_of(8)) if stage is Stage.DPO else rows_of(8)
    keys = {**BEST, "metric_for_best_model": "none"}
    with pytest.raises(UserError) as error:
        refuse_impossible_training(recipe_of(tmp_path, qwen, rows, rows[:4], stage=stage, **keys))
    measured = set(re.findall(r"'eval_([\w/]+)'", str(error.value))) - {"none"}
    assert measured == set(_METRICS[stage]) - {"epoch", "aux_loss"}

"""keep_best is one key for several of transformers', and what cannot be chosen is refused in one line before torch."""

from pathlib import Path

import pytest
import yaml

from pipelines.evaluation.code_execution.execution import EXECUTION_METRICS
from pipelines.evaluation.metrics.registry import METRICS
from pipelines.recipe import ARGUMENTS, Stage
from pipelines.recipe.keep_best import KeepBest, best_is_kept, with_keep_best
from pipelines.recipe.parsing import _read

RECIPES = Path(__file__).parents[2] / "recipes"

_STEPS = {"eval_strategy": "steps", "save_strategy": "steps"}


@pytest.mark.parametrize(("keys", "implied"), [
    ({}, {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 0.1, "save_steps": 0.1}),
    ({"eval_steps": 20}, {"eval_steps": 20, "save_steps": 20}),
    ({"eval_strategy": "epoch"}, {"eval_strategy": "epoch", "save_strategy": "epoch"}),
    ({"eval_strategy": "epoch", "save_strategy": "best"}, {"save_strategy": "best"}),
    ({"eval_strategy": "no", "save_strategy": "no"}, {"eval_strategy": "steps", "save_strategy": "steps"}),
    ({"eval_strategy": "steps", "eval_steps": 20, "save_steps": 50}, {"eval_steps": 20, "save_steps": 20}),
    ({"keep_best": "exact_match"}, {"metric_for_best_model": "eval_exact_match", "greater_is_better": True}),
    ({"keep_best": "loss"}, {"metric_for_best_model": "eval_loss", "greater_is_better": False}),
])  # fmt: skip
def test_one_key_sets_the_others(keys, implied):
    found = with_keep_best({"keep_best": "loss", **keys})
    assert found["load_best_model_at_end"] is True
    assert found.items() >= implied.items()
    assert list(best_is_kept(Stage.SFT, found)) == []
    assert with_keep_best(found) == found  # as a lock records them


@pytest.mark.parametrize(("stage", "keys", "problem", "fix"), [
    ("sft", {"load_best_model_at_end": True}, "`load_best_model_at_end` needs evaluations", "eval_strategy: epoch"),
    ("sft", {"load_best_model_at_end": True, "eval_strategy": "epoch"},
     "eval_strategy is epoch, save_strategy steps", "set save_strategy: epoch"),
    ("sft", {"load_best_model_at_end": True, **_STEPS, "eval_steps": 10, "save_steps": 20},
     "eval_steps is 10, save_steps 20", "set save_steps: 10"),
    ("sft", {"load_best_model_at_end": True, **_STEPS, "save_steps": 500}, "eval_steps is 10, save_steps 500",
     "set save_steps: 10"),
    ("sft", {"keep_best": "loss", "metric_for_best_model": "eval_rouge_l"},
     "`keep_best: loss` contradicts `metric_for_best_model: eval_rouge_l`", "remove metric_for_best_model"),
    ("sft", {"keep_best": "loss", "greater_is_better": True}, "contradicts `greater_is_better: True`", "remove"),
    ("sft", {"keep_best": "loss", "load_best_model_at_end": False}, "contradicts `load_best_model_at_end", "remove"),
    ("sft", {"patience": 3}, "`patience` counts evaluations", "set keep_best: loss"),
    ("dpo", {"keep_best": "exact_match"}, "measured on answers, by sft.py only", "set keep_best: loss"),
    ("pretrain", {"keep_best": "stopped_by_itself"}, "measured on answers, by sft.py only", "set keep_best: loss"),
    ("sft", {"keep_best": "chrf", "fsdp": "full_shard"}, "needs the whole model on each device", "set keep_best: loss"),
    ("sft", {"keep_best": "passes_tests"}, "runs the code that the model writes", "run_code: true"),
])  # fmt: skip
def test_what_cannot_be_chosen_is_refused_with_the_key_to_write(stage, keys, problem, fix):
    [error] = best_is_kept(Stage(stage), with_keep_best(keys))
    assert problem in error.problem
    assert fix in str(error.fix)
    assert "\n" not in str(error)


@pytest.mark.parametrize(("stage", "keys"), [
    ("sft", {}), ("sft", {"eval_strategy": "epoch"}), ("pretrain", {"load_best_model_at_end": True, **_STEPS}),
    ("sft", {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "best"}),
    ("sft", {"load_best_model_at_end": True, **_STEPS, "eval_steps": 0.2, "save_steps": 0.2, "patience": 2}),
    ("sft", {"keep_best": "loss", "metric_for_best_model": "loss", "fsdp": "full_shard"}),
    ("sft", {"keep_best": "passes_tests", "run_code": True}), ("dpo", {"keep_best": "loss", "patience": 1}),
])  # fmt: skip
def test_what_can_be_chosen_passes(stage, keys):
    assert list(best_is_kept(Stage(stage), with_keep_best(keys))) == []


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*/*/*.yaml")), ids=lambda path: "-".join(path.parts[-3:]))
def test_every_recipe_is_one_key_away(path, capsys):
    stage = Stage(path.parent.name)
    reading = _read(ARGUMENTS[stage], ["--config", str(path), "--keep_best", "loss", "--patience", "3"])
    assert reading.faults == []
    assert list(best_is_kept(stage, reading.keys)) == []
    before = yaml.safe_load(path.read_text())
    replaced = before.get("save_steps", reading.keys["save_steps"]) != reading.keys["save_steps"]
    assert not replaced or f"(the recipe has {before['save_steps']})" in capsys.readouterr().err


def test_each_metric_of_answers_is_one_of_compare_that_is_better_if_higher():
    known = {one.name: one for one in EXECUTION_METRICS} | {name: one.definition for name, one in METRICS.items()}
    assert {known[one.value].better for one in KeepBest if one.is_of_answers} == {"higher"}
    assert {one.value for one in KeepBest if one.runs_code} == {one.name for one in EXECUTION_METRICS}

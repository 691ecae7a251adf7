"""`keep_best`: one key that keeps the best checkpoint, and the checks of transformers' own keys for it.

The recipe's `keep_best: exact_match` becomes `load_best_model_at_end: true` with its metric and direction, and a
checkpoint at each evaluation. Whoever wants another metric of an evaluation writes transformers' keys instead.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from pipelines.errors import UserError
from pipelines.recipe.stages import Stage

Keys = Mapping[str, Any]
_TENTH_OF_RUN = 0.1


class KeepBest(StrEnum):
    """LOSS: the lowest held-out loss. The others are metrics of answers to held-out prompts, by their names in
    comparison.json, of which the highest is the best. RUNS and PASSES_TESTS (pass@1 of the greedy answer) run code."""

    LOSS = "loss"
    STOPPED_BY_ITSELF = "stopped_by_itself"
    EXACT_MATCH = "exact_match"
    TOKEN_F1 = "token_f1"
    ROUGE_L = "rouge_l"
    CHRF = "chrf"
    NUMERIC_ANSWER = "numeric_answer"
    FOLLOWS_ALL_CONSTRAINTS = "follows_all_constraints"
    PARSES = "parses"
    DEFINES_REQUESTED_NAME = "defines_requested_name"
    RUNS = "runs"
    PASSES_TESTS = "passes_tests"

    @property
    def is_of_answers(self) -> bool:
        """Whether the model has to answer prompts for it."""
        return self is not KeepBest.LOSS

    @property
    def runs_code(self) -> bool:
        """Whether generated code is run for it."""
        return self in (KeepBest.RUNS, KeepBest.PASSES_TESTS)

    @property
    def metric(self) -> str:
        """Its name in the logs, and the value of `metric_for_best_model`."""
        return f"eval_{self.value}"


def with_keep_best(keys: dict[str, Any]) -> dict[str, Any]:
    """`keys` with those that follow from `keep_best`: evaluations, each with a checkpoint, at those steps of the recipe
    at which it evaluates, or else at each tenth of the run. Keys of the choice that the recipe sets stay, and
    `best_is_kept` compares them."""
    if keys.get("keep_best") is None:
        return keys
    best, evaluated = KeepBest(keys["keep_best"]), keys.get("eval_strategy", "no")
    evaluated = "steps" if evaluated == "no" else evaluated
    saved = "best" if keys.get("save_strategy") == "best" else evaluated
    steps = {"eval_steps": keys.get("eval_steps") or _TENTH_OF_RUN} if evaluated == "steps" else {}
    steps |= {"save_steps": steps["eval_steps"]} if saved == "steps" else {}
    chosen = {
        "load_best_model_at_end": True,
        "metric_for_best_model": best.metric,
        "greater_is_better": best.is_of_answers,
    }
    chosen |= {key: keys[key] for key in chosen if keys.get(key) is not None}
    return {**keys, **chosen, "eval_strategy": evaluated, "save_strategy": saved, **steps}


def replaced_by_keep_best(keys: Keys, kept: Keys) -> str:
    """The written keys that have another value now, for one line; empty if there are none."""
    changed = [key for key in keys if keys[key] != kept[key]]
    return ", ".join(f"{key}: {kept[key]} (the recipe has {keys[key]})" for key in changed)


def best_is_kept(stage: Stage, keys: Keys) -> Iterator[UserError]:
    """Yield an error for each reason why the best checkpoint cannot be chosen, saved or loaded. `keys` have gone
    through `with_keep_best`."""
    loads = keys.get("load_best_model_at_end")
    if keys.get("keep_best") is not None:
        yield from _contradictions(keys)
        yield from _unmeasurable(KeepBest(keys["keep_best"]), stage, keys)
    elif keys.get("patience") is not None and not loads:
        problem = "`patience` counts evaluations without a new best, and nothing says what is best"
        yield UserError(problem, "set keep_best: loss, or remove patience")
    if loads:
        yield from _not_saved(stage, keys)


def _contradictions(keys: Keys) -> Iterator[UserError]:
    implied = with_keep_best({"keep_best": keys["keep_best"]})
    for key in ("load_best_model_at_end", "metric_for_best_model", "greater_is_better"):
        if keys[key] != implied[key] and f"eval_{keys[key]}" != implied[key]:
            problem = f"`keep_best: {keys['keep_best']}` contradicts `{key}: {keys[key]}`"
            yield UserError(problem, f"remove {key}, or remove keep_best and write transformers' keys")


def _unmeasurable(best: KeepBest, stage: Stage, keys: Keys) -> Iterator[UserError]:
    written = f"`keep_best: {best}`"
    if best.is_of_answers and stage is not Stage.SFT:
        yield UserError(f"{written} is measured on answers, by sft.py only", "set keep_best: loss")
    sharding = next((key for key in ("fsdp", "deepspeed") if keys.get(key)), None)
    if best.is_of_answers and sharding:
        yield UserError(f"{written} needs the whole model on each device, not {sharding}", "set keep_best: loss")
    if best.runs_code and not keys.get("run_code"):
        yield UserError(f"{written} runs the code that the model writes", "allow it with run_code: true (in a sandbox)")


def _not_saved(stage: Stage, keys: Keys) -> Iterator[UserError]:
    """The checkpoint of the best evaluation must exist: without one, transformers keeps an older checkpoint or the last
    weights, with no message (findings/resuming/transformers_best_between_checkpoints.sh)."""
    evaluated, saved = keys.get("eval_strategy", "no"), keys.get("save_strategy", "steps")
    if evaluated == "no" and saved in ("no", "best"):
        return  # the last weights are kept, as the doctor says
    key = "`load_best_model_at_end`"
    if evaluated == "no":
        yield UserError(f"{key} needs evaluations, and eval_strategy is no", "set eval_strategy: epoch")
    elif saved != "best" and saved != evaluated:
        problem = f"{key} needs a checkpoint at each evaluation: eval_strategy is {evaluated}, save_strategy {saved}"
        yield UserError(problem, f"set save_strategy: {evaluated}")
    elif saved == evaluated == "steps":
        by_default = keys.get("logging_steps") or (500 if stage is Stage.PRETRAIN else 10)
        evaluations, saves = keys.get("eval_steps") or by_default, keys.get("save_steps") or 500
        if evaluations != saves:
            problem = f"{key} needs a checkpoint at each evaluation: eval_steps is {evaluations}, save_steps {saves}"
            yield UserError(problem, f"set save_steps: {evaluations}")

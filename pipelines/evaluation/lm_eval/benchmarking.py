"""Several models over the same tasks, one base in memory: the record of it."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.lm_eval.benchmark_record import benchmark_results
from pipelines.evaluation.lm_eval.benchmark_run import BenchmarkPlan, MetricOutcome, run_tasks
from pipelines.evaluation.lm_eval.quiet import quiet_harness
from pipelines.evaluation.lm_eval.tasks import TaskChoice, harness_version, load_tasks
from pipelines.hub.model_ref import ModelRef, resolve_compared
from pipelines.inference.loading import Role, compared_names, load_in_turn
from pipelines.inference.processes import processes
from pipelines.modeling import load_tokenizer
from pipelines.records import describe_machine, versions


def benchmark(base: str, instructs: Sequence[str], choice: TaskChoice, plan: BenchmarkPlan) -> dict[str, Any]:
    """benchmark.json whole: the base without a template, each of `instructs` with its own, on the same items.

    Raises `UserError` for several processes, a missing extra, tasks that cannot be had, and an instruct model without a
    chat template, before any weight is loaded.
    """
    if processes().num_processes > 1:
        raise UserError(
            expected="one process: few-shot examples are drawn in the order of the items",
            got=f"{processes().num_processes} processes",
            remedy="start it with python, not with accelerate launch",
        )
    version = harness_version()
    compared = resolve_compared(base, instructs)
    for instruct in compared[1:]:
        _refuse_without_template(instruct)
    with quiet_harness() as notes:
        tasks = load_tasks(choice, plan.seed)
    outcomes: dict[str, list[MetricOutcome]] = {}
    models: dict[str, dict[str, Any]] = {}
    said = _notes("tasks", notes)
    for loaded in load_in_turn(compared, compared_names(compared)):
        start = time.perf_counter()
        with quiet_harness() as notes:
            outcomes[loaded.name] = run_tasks(loaded, tasks, plan, with_template=loaded.name != Role.BASE)
        print(f"{loaded.name}: {len(tasks['tasks'])} tasks ({time.perf_counter() - start:.1f} s)", file=sys.stderr)
        models[loaded.name] = {
            "path": loaded.path,
            "fingerprint": loaded.fingerprint,
            "computed_in": loaded.computed_in,
            "template": loaded.name != Role.BASE,
        }
        said += _notes(loaded.name, notes)
    return {
        "kind": "benchmark",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": describe_machine(),
        "harness_version": version,
        "seed": plan.seed,
        "limit": plan.limit,
        "num_fewshot": choice.num_fewshot,
        "fewshot_as_multiturn": True,
        "models": models,
        "results": benchmark_results(outcomes, Role.BASE, plan.seed),
        "notes": said,
    }


def _notes(whose: str, counts: Counter[str]) -> list[str]:
    return [f"{whose}: {words} ({n:,} times)" for words, n in counts.items()]


def _refuse_without_template(model: ModelRef) -> None:
    if not load_tokenizer(*model.tokenizer_source).chat_template:
        raise UserError(
            expected="an instruct model with a chat template after --instruct",
            got=f"none in {model.path}",
            remedy="give it as --base, or a model that was fine-tuned with a template",
        )

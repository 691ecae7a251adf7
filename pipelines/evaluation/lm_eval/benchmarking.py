"""Run several models over the same tasks, one base model in memory, and build benchmark.json."""

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import datasets

from pipelines.errors import UserError
from pipelines.evaluation.lm_eval.benchmark_record import benchmark_results
from pipelines.evaluation.lm_eval.benchmark_run import BenchmarkPlan, MetricOutcome, run_tasks
from pipelines.evaluation.lm_eval.served_harness_model import likelihood_tasks, refuse_unservable
from pipelines.evaluation.lm_eval.tasks import TaskChoice, harness_version, load_tasks
from pipelines.hub.model_names import Role, compared_names
from pipelines.hub.model_ref import resolve_compared
from pipelines.inference.processes import processes
from pipelines.inference.served_model import ServedModel, open_in_turn
from pipelines.modeling import load_tokenizer
from pipelines.records import describe_machine, versions

# Warnings of the harness that change a metric, and how the record words them.
_NOTES = {
    "Truncating": "a prompt was truncated on the left to fit the model",
    "Left truncation": "a batch of prompts was truncated on the left to fit the model",
    "Failed to apply chat template": "a prompt lost its system message, which the chat template rejects",
    "Label index was not in": "an item's right answer is not among its choices",
    "overrides existing task": "a task of --include_path replaces one of the harness",
    "not scored on the same number": "a task has metrics over different numbers of items",
}


def benchmark(base: str, instructs: Sequence[str], choice: TaskChoice, plan: BenchmarkPlan) -> dict[str, Any]:
    """Return benchmark.json: the base without a template, each of `instructs` with its own, on the same items.

    Raises `UserError` before any weight is loaded: for several processes, a missing extra, tasks that cannot be loaded,
    an instruct model without a chat template, and a server that cannot answer a task.
    """
    if processes().num_processes > 1:
        problem = f"benchmark.py runs in {processes().num_processes} processes, expected one: few-shot examples are "
        raise UserError(f"{problem}drawn in the order of the items", "start it with python, not accelerate launch")
    version = harness_version()
    compared = resolve_compared(base, instructs)
    for model in compared[1:]:
        if not load_tokenizer(*model.tokenizer_source).chat_template:
            problem = f"the instruct model {model.path} has no chat template"
            raise UserError(problem, "pass it as --base, or pass a model that was fine-tuned with a template")

    def refuse(needing: Sequence[str]) -> None:
        for name, endpoint in plan.engines.items():
            refuse_unservable(name, endpoint, needing)

    with quiet_harness() as counts:
        tasks = load_tasks(choice, plan.seed, refuse)
    refuse(likelihood_tasks(tasks))  # also tasks that are Python classes
    outcomes: dict[str, list[MetricOutcome]] = {}
    models: dict[str, dict[str, Any]] = {}
    notes = _notes("tasks", counts)
    for loaded in open_in_turn(compared, compared_names(compared), plan.engines):
        start = time.perf_counter()
        with quiet_harness() as counts:
            outcomes[loaded.name] = run_tasks(loaded, tasks, plan, with_template=loaded.name != Role.BASE)
        print(f"{loaded.name}: {len(tasks['tasks'])} tasks ({time.perf_counter() - start:.1f} s)", file=sys.stderr)
        models[loaded.name] = {
            "path": loaded.path,
            "fingerprint": loaded.fingerprint,
            "computed_in": loaded.computed_in,
            "template": loaded.name != Role.BASE,
        }
        if isinstance(loaded, ServedModel):
            models[loaded.name]["engine"] = loaded.engine
        notes += _notes(loaded.name, counts)
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
        "notes": notes,
    }


@contextmanager
def quiet_harness() -> Iterator[Counter[str]]:
    """Print nothing of the harness except, on a terminal, progress bars; yield the counts of the warnings in `_NOTES`.
    Standard errors are bootstrapped in this process: the harness would start one for each core."""
    os.environ.setdefault("DISABLE_MULTIPROC", "1")
    counts: Counter[str] = Counter()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: counts.update(  # type: ignore[method-assign]
        note for sign, note in _NOTES.items() if sign in record.getMessage()
    )
    logger = logging.getLogger("lm_eval")
    was_propagating, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    is_terminal = sys.stderr.isatty()
    if not is_terminal:
        datasets.disable_progress_bars()
    shown = sys.stderr if is_terminal else StringIO()
    try:
        with redirect_stdout(shown), redirect_stderr(shown):
            yield counts
    finally:
        logger.removeHandler(handler)
        logger.propagate = was_propagating


def _notes(source: str, counts: Counter[str]) -> list[str]:
    return [f"{source}: {note} ({n:,} times)" for note, n in counts.items()]

"""Running the Python of answers in confined child processes, a few at a time, and what their tests say.

Nothing runs before `refuse_unless_confined` has seen every protection hold on this machine.
"""

import errno
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError
from pipelines.evaluation.code_execution.code_tests import CodeTests
from pipelines.evaluation.code_execution.limits import DEFAULT_LIMITS, Outcome, RunLimits, RunResult
from pipelines.evaluation.code_execution.probes import refuse_unless_confined
from pipelines.evaluation.code_execution.workers import Nursery, WorkerEndedError, nurseries
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition

if TYPE_CHECKING:  # prompts.py reads tests by this package
    from pipelines.evaluation.prompts.prompt_sets import Prompt
    from pipelines.inference.generation import Answer

EXECUTION_METRICS = (
    MetricDefinition(
        "runs", "runs", "share", "higher", "share of answers whose code runs without an error", Group.EXECUTION, True
    ),
    MetricDefinition(
        "passes_tests",
        "passes its tests",
        "share",
        "higher",
        "share of answers that pass all tests given with their prompt",
        Group.EXECUTION,
        True,
    ),
)
_OUTCOME_OF_ERROR = {"MemoryError": Outcome.MEMORY, "PermissionError": Outcome.DENIED}
Program = dict[str, Any]

_OUTCOMES = {"timeout": Outcome.TIMEOUT, "files": Outcome.FILES, "denied": Outcome.DENIED, "crashed": Outcome.CRASHED}

_ENDED_ITS_WORKER = {"ran": False, "passed": False, "outcome": "crashed", "reason": "the worker that ran it ended"}


def refuse_unless_told_to_run(run_code: bool) -> None:
    """Raise `UserError` unless `run_code`: nothing that a model wrote runs by itself."""
    if not run_code:
        raise UserError(
            expected="leave to run what a model wrote",
            got="run_code=False",
            remedy="give run_code=True; it runs in confined child processes",
        )


def run_texts(
    texts: Sequence[str],
    tests: Sequence[CodeTests | None],
    limits: RunLimits = DEFAULT_LIMITS,
    n_workers: int | None = None,
) -> list[RunResult]:
    """What became of the Python of each answer `texts[i]` with `tests[i]`, in their order.

    By default as many run at once as there are processors. Raises `UserError` where the machine cannot confine them.
    """
    refuse_unless_confined()
    programs = [_program_of(text, own) for text, own in zip(texts, tests, strict=True)]
    n_workers = min(n_workers or len(os.sched_getaffinity(0)), len(programs))
    if n_workers == 0:
        return []
    with nurseries(n_workers) as workers, ThreadPoolExecutor(n_workers) as pool:
        idle: SimpleQueue[Nursery] = SimpleQueue()
        for worker in workers:
            idle.put(worker)

        def run(program: Program | None) -> RunResult:
            if program is None:
                return RunResult(False, None, Outcome.NO_CODE, "", 0.0)
            worker = idle.get()
            began = time.monotonic()
            try:
                reply = worker.run(program | {"limits": limits.to_json(), "guarded": True})
            except WorkerEndedError:  # whatever ended it came with this answer; the others are not to pay for it
                worker.start_again()
                reply = _ENDED_ITS_WORKER | {"seconds": round(time.monotonic() - began, 4)}
            finally:
                idle.put(worker)
            return _result_of(reply, has_tests=bool(program["tests"]))

        results = list(pool.map(run, programs))
    return [
        replace(result, passes_tests=False) if result.outcome == Outcome.NO_CODE and own is not None else result
        for result, own in zip(results, tests, strict=True)
    ]


def execution_results(
    prompts: Sequence["Prompt"],
    answers: Sequence[Sequence["Answer"]],
    limits: RunLimits = DEFAULT_LIMITS,
    n_workers: int | None = None,
) -> list[list[RunResult | None]]:
    """What became of each answer to each prompt; None where the prompt asks for no Python and has no tests."""
    asked = [(prompt, answer) for prompt, own in zip(prompts, answers, strict=True) for answer in own]
    asked = [(prompt, answer) for prompt, answer in asked if prompt.asks_for_code]
    texts, tests = [answer.text for _, answer in asked], [prompt.tests for prompt, _ in asked]
    results = iter(run_texts(texts, tests, limits, n_workers))
    return [
        [next(results) if prompt.asks_for_code else None for _ in own]
        for prompt, own in zip(prompts, answers, strict=True)
    ]


def execution_checks(
    prompts: Sequence["Prompt"],
    answers: Sequence[Sequence["Answer"]],
    limits: RunLimits = DEFAULT_LIMITS,
    n_workers: int | None = None,
) -> list[list[dict[str, bool | None]]]:
    """The `EXECUTION_METRICS` of each answer to each prompt, None where one does not apply.

    Raises `UserError` where this machine cannot confine what is run.
    """
    found = execution_results(prompts, answers, limits, n_workers)
    return [
        [{"runs": one.runs if one else None, "passes_tests": one.passes_tests if one else None} for one in own]
        for own in found
    ]


def _program_of(text: str, tests: CodeTests | None) -> Program | None:
    """What is run for an answer: its code between what its tests need before and after it; None without a statement."""
    # Here, because its package reads prompts, and they read tests by this one.
    from pipelines.evaluation.metrics.python_answer import code_of

    code = code_of(text)
    if all(not line.strip() or line.lstrip().startswith("#") for line in code.splitlines()):
        return None
    if tests is None:
        return {"before": "", "answer": code, "setup": "", "tests": []}
    before, answer = tests.program_of(text, code)
    return {"before": before, "answer": answer, "setup": tests.setup, "tests": list(tests.statements)}


def _result_of(reply: dict[str, Any], *, has_tests: bool) -> RunResult:
    ran, passed, reason = reply["ran"], reply["passed"], reply["reason"]
    if reply["outcome"] == "not confined":
        raise UserError(
            expected="every protection of the machine around generated code",
            got=f"one that failed while answers ran ({reason})",
            remedy="leave --run_code off here",
        )
    if passed or (ran and not has_tests):
        outcome = Outcome.PASSED if has_tests else Outcome.RAN
    elif reply["outcome"] in _OUTCOMES:
        outcome = _OUTCOMES[reply["outcome"]]
    else:
        outcome = _outcome_of(reason)
    return RunResult(ran, passed if has_tests else None, outcome, reason, reply["seconds"])


def _outcome_of(reason: str) -> Outcome:
    """The outcome of code that ended by an exception, from its name and words."""
    name = reason.split(" ")[0]
    if name == "AssertionError" and (" in test " in reason or " in setup" in reason):
        return Outcome.WRONG
    if name == "OSError" and reason.endswith(os.strerror(errno.EFBIG)):
        return Outcome.FILES
    return _OUTCOME_OF_ERROR.get(name, Outcome.ENDED if name in ("", "ended") else Outcome.ERROR)

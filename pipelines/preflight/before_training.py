"""Asking the doctor before step 1: what `sft.py`, `dpo.py` and `pretrain.py` do with what it finds."""

import sys
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments

from pipelines.errors import AnswerIsNo, UserError
from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.thresholds import threshold_findings
from pipelines.preflight.console.console_report import finding_lines, report_lines, wants_colour
from pipelines.preflight.context_builder import Inputs
from pipelines.preflight.run_checks import run_checks
from pipelines.recipe import Recipe
from pipelines.recipe.arguments import DataArguments, DoctorMode
from pipelines.records.finding import Finding, Severity
from pipelines.training.data.ledger import Ledger


def run_preflight(recipe: Recipe, stage: Stage, inputs: Inputs | None = None) -> dict[str, Any] | None:
    """Examine `recipe` before a run, print what is found, and return it for run.json; None where the recipe says off.

    `inputs` are what the program has loaded already.

    Every process calls this; rank 0 looks, and all learn the answer. Raises `AnswerIsNo` for findings that ruin a run,
    unless the recipe's `doctor` is warn, and `UserError` as `run_checks`.
    """
    data, training, _ = recipe.arguments
    mode = data.doctor
    if mode is DoctorMode.OFF:
        return None
    said: dict[str, Any] = {}
    refusal: UserError | None = None
    if training.process_index == 0:
        try:
            examination = run_checks(recipe, stage, inputs=inputs)
        except UserError as error:
            refusal = error
        else:
            print(*report_lines(examination, wants_colour(sys.stderr)), sep="\n", file=sys.stderr, flush=True)
            said = {"mode": mode.value, **examination.to_json(with_rows=not training.push_to_hub)}
    said, refusal = _told_to_all(training, (said, refusal))
    if refusal is not None:
        raise refusal
    if mode is DoctorMode.ERROR:
        stop_at_errors([finding["id"] for finding in said["findings"] if finding["severity"] == Severity.ERROR.value])
    return said


def check_thresholds(ledger: Ledger, data: DataArguments, said: dict[str, Any] | None, *, tells: bool) -> None:
    """Ask once more about all rows where the doctor saw a sample: what the ledger says that the recipe does not allow.

    Raises `AnswerIsNo` as `run_preflight`. `tells` is true on the one rank that prints.
    """
    if said is None or said["rows"]["train"]["n_seen"] == ledger.n_rows:
        return
    known = {finding["id"] for finding in said["findings"]}
    found: list[Finding] = [one for one in threshold_findings(ledger, data) if one.id not in known]
    if tells:
        for finding in found:
            print(*finding_lines(finding, wants_colour(sys.stderr)), sep="\n", file=sys.stderr, flush=True)
    said["findings"] += [finding.to_json() for finding in found]
    said["n_errors"] += len(found)
    if data.doctor is DoctorMode.ERROR:
        stop_at_errors([finding.id for finding in found])


def stop_at_errors(ids: list[str]) -> None:
    """Raise `AnswerIsNo` if there is an id of a finding of severity error."""
    if ids:
        raise AnswerIsNo(
            f"the doctor found errors ({', '.join(dict.fromkeys(ids))}); nothing was trained or written: "
            "fix the recipe or the rows as described above, or train anyway with --doctor warn"
        )


def _told_to_all(training: TrainingArguments, answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """Rank 0's `answer`, on every rank."""
    return answer if training.world_size == 1 else tuple(broadcast_object_list(list(answer)))

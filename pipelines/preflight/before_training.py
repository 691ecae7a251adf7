"""Run the doctor before step 1 of `sft.py`, `dpo.py` and `pretrain.py`."""

import sys
from typing import Any

from pipelines.errors import AnswerIsNo
from pipelines.inference.processes import made_once
from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks.thresholds import threshold_findings
from pipelines.preflight.console.console_report import finding_lines, report_lines
from pipelines.preflight.console.terminal import supports_color
from pipelines.preflight.context_builder import Inputs
from pipelines.preflight.run_checks import run_checks
from pipelines.recipe import Recipe
from pipelines.recipe.arguments import DataArguments, DoctorMode
from pipelines.records.finding import Severity
from pipelines.training.data.ledger import Ledger


def run_preflight(recipe: Recipe, stage: Stage, inputs: Inputs | None = None) -> dict[str, Any] | None:
    """Check `recipe`, print the findings and return them for run.json; None if the recipe turns the doctor off.

    `inputs` are what the program has loaded already. Every rank calls this; rank 0 checks. Raises `AnswerIsNo` for
    errors unless the recipe's `doctor` is warn, and `UserError` as `run_checks`.
    """
    data, training, _ = recipe.arguments
    if data.doctor is DoctorMode.OFF:
        return None

    def checked() -> dict[str, Any]:
        report = run_checks(recipe, stage, inputs=inputs)
        print(*report_lines(report, supports_color(sys.stderr)), sep="\n", file=sys.stderr, flush=True)
        return {"mode": data.doctor.value, **report.to_json(with_rows=not training.push_to_hub)}

    record = made_once(checked)
    if data.doctor is DoctorMode.ERROR:
        _stop_at([finding["id"] for finding in record["findings"] if finding["severity"] == Severity.ERROR.value])
    return record


def stopped_at_errors(record: dict[str, Any] | None) -> bool:
    """Whether the doctor ran and would have stopped the run at an error."""
    return record is not None and record["mode"] == DoctorMode.ERROR.value


def check_thresholds(ledger: Ledger, data: DataArguments, record: dict[str, Any] | None, *, tells: bool) -> None:
    """Print the ledger. Check the thresholds again on all rows if the doctor saw only a sample, and add the findings to
    its `record`.

    Raises `AnswerIsNo` as `run_preflight`. `tells` is true on the rank that prints.
    """
    if tells:
        print(f"ledger: {ledger.summary()}", flush=True)
    if record is None or record["rows"]["train"]["n_seen"] == ledger.n_rows:
        return
    known = {finding["id"] for finding in record["findings"]}
    found = [one for one in threshold_findings(ledger, data) if one.id not in known]
    for finding in found if tells else ():
        print(*finding_lines(finding, supports_color(sys.stderr)), sep="\n", file=sys.stderr, flush=True)
    record["findings"] += [finding.to_json() for finding in found]
    record["n_errors"] += len(found)
    if data.doctor is DoctorMode.ERROR:
        _stop_at([finding.id for finding in found])


def _stop_at(ids: list[str]) -> None:
    if ids:
        raise AnswerIsNo(
            f"the doctor found errors ({', '.join(dict.fromkeys(ids))}); nothing was trained or written: fix the "
            "recipe or the rows as shown above, or train anyway with --doctor warn"
        )

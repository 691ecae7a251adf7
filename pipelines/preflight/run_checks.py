"""Run every check on a recipe; worst findings first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks import CHECKS
from pipelines.preflight.checks.evidence import Check
from pipelines.preflight.context_builder import MAX_ROWS, Inputs, build_context
from pipelines.preflight.masked_evidence import masked
from pipelines.recipe import Recipe
from pipelines.records.finding import Finding, Severity

SCHEMA_VERSION = 1  # of the record, documented in preflight/README.md

_ORDER = list(Severity)


@dataclass(frozen=True)
class PreflightReport:
    """All findings, worst first, and the context that they are about."""

    context: CheckContext
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity is severity]

    def to_json(self, *, with_rows: bool = True) -> dict[str, Any]:
        """The record in run.json and of `doctor.py --json`; without text of rows for a folder that becomes public."""
        splits = self.context.splits
        return {
            "kind": "diagnosis",
            "schema_version": SCHEMA_VERSION,
            "stage": self.context.stage.value,
            "n_errors": len(self.of(Severity.ERROR)),
            "n_warnings": len(self.of(Severity.WARNING)),
            "rows": {one.split: {"n_rows": one.n_rows, "n_seen": len(one.rows)} for one in splits},
            "n_checks": len(CHECKS),
            "findings": [finding.to_json(with_rows=with_rows) for finding in self.findings],
        }


def run_checks(
    recipe: Recipe,
    stage: Stage,
    *,
    max_rows: int | None = MAX_ROWS,
    inputs: Inputs | None = None,
    earlier_findings: Sequence[Finding] = (),
    further_checks: Sequence[Check] = (),
) -> PreflightReport:
    """Build the context of `recipe` and run every check on it.

    `max_rows` and `inputs` as for `build_context`, and raises as it; `earlier_findings` are about the recipe's keys,
    `further_checks` are run after the usual ones.
    """
    context, captured = build_context(recipe, stage, max_rows=max_rows, inputs=inputs)
    known = {finding.id for finding in captured}  # reported once, with the error message of the run
    checked = [finding for check in (*CHECKS, *further_checks) for finding in check(context) if finding.id not in known]
    found = sorted(
        masked([*earlier_findings, *captured, *checked], context), key=lambda finding: _ORDER.index(finding.severity)
    )
    return PreflightReport(context, tuple(found))

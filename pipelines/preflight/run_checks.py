"""The examination: every check on a case, worst findings first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks import CHECKS
from pipelines.preflight.context_builder import MAX_ROWS, Inputs, build_context
from pipelines.recipe import Recipe
from pipelines.records.finding import Finding, Severity

_ORDER = list(Severity)


@dataclass(frozen=True)
class PreflightReport:
    """All findings about a recipe, worst first, and the case that they are about."""

    context: CheckContext
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity is severity]

    def to_json(self, *, with_rows: bool = True) -> dict[str, Any]:
        """What run.json keeps and `doctor.py --json` prints; without text of rows for a folder that becomes public."""
        return {
            "kind": "diagnosis",
            "stage": self.context.stage.value,
            "n_errors": len(self.of(Severity.ERROR)),
            "n_warnings": len(self.of(Severity.WARNING)),
            "rows": {
                seen.split: {"n_rows": seen.n_rows, "n_seen": len(seen.rows)} for seen in self.context.splits
            },
            "n_checks": len(CHECKS),
            "findings": [finding.to_json(with_rows=with_rows) for finding in self.findings],
        }  # fmt: skip


def run_checks(
    recipe: Recipe,
    stage: Stage,
    *,
    max_rows: int | None = MAX_ROWS,
    inputs: Inputs | None = None,
    earlier_findings: Sequence[Finding] = (),
) -> PreflightReport:
    """Build the context of `recipe` (`max_rows` and `inputs` as for `build_context`) and run every check on it.

    `earlier_findings` are findings about how the recipe is written.

    Raises `UserError` as `build_context`.
    """
    context, refused = build_context(recipe, stage, max_rows=max_rows, inputs=inputs)
    refused_ids = {finding.id for finding in refused}  # told once, in the words of the run
    checked = (finding for check in CHECKS for finding in check(context) if finding.id not in refused_ids)
    return PreflightReport(context, worst_first([*earlier_findings, *refused, *checked]))


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """`findings` by severity, otherwise as they came."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))

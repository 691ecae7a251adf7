"""The doctor's report in a terminal: each finding with its evidence, why it matters and the fix."""

from rich.text import Text

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks import CHECKS
from pipelines.preflight.console.terminal import columns, one_line, rendered, wrapped
from pipelines.preflight.console.token_view import evidence_lines
from pipelines.preflight.run_checks import PreflightReport
from pipelines.records.finding import Evidence, Finding, Severity

MAX_EXCERPT = 400  # characters of one evidence
_INDENT = "    "
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}


def report_lines(report: PreflightReport, color: bool) -> list[str]:
    """Every finding with an empty line after it, then one line that counts findings and rows."""
    lines: list[str] = []
    for finding in report.findings:
        lines += [*finding_lines(finding, color), ""]
    return [*lines, *wrapped(_closing_line(report), columns())]


def finding_lines(finding: Finding, color: bool) -> list[str]:
    """One finding as a block: severity and id, summary, evidence, why, fix."""
    title = Text.assemble((f"{finding.severity.value.upper():<8}", _STYLES[finding.severity]), (finding.id, "bold"))
    lines = [rendered(title, color)]
    lines += wrapped(one_line(finding.summary), columns(), first=_INDENT, rest=_INDENT)
    for evidence in finding.evidence:
        lines += _evidence_block(evidence, color)
    remedy = f"{finding.remedy} (doctor.py --fix --write applies it)" if finding.fix else finding.remedy
    for label, text in (("why", finding.why), ("fix", remedy)):
        first = _INDENT + rendered(Text(f"{label:<5}", "dim"), color)
        lines += wrapped(one_line(text), columns(), first=first, rest=_INDENT + " " * 5)
    return lines


def _evidence_block(evidence: Evidence, color: bool) -> list[str]:
    place = "" if evidence.row is None else f"row {evidence.row}"
    if evidence.split is not None:
        place = " of ".join(part for part in (place, one_line(evidence.split, 40)) if part)
    text = one_line(evidence.text, MAX_EXCERPT)
    lines = []
    if text or place:
        shown = Text.assemble((place, "bold"), ": " if place and text else "", text)
        lines = wrapped(shown, columns(), color, first=f"{_INDENT}- ", rest=f"{_INDENT}  ")
    if evidence.tokens:
        tokens = evidence_lines(evidence.tokens, columns() - len(_INDENT) - 2, color)
        lines += [f"{_INDENT}  {line}" for line in tokens]
    return lines


def _closing_line(report: PreflightReport) -> str:
    context = report.context
    unit = "documents" if context.stage is Stage.PRETRAIN else "rows"
    parts = []
    for sampled in context.splits:
        name = f"training {unit} checked" if sampled is context.train else f"held-out {unit}"
        parts.append(f"{len(sampled.rows)} of {sampled.n_rows} {name}")
    sampled_at = next((place for place, sampled in enumerate(context.splits) if sampled.is_sample), None)
    if sampled_at is not None:
        parts[sampled_at] += " (--all for every row)"
    if getattr(context.data, "streaming", False):
        parts.append("the first of a stream")
    return f"{context.stage.value}: {_counts(report)}; {', '.join(parts)}; {len(CHECKS)} checks"


def _counts(report: PreflightReport) -> str:
    counts = {severity: len(report.of(severity)) for severity in Severity}
    shown = [f"{n} {severity.value}{'' if n == 1 else 's'}" for severity, n in counts.items() if n]
    if not shown:
        return "nothing found"
    if not counts[Severity.ERROR] and not counts[Severity.WARNING]:
        shown = ["no errors, no warnings", *shown]
    return ", ".join(shown)

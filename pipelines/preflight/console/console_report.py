"""What a terminal shows of an examination: each finding with its evidence, why it matters and what to do."""

from pipelines.preflight.check_context import Stage
from pipelines.preflight.checks import CHECKS
from pipelines.preflight.console.shown_text import Paint, columns, on_one_line, painted, wants_colour, wrapped
from pipelines.preflight.console.token_lines import evidence_lines
from pipelines.preflight.run_checks import PreflightReport
from pipelines.records.finding import Evidence, Finding, Severity

__all__ = ["finding_lines", "report_lines", "wants_colour"]

MAX_EXCERPT = 400  # characters of one evidence; checks give less
_INDENT = "    "
_LABEL_WIDTH = 8  # "remedy" and two spaces
_PAINTS = {Severity.ERROR: Paint.ERROR, Severity.WARNING: Paint.WARNING, Severity.NOTE: Paint.NOTE}


def report_lines(examination: PreflightReport, colour: bool) -> list[str]:
    """Every finding with an empty line after it, then one line that counts them and what was looked at."""
    lines: list[str] = []
    for finding in examination.findings:
        lines += [*finding_lines(finding, colour), ""]
    return [*lines, *wrapped(_closing_line(examination), columns())]


def finding_lines(finding: Finding, colour: bool) -> list[str]:
    """One finding as a block: severity and id, summary, evidence, why, remedy."""
    head = painted(f"{finding.severity.value.upper():<8}", _PAINTS[finding.severity], colour)
    lines = [head + painted(on_one_line(finding.id), Paint.BOLD, colour)]
    lines += [_INDENT + line for line in wrapped(on_one_line(finding.summary), columns() - len(_INDENT))]
    for one in finding.evidence:
        lines += _evidence_block(one, colour)
    lines += _labelled("why", finding.why, colour)
    remedy = f"{finding.remedy} (doctor.py --fix --write does it)" if finding.fix else finding.remedy
    return lines + _labelled("remedy", remedy, colour)


def _evidence_block(evidence: Evidence, colour: bool) -> list[str]:
    place = _place(evidence)
    text = on_one_line(evidence.text, MAX_EXCERPT)
    width = columns() - len(_INDENT)
    lines = []
    if text or place:
        first, *more = wrapped(": ".join(part for part in (place, text) if part), width - 2)
        shown = first.removeprefix(place)
        lines = [painted(place, Paint.BOLD, colour) + shown if first.startswith(place) else first]
        lines = [f"{_INDENT}- {lines[0]}", *(f"{_INDENT}  {line}" for line in more)]
    if evidence.tokens:
        lines += [f"{_INDENT}  {line}" for line in evidence_lines(evidence.tokens, width - 2, colour)]
    return lines


def _place(evidence: Evidence) -> str:
    """ "row 17 of train"."""
    row = "" if evidence.row is None else f"row {evidence.row}"
    split = "" if evidence.split is None else on_one_line(evidence.split, 40)
    return " of ".join(part for part in (row, split) if part)


def _labelled(label: str, text: str, colour: bool) -> list[str]:
    width = columns() - len(_INDENT) - _LABEL_WIDTH
    first, *more = wrapped(on_one_line(text), width)
    head = painted(f"{label:<{_LABEL_WIDTH}}", Paint.SOFT, colour)
    return [_INDENT + head + first, *(_INDENT + " " * _LABEL_WIDTH + line for line in more)]


def _closing_line(examination: PreflightReport) -> str:
    context = examination.context
    things = "documents" if context.stage is Stage.PRETRAIN else "rows"
    looked = []
    for seen in context.splits:
        name = f"training {things} checked" if seen is context.train else f"held-out {things}"
        looked.append(f"{len(seen.rows)} of {seen.n_rows} {name}")
    sampled = next((place for place, seen in enumerate(context.splits) if seen.is_sample), None)
    if sampled is not None:
        looked[sampled] += " (--all for every row)"
    if getattr(context.data, "streaming", False):
        looked.append("of a stream, as it begins")
    return f"{context.stage.value}: {_counts(examination)}; {', '.join(looked)}; {len(CHECKS)} checks"


def _counts(examination: PreflightReport) -> str:
    counts = {severity: len(examination.of(severity)) for severity in Severity}
    told = [f"{n} {severity.value}{'' if n == 1 else 's'}" for severity, n in counts.items() if n]
    if not told:
        return "nothing found"
    if not counts[Severity.ERROR] and not counts[Severity.WARNING]:
        told = ["no errors, no warnings", *told]
    return ", ".join(told)

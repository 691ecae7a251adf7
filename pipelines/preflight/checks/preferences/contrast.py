"""Checks for pairs whose two answers are the same but for white space and case, or but for one phrase."""

from collections import Counter
from collections.abc import Iterator, Sequence

from pipelines.modeling.chat.alignment import n_equal
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import (
    Check,
    diff_excerpts,
    head,
    kept_rows,
    row_evidence,
    severity_by_share,
    share_of,
)
from pipelines.records.finding import Finding, Severity

_ALIKE_ERROR, _ALIKE = 0.5, 0.02  # of the pairs; 0.5% in public sets of edited answers
_MIN_ALIKE = 2
_ONE_PHRASE, _MIN_ONE_PHRASE = 0.5, 10  # of the pairs; 4.5% in public sets of edited answers


def pairs_alike(context: CheckContext) -> Iterator[Finding]:
    """PAIRS_ALIKE: chosen and rejected are the same text but for white space and case."""
    if context.stage is not Stage.DPO:
        return
    rows = kept_rows(context)
    found = [row for row in rows if _lines(row.answers[0]) == _lines(row.answers[1])]
    if found:
        severity = severity_by_share(len(found), len(rows), error=_ALIKE_ERROR, warning=_ALIKE)
        yield Finding(
            "PAIRS_ALIKE",
            severity if len(found) >= _MIN_ALIKE else Severity.NOTE,
            summary=f"{share_of(len(found), len(rows))} pairs have answers that differ only in white space or case",
            why="these pairs teach white space and case, and push down the text that they should raise",
            remedy="remove these pairs, or join chosen and rejected again from their source",
            evidence=row_evidence(found, lambda row: f"{row.answers[0][:60]!r} | {row.answers[1][:60]!r}"),
            n_rows=len(found),
        )


def pairs_of_one_phrase(context: CheckContext) -> Iterator[Finding]:
    """PAIRS_DIFFER_IN_ONE_PHRASE: in most pairs the chosen answer is the rejected one with the same words added."""
    if context.stage is not Stage.DPO:
        return
    rows = kept_rows(context)
    by_row = [_difference(*row.answers) for row in rows]
    [((added, gone), count)] = Counter(by_row).most_common(1) or [(("", ""), 0)]
    if not (added or gone) or count < max(_MIN_ONE_PHRASE, _ONE_PHRASE * len(rows)):
        return
    found = [row for row, one in zip(rows, by_row, strict=True) if one == (added, gone)]
    what = f'have "{head(added, 60)}"' if added else "lack nothing"
    if gone:
        what += f' where the rejected ones have "{head(gone, 60)}"'
    yield Finding(
        "PAIRS_DIFFER_IN_ONE_PHRASE",
        Severity.NOTE if gone else Severity.WARNING,
        summary=f"the chosen answers of {share_of(len(found), len(rows))} pairs {what}, and are equal otherwise",
        why="the model learns to write this phrase, and nothing about good answers",
        remedy="remove these pairs, or compare answers that were written independently",
        evidence=row_evidence(found, lambda row: " | ".join(diff_excerpts(row.answers[0], row.answers[1], 65))),
        n_rows=len(found),
    )


def _lines(text: str) -> Sequence[str]:
    """A text's lines without differences of case and of spaces inside of them. Line breaks and indentation stay: a set
    may be about them."""
    lines = text.strip().expandtabs().casefold().split("\n")
    return [line[: len(line) - len(line.lstrip())] + " ".join(line.split()) for line in lines if line.strip()]


def _difference(chosen: str, rejected: str) -> tuple[str, str]:
    """The words that are left of two answers without their common beginning and end."""
    a, b = chosen.casefold().split(), rejected.casefold().split()
    begin = n_equal(a, b)
    a, b = a[begin:], b[begin:]
    end = n_equal(a[::-1], b[::-1])
    return " ".join(a[: len(a) - end]), " ".join(b[: len(b) - end])


CHECKS: tuple[Check, ...] = (pairs_alike, pairs_of_one_phrase)

"""A check for documents that are nearly an earlier one."""

from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check, diff_excerpts, share_of, spread
from pipelines.preflight.near_duplicates import Row, earlier_copies
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_MAX_DOCUMENTS = 4_000  # that are compared with each other
# of the documents. Lee et al. 2022 found 3% in C4; children's books that appear in several collections have 2%.
_WARNING_SHARE, _NOTE_SHARE = 0.05, 0.005


def documents_nearly_alike(context: CheckContext) -> Iterator[Finding]:
    """DOCUMENTS_NEARLY_ALIKE: documents that are an earlier one but for some words; exact copies are DUPLICATE_ROWS."""
    if context.stage is not Stage.PRETRAIN:
        return
    rows = spread([row for row in context.train.rows if row.answers[0].strip()], _MAX_DOCUMENTS)
    distinct = list({" ".join(row.answers[0].casefold().split()): row for row in reversed(rows)}.values())[::-1]
    found = earlier_copies([Row("", row.answers[0]) for row in distinct])
    share = len(found) / max(1, len(distinct))
    if share < _NOTE_SHARE:
        return
    pairs = [(distinct[one.held_out], distinct[one.train]) for one in found]
    quoted = [(row, other, diff_excerpts(other.answers[0], row.answers[0], 55)) for row, other in pairs[:MAX_EVIDENCE]]
    yield Finding(
        "DOCUMENTS_NEARLY_ALIKE",
        Severity.WARNING if share >= _WARNING_SHARE else Severity.NOTE,
        summary=f"{share_of(len(found), len(distinct))} documents equal an earlier one except for a few words",
        why="the model memorizes documents that it sees several times, and there is less text than it seems",
        remedy="keep one of each: name the step `near_duplicates` in the file for `python data_prep/build_corpus.py "
        "--source FILE --steps STEPS --output FOLDER`",
        evidence=tuple(
            Evidence(f"row {other.number}: {one} | here: {two}", row.number, "train")
            for row, other, (one, two) in quoted
        ),
        n_rows=len(found),
    )


CHECKS: tuple[Check, ...] = (documents_nearly_alike,)

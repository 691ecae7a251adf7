"""A check for trailing turns: after the answer comes the header of another task or turn."""

from collections.abc import Iterator

from data_prep.conversation import trailing_turn_start
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import (
    Check,
    evidence_of_splits,
    excerpt,
    rows_of_splits,
    severity_by_share,
    wanted_answers,
)
from pipelines.records.finding import Finding

_ERROR_SHARE = 0.01  # of the rows: a model does what one answer in a hundred does


def trailing_turns(context: CheckContext) -> Iterator[Finding]:
    """ANSWER_RUNS_ON: answers with the header of another task or turn."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = rows_of_splits(context)
    found = []
    for split, row in rows:
        starts = ((one, trailing_turn_start(row.asked, one)) for one in wanted_answers(row, context.stage))
        shown = next((excerpt(answer, start, start + 60) for answer, start in starts if start is not None), None)
        if shown is not None:
            found.append((split, row, shown))
    if found:
        yield Finding(
            "ANSWER_RUNS_ON",
            severity_by_share(len(found), len(rows), error=_ERROR_SHARE),
            summary=f"{len(found)} of {len(rows)} rows have an answer that continues with another task or turn",
            why="the model learns to ask itself another question instead of stopping",
            remedy="cut these answers before the header, or remove the rows",
            evidence=evidence_of_splits(found),
            n_rows=len(found),
        )


CHECKS: tuple[Check, ...] = (trailing_turns,)

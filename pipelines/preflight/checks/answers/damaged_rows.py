"""What checks of damaged answers share: the rows with a damaged answer, and the finding about them."""

import json
from collections.abc import Callable, Iterator

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import evidence_of_splits, rows_of_splits, share_of, wanted_answers
from pipelines.records.finding import Finding, Severity

Damage = Callable[[str, str], str | None]  # prompt and answer to an excerpt of the damage
Damaged = list[tuple[str, SampledRow, str]]  # split, row, excerpt

_MIN_ROWS, _MIN_SHARE = 2, 0.0025  # for a warning: public sets have up to 0.05% of what looks like damage
_WEB_SHARE = 0.05  # of documents: a page in a hundred has some
_ERROR_ROWS = 5


def damaged_rows(context: CheckContext, damage: Damage) -> tuple[Damaged, int]:
    """The rows with a damaged answer, each with an excerpt of the first, and the number of all rows."""
    rows = rows_of_splits(context)
    found = []
    for split, row in rows:
        for answer in wanted_answers(row, context.stage):
            if shown := damage(row.asked, answer):
                found.append((split, row, shown))
                break
    return found, len(rows)


def is_json(text: str) -> bool:
    """Whether a text is JSON as a whole."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def texts_in(context: CheckContext) -> str:
    """What the rows have: "answers", or "texts" where nothing is asked."""
    return "answers" if any(row.asked for row in context.train.rows) else "texts"


def severity_of(context: CheckContext, n_found: int, n_rows: int, error: float | None = None) -> Severity:
    """A note for single rows, a warning for more, from a share of `error` an error."""
    if error is not None and n_found >= max(_ERROR_ROWS, error * n_rows):
        return Severity.ERROR
    share = _WEB_SHARE if context.stage is Stage.PRETRAIN else _MIN_SHARE
    return Severity.WARNING if n_found >= max(_MIN_ROWS, share * n_rows) else Severity.NOTE


def damage_finding(
    name: str, context: CheckContext, damage: Damage, *, what: str, why: str, remedy: str, error: float | None = None
) -> Iterator[Finding]:
    """The finding about rows with damaged answers, if there are any: "the answers of 3 of 20 (15.0%) rows {what}"."""
    found, n_rows = damaged_rows(context, damage)
    if found:
        yield Finding(
            name,
            severity_of(context, len(found), n_rows, error),
            summary=f"the {texts_in(context)} of {share_of(len(found), n_rows)} rows {what}",
            why=why,
            remedy=remedy,
            evidence=evidence_of_splits(found),
            n_rows=len(found),
        )

"""What checks share: excerpts of rows as evidence, counts as text, and a severity by the share of rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from pipelines.modeling.chat.alignment import n_equal
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, LabelledToken, Severity
from pipelines.training.data.ledger import RowFate

Check = Callable[[CheckContext], Iterator[Finding]]
Tokens = tuple[LabelledToken, ...]

MATERIAL_SHARE = 0.01  # of the rows: a fault in fewer rows is reported but does not ruin a run
_MIN_ROWS = 5  # for an error by share: fewer rows are checked by hand quickly
_MAX_CHARACTERS = 150
_SHARED = 15  # characters before the first difference that are shown


def row_evidence(
    rows: Iterable[SampledRow],
    text: Callable[[SampledRow], str],
    tokens: Callable[[SampledRow], Tokens] | None = None,
) -> tuple[Evidence, ...]:
    """Evidence of the first `rows`, each with an excerpt and, if given, labeled tokens."""
    first = islice(rows, MAX_EVIDENCE)
    return tuple(Evidence(head(text(row)), row.number, "train", tokens(row) if tokens else ()) for row in first)


def kept_rows(context: CheckContext) -> list[SampledRow]:
    """The training rows that are not dropped."""
    return [row for row in context.train.rows if row.fate is not RowFate.DROPPED]


def rows_of_splits(context: CheckContext) -> list[tuple[str, SampledRow]]:
    """All sampled rows, each with its split."""
    return [(sampled.split, row) for sampled in context.splits for row in sampled.rows]


def evidence_of_splits(found: Iterable[tuple[str, SampledRow, str]]) -> tuple[Evidence, ...]:
    """Evidence of the first (split, row, text)."""
    return tuple(Evidence(head(text), row.number, split) for split, row, text in islice(found, MAX_EVIDENCE))


def excerpt(text: str, begin: int, end: int) -> str:
    """`text` from `begin` to `end` and what fits around it, on one line."""
    end = min(len(text), end, begin + _MAX_CHARACTERS)
    around = (_MAX_CHARACTERS - (end - begin)) // 2
    left, right = max(0, begin - around), min(len(text), end + around)
    shown = printable(text[left:right])[:_MAX_CHARACTERS]
    return ("…" if left else "") + shown + ("…" if right < len(text) else "")


def head(text: str, n_characters: int = _MAX_CHARACTERS) -> str:
    """The beginning of `text`, on one line."""
    shown = printable(text[:n_characters])[:n_characters]
    return shown if len(text) <= n_characters else f"{shown}…"


def diff_excerpts(one: str, other: str, n_characters: int) -> tuple[str, str]:
    """Excerpts of two texts at their first difference, quoted, each at most `n_characters` long."""
    lines = [" ".join(text.split()) for text in (one, other)]
    n_shared = n_equal(*lines)
    start = n_shared - _SHARED if lines[0] != lines[1] and n_shared > n_characters - _SHARED else 0
    a, b = (f'"{"…" if start else ""}{head(line[start:], n_characters)}"' for line in lines)
    return a, b


def texts_of(row: SampledRow) -> list[tuple[str, str]]:
    """Prompt and answers of a row, each with its name."""
    return [("prompt", row.asked)] * bool(row.asked) + [("answer", answer) for answer in row.answers]


def wanted_answers(row: SampledRow, stage: Stage) -> tuple[str, ...]:
    """The answers that the model should learn: for preferences the chosen one."""
    return row.answers[:1] if stage is Stage.DPO else row.answers


def spread(rows: Sequence[SampledRow], n: int) -> list[SampledRow]:
    """At most `n` of `rows`, evenly from first to last."""
    return [rows[place * len(rows) // n] for place in range(n)] if len(rows) > n else list(rows)


def severity_by_share(n_found: int, n_rows: int, *, error: float, warning: float = 0.0) -> Severity:
    """ERROR from a share of `error`, WARNING from `warning`, else NOTE."""
    share = n_found / max(1, n_rows)
    if share >= error and n_found >= _MIN_ROWS:
        return Severity.ERROR
    return Severity.WARNING if share >= warning else Severity.NOTE


def error_if_material(n_found: int, n_rows: int, otherwise: Severity = Severity.WARNING) -> Severity:
    """ERROR from one row in a hundred."""
    return Severity.ERROR if n_found >= MATERIAL_SHARE * n_rows else otherwise


def share_of(n_found: int, n_rows: int) -> str:
    """ "3 of 20 (15.0%)"."""
    return f"{n_found} of {n_rows} ({n_found / n_rows:.1%})"


def builder(context: CheckContext) -> str:
    """The program of data_prep that builds a dataset folder for this stage."""
    names = {Stage.PRETRAIN: "build_corpus.py", Stage.DPO: "build_preferences.py"}
    return f"data_prep/{names.get(context.stage, 'build_instructions.py')}"


def printable(text: str) -> str:
    """`text` with line breaks and everything else that is not printable escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)

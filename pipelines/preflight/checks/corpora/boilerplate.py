"""A check for a header or footer that most documents have.

Lines count if they stand at the beginning or the end of documents. Numbers in them may differ (pages, dates), unless
they differ in all documents in the first line, which is a numbered title, or such lines are much of the text, which is
a form that each document fills in. Licenses in source files are part of what such files are, and a note until they are
much of the text.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import Check, excerpt, head, share_of
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_MIN_DOCUMENTS = 10
_SHARE = 0.3  # of the documents that have the line. Other lines of public corpora are in 2% or fewer, code left out
_MIN_CHARACTERS = 18  # of a line: shorter ones are headings, names and signs
_N_EDGE_LINES = 3  # at each end, where a header or footer begins
_N_LINES, _EDGE = 20, 2_000  # lines and characters at each end that are searched for the rest of it
_OPENING = 60  # characters at each end that are compared where a text has no line break after its header
_LICENSE_SHARE = 0.05  # of all characters, from which licenses are a warning
_FORM_SHARE = 0.3  # of all characters are lines with numbers that differ
_NUMBER = re.compile(r"\d+")
_CODE = re.compile(
    r"^(?:from|import|package|using|use|require|#include|#!|if __name__|def |class |<\?|<!doctype|[{}()\[\];]+$)|[{};]$"
    r"|testmod|main\(\)",
    re.IGNORECASE,
)
_LICENSE = re.compile(r"licen[sc]e|copyright|spdx|warrant|all rights reserved|\(c\)|©", re.IGNORECASE)
_COMMENT = re.compile(r"^(?:#|//|/\*|\*|--|;|<!--|\"\"\")")


class _Line(NamedTuple):
    """A line that many documents have: as one of them spells it, and without case and numbers."""

    spelled: str
    plain: str
    rows: Sequence[SampledRow]

    @property
    def n_characters(self) -> int:
        return len(self.plain) * len(self.rows)


def repeated_header(context: CheckContext) -> Iterator[Finding]:
    """DOCUMENT_BOILERPLATE: the same first or last lines in a large part of the documents."""
    if context.stage is not Stage.PRETRAIN:
        return
    rows = [row for row in context.train.rows if row.answers[0].strip()]
    if len(rows) < _MIN_DOCUMENTS:
        return
    n_all = sum(len(row.answers[0]) for row in rows)
    first_or_last = _repeated_lines(rows, _N_EDGE_LINES, n_all)
    lines = first_or_last or _openings(rows)
    if not lines:
        return
    most = max(lines, key=lambda line: len(line.rows))
    repeated = _repeated_lines(rows, _N_LINES, n_all) if first_or_last else lines
    share = sum(line.n_characters for line in repeated) / n_all
    has_license = any(_LICENSE.search(line.plain) for line in repeated) and _COMMENT.match(most.plain) is not None
    yield Finding(
        "DOCUMENT_BOILERPLATE",
        Severity.NOTE if has_license and share < _LICENSE_SHARE else Severity.WARNING,
        summary=f'{share_of(len(most.rows), len(rows))} documents begin or end with "{head(most.spelled, 70)}"; '
        f"lines that so many have are {share:.1%} of the text",
        why="the model learns these words by heart, and to begin or end any text with them",
        remedy="remove these lines from the documents before the corpus is built",
        evidence=tuple(
            Evidence(_shown(row.answers[0], most.plain), row.number, "train") for row in most.rows[:MAX_EVIDENCE]
        ),
        n_rows=len(most.rows),
    )


def _repeated_lines(rows: Sequence[SampledRow], n_lines: int, n_all: int) -> list[_Line]:
    """The lines that many documents have among their first or last `n_lines`."""
    having: dict[str, list[SampledRow]] = defaultdict(list)
    spelled: dict[str, set[str]] = defaultdict(set)
    titles = Counter[str]()
    for row in rows:
        first, last = _lines_of(row.answers[0], n_lines)
        for plain, line in {_plain(line): line for line in (*first, *last)}.items():
            if len(plain) >= _MIN_CHARACTERS:
                having[plain].append(row)
                spelled[plain].add(line)
        titles[_plain(first[0])] += 1

    def is_numbered_title(plain: str) -> bool:
        return len(spelled[plain]) == len(having[plain]) <= titles[plain]

    lines = [
        _Line(min(spelled[plain]).strip(), plain, of)
        for plain, of in having.items()
        if len(of) >= _SHARE * len(rows) and not is_numbered_title(plain) and not _CODE.search(plain)
    ]
    filled_in = [line for line in lines if _NUMBER.search(line.plain)]
    is_form = sum(line.n_characters for line in filled_in) >= _FORM_SHARE * n_all
    return [line for line in lines if not is_form or line not in filled_in]


def _lines_of(text: str, n_lines: int) -> tuple[list[str], list[str]]:
    """The first and the last lines of a text that have something in them."""
    text = text.strip()
    first = [line for line in text[:_EDGE].split("\n", 2 * n_lines) if line.strip()][:n_lines]
    last = [line for line in text[-_EDGE:].rsplit("\n", 2 * n_lines) if line.strip()][-n_lines:]
    return first, last


def _openings(rows: Sequence[SampledRow]) -> list[_Line]:
    """Beginnings and ends that many documents have in common, without a line break after or before them."""
    found = []
    for ends in ({id(row): row.answers[0].strip()[:_OPENING] for row in rows},
                 {id(row): row.answers[0].strip()[-_OPENING:] for row in rows}):  # fmt: skip
        plain, n = Counter(map(_plain, ends.values())).most_common(1)[0]
        if n >= _SHARE * len(rows) and len(set(ends.values())) < n and not _CODE.search(plain):
            spelled = next(text for text in ends.values() if _plain(text) == plain)
            found.append(_Line(spelled, plain, [row for row in rows if _plain(ends[id(row)]) == plain]))
    return found


def _plain(line: str) -> str:
    return _NUMBER.sub("0", " ".join(line.split())).casefold()


def _shown(text: str, plain: str) -> str:
    """Where in `text` the repeated line is."""
    line = next((line for part in _lines_of(text, _N_EDGE_LINES) for line in part if _plain(line) == plain), "")
    begin = text.find(line) if line else 0
    return excerpt(text, begin, begin + min(len(line) or _OPENING, 100))


CHECKS: tuple[Check, ...] = (repeated_header,)

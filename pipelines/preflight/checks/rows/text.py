"""Checks of the text itself: control or replacement characters, answers that all end at one length."""

import re
from collections import Counter
from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import excerpt, texts_of, wanted_answers
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.rows.mojibake import SPEAKS_OF_ENCODINGS, is_literal
from pipelines.preflight.checks.rows.shares import severity_by_share
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_ERROR_SHARE = 0.05  # of the rows: few damaged rows teach little, a set that was read wrongly has many

# Form feeds are left out: sources of the last century, Python's library among them, are divided by them. A C1 control
# after a letter that UTF-8 could lead with is mojibake, which is told as that. "锟斤拷" is two U+FFFD read as GBK.
_DAMAGE = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f\N{REPLACEMENT CHARACTER}\ud800-\udfff]|(?<![\x80-\x9f\xc2-\xf4€])[\x80-\x9f]|锟斤拷"
)
_POSSIBLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\N{REPLACEMENT CHARACTER}\ud800-\uf8ff\ufeff锟]")  # fast
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
_INVISIBLE = re.compile("[\ufeff\ue000-\uf8ff]")  # a byte order mark within text; private use, which no font need have

# Answers that were cut at a number of characters all have this one length, and end anywhere.
_MIN_CUT_LENGTH = 200  # shorter ones are alike by chance: labels, dates, codes
_MIN_CUT_ANSWERS = 10
_CUT_SHARE = 0.01
_OPEN_END_SHARE = 0.8  # of them end in a letter, a digit or a comma; by chance one in a few does


def broken_characters(context: CheckContext) -> Iterator[Finding]:
    """Rows with control characters, replacement characters, lone surrogates; a note on invisible ones alone."""
    found: list[tuple[SampledRow, Evidence]] = []
    invisible: list[tuple[SampledRow, Evidence]] = []
    n_rows = 0
    for seen in context.splits:
        for row in seen.rows:
            n_rows += 1
            if not any(_POSSIBLE.search(text) for _, text in texts_of(row)):
                continue
            for pattern, places in ((_DAMAGE, found), (_INVISIBLE, invisible)):
                shown = _first_of(pattern, row)
                if shown is not None:
                    places.append((row, Evidence(shown, row.number, seen.split)))
                    break
    if not found and not invisible:
        return
    shown_rows = found or invisible
    kind = "control or replacement characters" if found else "invisible characters (byte order mark, private use)"
    yield Finding(
        "BROKEN_CHARACTERS",
        _severity(found, n_rows),
        summary=f"{len(shown_rows)} of {n_rows} rows have {kind}",
        why="the model learns to write them, and damaged text has often lost words too",
        remedy="read the source again in its own encoding, or remove these characters or rows",
        evidence=tuple(evidence for _, evidence in shown_rows[:MAX_EVIDENCE]),
        n_rows=len(shown_rows),
    )


def _severity(found: list[tuple[SampledRow, Evidence]], n_rows: int) -> Severity:
    """A note without damage; never an error for colours of a terminal in what is asked, which logs are full of."""
    if not found:
        return Severity.NOTE
    texts = (text for row, _ in found for text in (*row.answers, _COLOURS.sub("", row.asked)))
    if not any(_DAMAGE.search(text) for text in texts):
        return Severity.WARNING
    return severity_by_share(len(found), n_rows, error=_ERROR_SHARE)


def _first_of(pattern: re.Pattern[str], row: SampledRow) -> str | None:
    for name, text in texts_of(row):
        match = pattern.search(text)
        if match is None or is_literal(text, *match.span()) or SPEAKS_OF_ENCODINGS.search(row.asked):
            continue
        names = sorted({f"U+{ord(one):04X}" for one in match.group()})
        return f"{name} has {' '.join(names)}: {excerpt(text, *match.span())}"
    return None


def answers_end_abruptly(context: CheckContext) -> Iterator[Finding]:
    """Answers that a fixed number of characters cut: many have exactly the greatest length, most of them unfinished."""
    if context.stage is Stage.PRETRAIN:
        return
    answers = [(row, answer) for row in context.train.rows for answer in wanted_answers(row, context.stage) if answer]
    lengths = Counter(len(answer) for _, answer in answers)
    longest = max(lengths, default=0)
    cut = {answer: row for row, answer in answers if len(answer) == longest}
    if longest < _MIN_CUT_LENGTH or len(cut) < max(_MIN_CUT_ANSWERS, _CUT_SHARE * len(answers)):
        return
    n_open = sum(answer.rstrip()[-1:].isalnum() or answer.rstrip().endswith(",") for answer in cut)
    if n_open < _OPEN_END_SHARE * len(cut):
        return
    yield Finding(
        "ANSWERS_END_ABRUPTLY",
        Severity.WARNING,
        summary=f"{len(cut)} of {len(answers)} answers have exactly {longest} characters, none more, and {n_open} of "
        "them end within a sentence",
        why="the model learns to stop in the middle of what it says",
        remedy="make the dataset again from its source without the limit, or remove these rows",
        evidence=tuple(
            Evidence(excerpt(answer, max(0, longest - 60), longest), row.number, context.train.split)
            for answer, row in list(cut.items())[:MAX_EVIDENCE]
        ),
        n_rows=len(cut),
    )


CHECKS: tuple[Check, ...] = (broken_characters, answers_end_abruptly)

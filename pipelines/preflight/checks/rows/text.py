"""Checks of the text: mojibake and broken characters."""

import re
from collections.abc import Iterator

from ftfy.chardata import CHARMAP_ENCODINGS

from data_prep.conversation.encoding import ABOUT_ENCODINGS, is_quoted, repaired
from pipelines.preflight.check_context import CheckContext, SampledRow
from pipelines.preflight.checks.evidence import (
    Check,
    evidence_of_splits,
    excerpt,
    rows_of_splits,
    severity_by_share,
    texts_of,
)
from pipelines.records.finding import Finding, Severity

_ERROR_SHARE = 0.05  # of the rows: a file that was read in the wrong encoding has many
# Form feeds divide older source files and are left out. A C1 control after a letter that UTF-8 could start with is
# mojibake, which has its own finding. "锟斤拷" is two U+FFFD read as GBK.
_DAMAGE = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f\N{REPLACEMENT CHARACTER}\ud800-\udfff]|(?<![\x80-\x9f\xc2-\xf4€])[\x80-\x9f]|锟斤拷"
)
_POSSIBLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\N{REPLACEMENT CHARACTER}\ud800-\uf8ff\ufeff锟]")  # fast
_COLORS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
_INVISIBLE = re.compile("[\ufeff\ue000-\uf8ff]")  # a byte order mark inside text; private use


def mojibake(context: CheckContext) -> Iterator[Finding]:
    """MOJIBAKE: UTF-8 that was read in another encoding ("Ã©" for é), as ftfy finds it."""
    rows = rows_of_splits(context)
    found = [
        (split, row, shown)
        for split, row in rows
        if (shown := next((one for _, text in texts_of(row) if (one := mojibake_in(text))), None))
        and not ABOUT_ENCODINGS.search(row.asked)
    ]
    if found:
        yield Finding(
            "MOJIBAKE",
            severity_by_share(len(found), len(rows), error=_ERROR_SHARE),
            summary=f"{len(found)} of {len(rows)} rows have UTF-8 text that was read in another encoding",
            why="the model learns to write garbled characters",
            remedy="read the source as UTF-8 (`encoding='utf-8'`), or repair the columns with `ftfy.fix_text`",
            evidence=evidence_of_splits(found),
            n_rows=len(found),
        )


def mojibake_in(text: str) -> str | None:
    """The first mojibake in `text` with what it should read, None if there is none."""
    fixed = repaired(text)
    if fixed is text:
        return None
    place = next((i for i, (a, b) in enumerate(zip(text, fixed, strict=False)) if a != b), len(fixed) - 1)
    meant = fixed[place]
    spelled = (meant.encode().decode(encoding, errors="replace") for encoding in CHARMAP_ENCODINGS)
    wrong = next((one for one in spelled if text.startswith(one, place)), None)
    if wrong is None:
        wrong, meant = text[place : place + 2], fixed[place : place + 2]
    return f"{wrong!r} should read {meant!r}: {excerpt(text, place, place + len(wrong))}"


def broken_characters(context: CheckContext) -> Iterator[Finding]:
    """BROKEN_CHARACTERS: control and replacement characters, lone surrogates; a note on invisible ones alone."""
    rows = rows_of_splits(context)
    found: list[tuple[str, SampledRow, str]] = []
    invisible: list[tuple[str, SampledRow, str]] = []
    for split, row in rows:
        if not any(_POSSIBLE.search(text) for _, text in texts_of(row)):
            continue
        if (shown := _first_of(_DAMAGE, row)) is not None:
            found.append((split, row, shown))
        elif (shown := _first_of(_INVISIBLE, row)) is not None:
            invisible.append((split, row, shown))
    if found or invisible:
        what = "broken characters" if found else "invisible characters (byte order mark, private use)"
        yield Finding(
            "BROKEN_CHARACTERS",
            _severity([row for _, row, _ in found], len(rows)),
            summary=f"{len(found or invisible)} of {len(rows)} rows have {what}",
            why="the model learns to write them, and damaged text has often lost words too",
            remedy="read the source again in its own encoding, or remove these characters or rows",
            evidence=evidence_of_splits(found or invisible),
            n_rows=len(found or invisible),
        )


def _severity(rows: list[SampledRow], n_rows: int) -> Severity:
    """A note without damage; never an error for terminal colors in prompts, which logs are full of."""
    if not rows:
        return Severity.NOTE
    texts = (text for row in rows for text in (*row.answers, _COLORS.sub("", row.asked)))
    if not any(map(_DAMAGE.search, texts)):
        return Severity.WARNING
    return severity_by_share(len(rows), n_rows, error=_ERROR_SHARE)


def _first_of(pattern: re.Pattern[str], row: SampledRow) -> str | None:
    for name, text in texts_of(row):
        match = pattern.search(text)
        if match is None or is_quoted(text, *match.span()) or ABOUT_ENCODINGS.search(row.asked):
            continue
        names = sorted({f"U+{ord(one):04X}" for one in match.group()})
        return f"{name} has {' '.join(names)}: {excerpt(text, *match.span())}"
    return None


CHECKS: tuple[Check, ...] = (mojibake, broken_characters)

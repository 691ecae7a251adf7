"""Findings of the doctor as a page shows them, from the record that run.json or the doctor's own page has.

Colours and legend of tokens are in `templates/findings.css`, the markup in `templates/findings.html.j2`:
`{{ findings_list(findings) }}` for what `findings_section` returns.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.visible_text import Excerpt, excerpt, first_upper, listed, visible

MAX_EXCERPT_CHARACTERS = 600
MAX_TOKEN_CHARACTERS = 80  # a run of white space can be one token of any length
_MAX_VALUE_CHARACTERS = 200
_GLYPHS = {"error": "✗", "warning": "!", "note": "i"}
_ROLES = {
    "begin": "the start", "prompt": "prompt", "answer": "answer", "end": "end token", "cut": "truncated",
}  # fmt: skip
_WITHOUT_WIDTH = ("Mn", "Me", "Cf")
_CODE = re.compile(r"`([^`]+)`")
_SPACE = re.compile(r"( +|[\n\t\r]+)")
_MARKS = str.maketrans({"\t": "→", "\n": "⏎\n", "\r": "␍"})


@dataclass(frozen=True)
class Words:
    """Part of a sentence; `is_code` where the record has it in backticks."""

    text: str
    is_code: bool


@dataclass(frozen=True)
class TokenPart:
    """Part of a token: text, or (`kind` "space") spaces, or (`kind` "mark") what stands for other white space."""

    text: str
    kind: str


@dataclass(frozen=True)
class TokenView:
    """One token; `kind` is the page's classes for its role and, if it is in the loss, `trained`.

    `details` is for the page's script: the token, then what is known of it, separated by a tab.
    """

    kind: str
    parts: tuple[TokenPart, ...]
    details: str


@dataclass(frozen=True)
class EvidenceView:
    """Where a fault is seen; `place` ("row 17 of train") is empty for what is no matter of rows."""

    place: str
    excerpt: Excerpt
    tokens: tuple[TokenView, ...]


@dataclass(frozen=True)
class FindingView:
    """A finding; `fix` is the recipe lines that the doctor would write, (key, value or None where it goes)."""

    id: str
    severity: str
    glyph: str
    summary: tuple[Words, ...]
    why: tuple[Words, ...]
    remedy: tuple[Words, ...]
    evidence: tuple[EvidenceView, ...]
    fix: tuple[tuple[str, str | None], ...]


def findings_section(record: Mapping[str, Any]) -> list[FindingView]:
    """The findings of a doctor's record, in its order. Raises KeyError, TypeError or ValueError where it is broken."""
    return [_finding(one) for one in record["findings"]]


def findings_sentence(findings: Sequence[FindingView]) -> str:
    """ "2 errors, 1 warning and 3 notes", "nothing found"."""
    counts = {severity: sum(one.severity == severity for one in findings) for severity in _GLYPHS}
    return (
        listed([f"{n:,} {severity}{'' if n == 1 else 's'}" for severity, n in counts.items() if n]) or "nothing found"
    )


def token_view(text: str, token_id: int, trained: bool, role: str) -> TokenView:
    """A token of the record. Raises KeyError for a role that is none."""
    cut, n_more = text[:MAX_TOKEN_CHARACTERS], len(text) - MAX_TOKEN_CHARACTERS
    if all(unicodedata.category(character) in _WITHOUT_WIDTH for character in cut):
        cut = "".join(f"⟨U+{ord(character):04X}⟩" for character in cut)
    more = f"⟨{n_more:,} more characters⟩" if n_more > 0 else ""
    parts = [*_parts(cut), *([TokenPart(more, "mark")] if more else [])]
    name = visible(cut.translate(_MARKS)).replace(" ", "·").replace("\n", "") + more
    known = f"id {token_id} · {_ROLES[role]}" + ("" if role == "cut" else f", {_in_loss(trained)}")
    kind = f"is-{role} trained" if trained else f"is-{role}"
    return TokenView(kind, tuple(parts), f"{name}\t{known}")


def _parts(text: str) -> Iterator[TokenPart]:
    """White space apart from the rest; spaces stay spaces, so that the page can break lines and be copied from."""
    for part in filter(None, _SPACE.split(text)):
        kind = "space" if part.isspace() and part[0] == " " else "mark" if _SPACE.match(part) else ""
        yield TokenPart(visible(part.translate(_MARKS)), kind)


def _finding(record: Mapping[str, Any]) -> FindingView:
    severity = str(record["severity"])
    return FindingView(
        id=str(record["id"]),
        severity=severity,
        glyph=_GLYPHS[severity],
        summary=_words(record["summary"]),
        why=_words(record["why"]),
        remedy=_words(record["remedy"]),
        evidence=tuple(_evidence(one) for one in record["evidence"]),
        fix=tuple((str(key), _value_text(value)) for key, value in record["fix"].items()),
    )


def _evidence(record: Mapping[str, Any]) -> EvidenceView:
    row = "" if record["row"] is None else f"row {int(record['row'])}"
    split = "" if record["split"] is None else visible(str(record["split"]))
    tokens = (token_view(str(text), token_id, trained, _role(trained)) for text, token_id, trained in record["tokens"])
    return EvidenceView(
        place=" of ".join(part for part in (row, split) if part),
        excerpt=excerpt(str(record["text"]), MAX_EXCERPT_CHARACTERS),
        tokens=tuple(tokens),
    )


def _words(text: str) -> tuple[Words, ...]:
    """A sentence of the record, in which what stands in backticks is code; a key at its beginning stays as it is."""
    is_word = text.split(" ", 1)[0].isalpha()
    parts: Iterable[str] = _CODE.split(first_upper(text) if is_word else text)
    return tuple(Words(part, bool(number % 2)) for number, part in enumerate(parts) if part)


def _value_text(value: Any) -> str | None:
    """A value as a recipe has it."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE_CHARACTERS else text[:_MAX_VALUE_CHARACTERS] + "…"


def _role(trained: bool) -> str:
    return "answer" if trained else "prompt"


def _in_loss(trained: bool) -> str:
    return "in the loss" if trained else "not in the loss"

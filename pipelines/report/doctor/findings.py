"""Findings of the doctor for a page; the markup is in templates/findings.html.j2."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.files.visible_text import Excerpt, excerpt, first_upper, listed, visible

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


Words = tuple[tuple[str, bool], ...]  # parts of a sentence, and whether each is code


@dataclass(frozen=True)
class TokenView:
    """One token; `kind` has the CSS classes of its role and, if it is in the loss, `trained`. `parts` are (text, kind):
    "space", "mark" for other white space, or "". `details` is for the page's script: the token, a tab, its id and role.
    """

    kind: str
    parts: tuple[tuple[str, str], ...]
    details: str


@dataclass(frozen=True)
class EvidenceView:
    """An example of a finding; `place` ("row 17 of train") is empty where it is not in a row."""

    place: str
    excerpt: Excerpt
    tokens: tuple[TokenView, ...]


@dataclass(frozen=True)
class FindingView:
    """A finding; `fix` has the recipe lines of the automatic fix, (key, value or None for a removed key)."""

    id: str
    severity: str
    glyph: str
    summary: Words
    why: Words
    remedy: Words
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
    parts = [*_parts(cut), *([(more, "mark")] if more else [])]
    name = visible(cut.translate(_MARKS)).replace(" ", "·").replace("\n", "") + more
    known = f"id {token_id} · {_ROLES[role]}" + ("" if role == "cut" else f", {'' if trained else 'not '}in the loss")
    kind = f"is-{role} trained" if trained else f"is-{role}"
    return TokenView(kind, tuple(parts), f"{name}\t{known}")


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """White space separate from the rest; spaces stay spaces, so that the page can break lines and be copied from."""
    for part in filter(None, _SPACE.split(text)):
        kind = "space" if part.isspace() and part[0] == " " else "mark" if _SPACE.match(part) else ""
        yield visible(part.translate(_MARKS)), kind


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
    tokens = (
        token_view(str(text), token_id, trained, "answer" if trained else "prompt")
        for text, token_id, trained in record["tokens"]
    )
    return EvidenceView(
        place=" of ".join(part for part in (row, split) if part),
        excerpt=excerpt(str(record["text"]), MAX_EXCERPT_CHARACTERS),
        tokens=tuple(tokens),
    )


def _words(text: str) -> Words:
    """A sentence of the record, in which text in backticks is code; a key at its beginning stays as it is."""
    is_word = text.split(" ", 1)[0].isalpha()
    parts: Iterable[str] = _CODE.split(first_upper(text) if is_word else text)
    return tuple((part, bool(number % 2)) for number, part in enumerate(parts) if part)


def _value_text(value: Any) -> str | None:
    """A value as a recipe has it."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE_CHARACTERS else text[:_MAX_VALUE_CHARACTERS] + "…"

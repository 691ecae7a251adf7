"""Decode HTML entities in prose and remove remnants of markup; not in rows about markup or with code."""

import html
import re
from collections import Counter
from collections.abc import Callable, Sequence

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Changed, NoOptions, RowStep, StepFunction, Verdict
from data_prep.conversation.encoding import is_quoted
from data_prep.text_rules.markup import ENTITY, is_about_markup

_PROSE_ROLES = frozenset({"text", "user", "input", "assistant", "system", "reasoning"})
# Wikipedia's remarks on its own text, as copied pages have them.
_REMARK = (
    r"\[{1,2}(?:(?:full citation|citation|clarification|verification|attribution|better source|further explanation|page"
    r"|original research|quotation|example) needed"
    r"|(?:when|who|by whom|which|where|according to whom|why|original research|unreliable source)\?"
    r"|(?:permanent )?dead link|not in citation given|failed verification|dubious(?: – discuss)?)\]{1,2}"
)
_REFERENCE = r"<ref(?:\s[^<>]*)?(?:/>|>[^<>]{0,400}</ref>)|</?ref(?:\s[^<>]*)?>"
# Other tags are often what was asked for: a page read from HTML is better read again by the HTML reader.
_LINE_BREAK = r"(?<![ \t])[ \t]*<br\s*/?>[ \t]*\n?"
_BBCODE = r"\[(?P<tag>b|i|u|url|quote|size|color|center)(?:=[^\]\n]{1,200})?\](?P<inside>[^\[\]]{0,2000})\[/(?P=tag)\]"
_MARKUP = re.compile(
    f"(?P<remark>{_REMARK})|(?P<reference>{_REFERENCE})|(?P<line_break>{_LINE_BREAK})|(?P<bbcode>{_BBCODE})",
    re.IGNORECASE,
)
_SIGNS = ("needed]", "?]", "[/", " link]", "citation]", "verification]", "[dubious", "[Citation")
_CELL = re.compile(r"[|\t]")  # a table's cell cannot have a line break of its own

Rewrite = Callable[[str, Counter[str]], str]


def _rewritten(texts: Sequence[RowText], rewrite: Rewrite) -> Verdict:
    """Return the row with `rewrite` done to its prose, None where nothing changes or the row is about markup."""
    counts: Counter[str] = Counter()
    new = [rewrite(one.text, counts) if one.role in _PROSE_ROLES else one.text for one in texts]
    return Changed(new, dict(counts)) if counts and not any(is_about_markup(one.text) for one in texts) else None


def _html_entities(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        return _rewritten(texts, _without_entities) if any("&" in one.text for one in texts) else None

    return step


def _without_entities(text: str, counts: Counter[str]) -> str:
    def decoded(found: re.Match[str]) -> str:
        character = html.unescape(found.group())
        if character == found.group() or not character.strip(" \xa0").isprintable():
            return found.group()
        counts["html_entity"] += 1
        return " " if character == "\xa0" else character

    return ENTITY.sub(decoded, text) if "&" in text else text


def _markup(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        return _rewritten(texts, _without_markup) if any(_may_have_markup(one.text) for one in texts) else None

    return step


def _may_have_markup(text: str) -> bool:
    """Whether a text has one of the signs of what `_MARKUP` finds: a cheap test, since code is full of brackets."""
    if "<" in text and ("<br" in text or "<BR" in text or "<ref" in text or "</ref" in text):
        return True
    return "[" in text and any(sign in text for sign in _SIGNS)


def _without_markup(text: str, counts: Counter[str]) -> str:
    def replacement(found: re.Match[str]) -> str:
        begin, end = found.span()
        kind = "bbcode" if found.group("bbcode") else str(found.lastgroup)
        if is_quoted(text, begin, end) or (kind == "line_break" and _CELL.search(_line_around(text, begin, end))):
            return found.group()
        counts[kind] += 1
        if kind in ("bbcode", "line_break"):
            return found.group("inside") if kind == "bbcode" else "\n"
        return " " if begin and not text[begin - 1].isspace() and text[end : end + 1].isalnum() else ""

    return _MARKUP.sub(replacement, text) if _may_have_markup(text) else text


def _line_around(text: str, begin: int, end: int) -> str:
    line_end = text.find("\n", end)
    return text[text.rfind("\n", 0, begin) + 1 : len(text) if line_end < 0 else line_end]


STEPS: list[RowStep] = [
    RowStep("html_entities", "decodes entities such as &amp; in prose", _html_entities),
    RowStep("markup", "removes remnants of wikis, line breaks of HTML and BBCode from prose", _markup),
]

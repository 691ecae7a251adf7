"""The kinds of constraint: the arguments of each, and the function that checks a text.

These are IFEval's (arXiv:2311.07911, table 1) and starts_with, code_block and n_items. Words to include and to count
match anywhere, forbidden ones as whole words. Matching ignores case unless the constraint is about case, and words are
literal, not patterns. Every check takes linear time.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from pipelines.evaluation.metrics.language import is_in_language
from pipelines.evaluation.metrics.text_units import n_bullets, n_numbered, n_sentences, paragraphs, words

BOUNDS = ("at_least", "at_most", "exactly")
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]*\]")
_HIGHLIGHT = re.compile(r"\*\*([^\n*]+)\*\*|\*([^\n*]+)\*")
_WHOLE_FENCE = re.compile(r"```[\w+.-]*\s(.*)```\Z", re.DOTALL)
_FIRST_WORD = re.compile(r"[\"'“‘(*_]*([^\s.,?!'\"”’)*_:;]*)")
_RESPONSE_SEPARATOR = "******"


@dataclass(frozen=True)
class Kind:
    """A verifiable instruction. `measure(text, **arguments)` returns whether a text follows it or, if it `counts`, the
    number that at_least, at_most and exactly limit. Arguments are str, int or list (of str)."""

    measure: Callable[..., bool | int]
    needs: Mapping[str, type] = field(default_factory=dict)
    takes: Mapping[str, type] = field(default_factory=dict)
    counts: bool = False


def n_paragraphs(text: str, separator: str | None = None) -> int:
    """Count paragraphs between blank lines or separators; 0 if nothing is between two separators."""
    if separator is None:
        return len(paragraphs(text))
    parts = [bool(part.strip()) for part in text.split(separator)]
    return sum(parts) if all(parts[1:-1]) else 0


def n_times(text: str, keyword: str) -> int:
    """Count the keyword, inside of words too."""
    return text.casefold().count(keyword.casefold())


def n_capital_words(text: str) -> int:
    """Count words in capitals, `I` among them; a word with a hyphen is one."""
    return sum(word.isupper() for word in text.split())


def n_highlights(text: str) -> int:
    """Count the parts of a line between single or double asterisks."""
    return sum(bool((found[1] or found[2]).strip()) for found in _HIGHLIGHT.finditer(text))


def n_sections(text: str, heading: str) -> int:
    """Count `heading` before a number, as `Section 1`."""
    return len(re.findall(re.escape(heading) + r"\s?\d", text))


def includes(text: str, words: Sequence[str]) -> bool:
    """Whether all words or phrases occur, inside of words too."""
    return all(word.casefold() in text.casefold() for word in words)


def excludes(text: str, words: Sequence[str]) -> bool:
    """Whether none of the words or phrases occurs as a whole."""
    return not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)


def is_json(text: str, keys: Sequence[str] = ()) -> bool:
    """Whether the text, or the content of its one fence, is JSON (RFC 8259), and an object with `keys` if given."""
    plain = text.strip()
    fence = _WHOLE_FENCE.match(plain)
    try:
        value = json.loads(fence[1] if fence else plain, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return not keys or (isinstance(value, dict) and set(keys) <= value.keys())


def has_code_block(text: str, language: str | None = None) -> bool:
    """Whether the text has a closed fenced block (with the tag `language` if given)."""
    is_open = matches = False
    for line in text.splitlines():
        mark, _, tag = line.strip().partition("```")
        if mark or not line.strip().startswith("```"):
            continue
        if is_open and matches:
            return True
        is_open = not is_open
        matches = language is None or tag.strip().casefold() == language.casefold()
    return False


def has_title(text: str) -> bool:
    """Whether a line has text between << and >>."""
    places = ((line, line.find("<<"), line.rfind(">>")) for line in text.splitlines())
    return any(0 <= begin < end and line[begin:end].strip("<> \t") for line, begin, end in places)


def has_postscript(text: str, marker: str) -> bool:
    """Whether the marker, as `P.S.` or `P.P.S`, occurs, with or without spaces in it."""
    return "".join(marker.casefold().split()) in "".join(text.casefold().split())


def are_two_responses(text: str) -> bool:
    """Whether six asterisks separate two different answers."""
    parts = [part.strip() for part in text.split(_RESPONSE_SEPARATOR)]
    given = [part for part in parts if part]
    return len(given) == 2 and given[0] != given[1] and all(parts[1:-1])


def is_case(text: str, *, upper: bool, language: str | None = None) -> bool:
    """Whether all letters are upper case, or all lower case, and the text is in `language` if given."""
    return (text.isupper() if upper else text.islower()) and (language is None or is_in_language(text, language))


def begins_paragraph(text: str, word: str, paragraph: int, n_paragraphs: int) -> bool:
    """Whether there are `n_paragraphs`, and number `paragraph` (from 1) begins with `word`."""
    found = paragraphs(text)
    if len(found) != n_paragraphs or not 1 <= paragraph <= n_paragraphs:
        return False
    first = _FIRST_WORD.match(found[paragraph - 1])
    return first is not None and first[1].casefold() == word.casefold()


def starts_with(text: str, phrase: str) -> bool:
    """Whether the text begins with the phrase."""
    return text.strip().casefold().startswith(phrase.strip().casefold())


def ends_with(text: str, phrase: str) -> bool:
    """Whether the text ends with the phrase, ignoring quotation marks around the text."""
    return text.strip().strip('"').casefold().endswith(phrase.strip().casefold())


def is_quoted(text: str) -> bool:
    """Whether the text is wrapped in double quotation marks."""
    plain = text.strip()
    return len(plain) > 1 and plain[0] == plain[-1] == '"'


KINDS: dict[str, Kind] = {
    "n_words": Kind(lambda text: len(words(text)), counts=True),
    "n_sentences": Kind(n_sentences, counts=True),
    "n_paragraphs": Kind(n_paragraphs, takes={"separator": str}, counts=True),
    "n_bullets": Kind(n_bullets, counts=True),
    "n_items": Kind(lambda text: n_bullets(text) + n_numbered(text), counts=True),
    "keyword_frequency": Kind(n_times, {"keyword": str}, counts=True),
    "letter_frequency": Kind(lambda text, letter: n_times(text, letter), {"letter": str}, counts=True),
    "n_capital_words": Kind(n_capital_words, counts=True),
    "n_placeholders": Kind(lambda text: len(_PLACEHOLDER.findall(text)), counts=True),
    "n_highlights": Kind(n_highlights, counts=True),
    "n_sections": Kind(n_sections, {"heading": str}, counts=True),
    "includes": Kind(includes, {"words": list}),
    "excludes": Kind(excludes, {"words": list}),
    "one_of": Kind(lambda text, options: any(option in text for option in options), {"options": list}),
    "language": Kind(is_in_language, {"language": str}),
    "json": Kind(is_json, takes={"keys": list}),
    "code_block": Kind(has_code_block, takes={"language": str}),
    "title": Kind(has_title),
    "postscript": Kind(has_postscript, {"marker": str}),
    "two_responses": Kind(are_two_responses),
    "repeats_prompt": Kind(lambda text, prompt: starts_with(text, prompt), {"prompt": str}),
    "starts_with": Kind(starts_with, {"phrase": str}),
    "ends_with": Kind(ends_with, {"phrase": str}),
    "first_word_of_paragraph": Kind(begins_paragraph, {"word": str, "paragraph": int, "n_paragraphs": int}),
    "upper_case": Kind(partial(is_case, upper=True), takes={"language": str}),
    "lower_case": Kind(partial(is_case, upper=False), takes={"language": str}),
    "no_commas": Kind(lambda text: "," not in text),
    "quotation": Kind(is_quoted),
}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

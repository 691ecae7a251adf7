"""Identify the language of a text, and tell code from prose."""

import re

from data_prep.text_rules.languages import CODE_SYMBOLS, MAX_CODE_SHARE, NO_LANGUAGE, NOT_PROSE, VARIETIES, identifier
from pipelines.evaluation.metrics.python_answer import is_python

MAX_CHARACTERS = 10_000
_MIN_LETTERS = 20
_MIN_PROBABILITY = 0.5
_ABOUT_LANGUAGES = re.compile(
    r"translat|\b(?:arabic|bengali|bulgarian|cantonese|catalan|chinese|croatian|czech|danish|dutch|english|estonian|finnish"
    r"|french|german|greek|gujarati|hebrew|hindi|hungarian|indonesian|italian|japanese|kannada|korean|latin|latvian"
    r"|lithuanian|malayalam|mandarin|marathi|nepali|norwegian|persian|polish|portuguese|punjabi|romanian|russian|serbian"
    r"|slovak|spanish|swahili|swedish|tamil|telugu|thai|turkish|ukrainian|urdu|vietnamese|language)\b",
    re.IGNORECASE,
)


def language_of(text: str) -> str | None:
    """Return the ISO 639 code of the text's language; None for code, fewer than 20 letters, or a probability below 0.5.

    Ignores fenced and inline code and URLs, and everything after 10,000 characters. The probability is normalized over
    all languages of py3langid. Cantonese and Wu count as Chinese, Nynorsk as Norwegian, Egyptian and Moroccan Arabic as
    Arabic.
    """
    prose = NOT_PROSE.sub(" ", text[:MAX_CHARACTERS])
    if sum(map(str.isalpha, prose)) < _MIN_LETTERS or looks_like_code(prose):
        return None
    label, probability = identifier().classify(prose)
    return None if probability < _MIN_PROBABILITY or label == NO_LANGUAGE else VARIETIES.get(label, label)


def same_language(answer: str, prompt: str) -> bool | None:
    """Whether answer and prompt are in the same language; None where either is unknown, and where the prompt mentions a
    language, because the answer may then be in another one."""
    if _ABOUT_LANGUAGES.search(prompt):
        return None
    asked, given = language_of(prompt), language_of(answer)
    return None if asked is None or given is None else asked == given


def is_in_language(text: str, language: str) -> bool:
    """Whether `language` is the most probable one of the text; a text too short to identify passes."""
    found, wanted = language_of(text), VARIETIES.get(language, language)
    if found is not None or sum(map(str.isalpha, text)) < _MIN_LETTERS:
        return found in (None, wanted)
    label = identifier().classify(text[:MAX_CHARACTERS])[0]
    return VARIETIES.get(label, label) == wanted


def known_languages() -> list[str]:
    """The language codes that `is_in_language` accepts."""
    return sorted(set(identifier().labels) - {NO_LANGUAGE})


def looks_like_code(text: str) -> bool:
    """Whether more than 6% of the visible characters are code symbols, or the text is Python of two or more lines."""
    visible = [character for character in text if not character.isspace()]
    n_symbols = sum(character in CODE_SYMBOLS for character in visible)
    return n_symbols > MAX_CODE_SHARE * len(visible) or ("\n" in text.strip() and is_python(text))

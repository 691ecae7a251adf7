"""Identify the language of a text by py3langid, a fork of langid.py (M. Lui and T. Baldwin, ACL 2012)."""

import re
from functools import lru_cache
from typing import Any

from pipelines.evaluation.metrics.python_answer import is_python

MAX_CHARACTERS = 10_000
_MIN_LETTERS = 20
_MIN_PROBABILITY = 0.5
_MAX_CODE_SHARE = 0.06  # prose has few brackets, code has one in every line
_NO_LANGUAGE = "zxx"  # py3langid's label for no linguistic content
_CODE = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL | re.MULTILINE)
_CODE_SYMBOLS = frozenset("{}[]()<>=;_|\\/#$%^&*+~`")
# py3langid labels these varieties; users ask for the language.
_VARIETIES = {"yue": "zh", "wuu": "zh", "nn": "no", "arz": "ar", "ary": "ar", "uzs": "uz"}
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
    prose = _CODE.sub(" ", text[:MAX_CHARACTERS])
    if sum(map(str.isalpha, prose)) < _MIN_LETTERS or looks_like_code(prose):
        return None
    label, probability = _identifier().classify(prose)
    return None if probability < _MIN_PROBABILITY or label == _NO_LANGUAGE else _VARIETIES.get(label, label)


def same_language(answer: str, prompt: str) -> bool | None:
    """Whether answer and prompt are in the same language; None where either is unknown, and where the prompt mentions a
    language, because the answer may then be in another one."""
    if _ABOUT_LANGUAGES.search(prompt):
        return None
    asked, given = language_of(prompt), language_of(answer)
    return None if asked is None or given is None else asked == given


def is_in_language(text: str, language: str) -> bool:
    """Whether `language` is the most probable one of the text; a text too short to identify passes."""
    found, wanted = language_of(text), _VARIETIES.get(language, language)
    if found is not None or sum(map(str.isalpha, text)) < _MIN_LETTERS:
        return found in (None, wanted)
    label = _identifier().classify(text[:MAX_CHARACTERS])[0]
    return _VARIETIES.get(label, label) == wanted


def known_languages() -> list[str]:
    """The language codes that `is_in_language` accepts."""
    return sorted(set(_identifier().labels) - {_NO_LANGUAGE})


def looks_like_code(text: str) -> bool:
    """Whether more than 6% of the visible characters are code symbols, or the text is Python of two or more lines."""
    visible = [character for character in text if not character.isspace()]
    n_symbols = sum(character in _CODE_SYMBOLS for character in visible)
    return n_symbols > _MAX_CODE_SHARE * len(visible) or ("\n" in text.strip() and is_python(text))


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # takes 0.7 s to load

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

"""The languages of a sample of rows."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

_MIN_LETTERS = 40  # of shorter English texts, 1 in 100 is taken for another language
_MIN_PROBABILITY = 0.9
_MAX_CODE_SHARE = 0.06
_CODE_SYMBOLS = "{}[]()<>=;_|\\/#$%^&*+~`"
_CODE = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL | re.MULTILINE)
_NO_LANGUAGE = "zxx"  # py3langid's label for no linguistic content


@dataclass(frozen=True)
class Languages:
    """Counts by ISO 639 code over `n_sampled` rows; `n_unsure` are code and texts too short to tell. `examples` has the
    place of one row for each language."""

    n_sampled: int
    counts: list[tuple[str, int]]
    n_unsure: int
    examples: dict[str, str]


def languages_of(sampled: Sequence[tuple[str, str]]) -> Languages:
    """Return the languages of the sampled rows, each a place and a text."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for place, text in sampled:
        language = language_of(text)
        if language is not None:
            counts[language] += 1
            examples.setdefault(language, place)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Languages(len(sampled), ordered, len(sampled) - counts.total(), examples)


def language_of(text: str) -> str | None:
    """Return the language of `text`; None for code, fewer than 40 letters, or a probability below 0.9."""
    prose = _CODE.sub(" ", text)
    n_symbols = sum(map(prose.count, _CODE_SYMBOLS))
    if sum(map(str.isalpha, prose)) < _MIN_LETTERS or n_symbols > _MAX_CODE_SHARE * len(prose):
        return None
    label, probability = _identifier().classify(prose)
    return None if probability < _MIN_PROBABILITY or label == _NO_LANGUAGE else str(label)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # takes 0.7 s to load

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

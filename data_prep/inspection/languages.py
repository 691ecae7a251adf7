"""The languages of a sample of rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.cleaning.steps.language import language_of


@dataclass(frozen=True)
class Languages:
    """Counts by ISO 639 code over `n_sampled` rows; `n_unsure` are code, short texts and mixed languages. `examples`
    has the place of one row for each language."""

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

"""Agreement of an answer with the answers that people gave. With several of them the one that agrees best counts."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

MAX_ROUGE_WORDS = 1_000
MAX_CHRF_CHARACTERS = 50_000
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LETTERS_OR_DIGITS = re.compile(r"[^\W_]+")


class CannotCheck(ValueError):
    """This answer cannot be checked, and why: an empty reference, a reference without a number."""


def normalised(text: str) -> str:
    """Lower case, without punctuation (ASCII) and without the articles a, an, the, single spaces.

    The normalisation of the SQuAD evaluation: P. Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension
    of Text (EMNLP 2016), section 6.1.
    """
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, references: Sequence[str]) -> bool:
    """Whether the answer, normalised, is one of the references, normalised; "A" and "+" are compared as they are."""
    return _comparable(answer) in {_comparable(reference) for reference in _given(references)}


def token_f1(answer: str, references: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over the words of the normalised texts, as bags (SQuAD, section 6.1).

    Where one of the two has no words it is 1 if both have none, else 0.
    """
    words = _comparable(answer).split()
    return max(_f1(words, _comparable(reference).split()) for reference in _given(references))


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """F-measure of the longest common subsequence of words: C.-Y. Lin, ROUGE (2004), by the rouge-score library.

    Words are runs of letters and digits of any script in lower case, without stemming; on ASCII text that is the
    library's own cut. The subsequence is looked for in the first 1,000 words of each, and counts against all words of
    both: beyond that length the figure is a lower bound.
    """
    return max(_rouge_l(_rouge_words(answer), _rouge_words(reference)) for reference in _given(references))


def chrf(answer: str, references: Sequence[str]) -> float:
    """chrF of one answer, from 0 to 1: F2 of character n-grams of 1 to 6 without spaces, by sacrebleu's defaults.

    M. Popović, chrF: character n-gram F-score for automatic MT evaluation (WMT 2015). sacrebleu counts to 100 and
    reports the corpus; here is the sentence score over 100. The first 50,000 characters of each are read.
    """
    given = [_readable(reference[:MAX_CHRF_CHARACTERS]) for reference in _given(references)]
    return float(_chrf().sentence_score(_readable(answer[:MAX_CHRF_CHARACTERS]), given).score) / 100


def n_reference_words(reference: str) -> int:
    """Words of the normalised reference."""
    return len(normalised(reference).split())


def _comparable(text: str) -> str:
    """The normalised text; where nothing is left of it (an article, a sign), the text itself in lower case."""
    return normalised(text) or " ".join(text.lower().split())


def _given(references: Sequence[str]) -> list[str]:
    given = [reference for reference in references if reference.strip()]
    if not given:
        raise CannotCheck("the reference is empty")
    return given


def _f1(words: list[str], reference: list[str]) -> float:
    if not words or not reference:
        return float(words == reference)
    n_common = (Counter(words) & Counter(reference)).total()
    return 2 * n_common / (len(words) + len(reference))


def _rouge_l(words: list[str], reference: list[str]) -> float:
    if not words or not reference:
        return 0.0
    start = words[:MAX_ROUGE_WORDS]
    score = _rouge_scorer().score(" ".join(reference[:MAX_ROUGE_WORDS]), " ".join(start))["rougeL"]
    n_common = round(score.precision * len(start))
    return 2 * n_common / (len(words) + len(reference))


def _rouge_words(text: str) -> list[str]:
    return _LETTERS_OR_DIGITS.findall(text.lower())


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


class _CutAtSpaces:
    """The tokenizer that rouge-score asks for; the words are cut already."""

    def tokenize(self, text: str) -> list[str]:
        return text.split(" ")


@lru_cache(maxsize=1)
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # its nltk takes seconds to import: only where it is asked for

    return RougeScorer(["rougeL"], tokenizer=_CutAtSpaces())


@lru_cache(maxsize=1)
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()

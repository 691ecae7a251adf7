"""Agreement of an answer with reference answers; of several references the best match counts."""

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


def normalized(text: str) -> str:
    """Normalize as SQuAD does: lower case, no ASCII punctuation, no articles a, an, the, single spaces. P. Rajpurkar et
    al., SQuAD: 100,000+ Questions for Machine Comprehension of Text (EMNLP 2016), section 6.1."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, references: Sequence[str]) -> bool:
    """Whether the normalized answer equals a normalized reference; "A" and "+" are compared unchanged."""
    return _comparable(answer) in map(_comparable, references)


def token_f1(answer: str, references: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over the words of the normalized texts, as bags (SQuAD, section 6.1). Where
    one of the two has no words it is 1 if both have none, else 0."""
    words = _comparable(answer).split()
    return max(_f1(words, _comparable(reference).split()) for reference in references)


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """F-measure of the longest common subsequence of words: C.-Y. Lin, ROUGE (2004), by the rouge-score library.

    Words are runs of letters and digits of any script in lower case, without stemming: on ASCII text the library's own
    tokenization. Only the first 1,000 words of each are compared, and the length counts all words of both: a lower
    bound for longer texts.
    """
    return max(_rouge_l(_rouge_words(answer), _rouge_words(reference)) for reference in references)


def chrf(answer: str, references: Sequence[str]) -> float:
    """chrF of one answer, from 0 to 1: F2 of character n-grams of 1 to 6 without spaces, by sacrebleu's defaults.

    M. Popović, chrF: character n-gram F-score for automatic MT evaluation (WMT 2015). This is sacrebleu's sentence
    score divided by 100. Reads the first 50,000 characters of each text.
    """
    given = [_readable(reference[:MAX_CHRF_CHARACTERS]) for reference in references]
    return float(_chrf().sentence_score(_readable(answer[:MAX_CHRF_CHARACTERS]), given).score) / 100


def n_reference_words(reference: str) -> int:
    """Words of the normalized reference."""
    return len(normalized(reference).split())


def _comparable(text: str) -> str:
    """The normalized text; the text in lower case where that is empty (an article, a sign)."""
    return normalized(text) or " ".join(text.lower().split())


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


class _SplitAtSpaces:
    """The tokenizer that rouge-score expects; the words are already split."""

    def tokenize(self, text: str) -> list[str]:
        return text.split(" ")


@lru_cache(maxsize=1)
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # imports nltk, which takes seconds

    return RougeScorer(["rougeL"], tokenizer=_SplitAtSpaces())


@lru_cache(maxsize=1)
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()

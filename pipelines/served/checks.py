"""Prompts and tokens: what the endpoint makes of them, next to the trained model's own."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.modeling.chat.alignment import n_equal
from pipelines.served.asking import Observed
from pipelines.served.questions import Question

_SPECIAL = "\0"
_N_SHOWN = 60  # characters around a difference


@dataclass(frozen=True)
class Check:
    """`n_equal` of `n`, and the first difference in words."""

    name: str
    n_equal: int
    n: int
    first: str = ""

    @property
    def holds(self) -> bool:
        """Whether all are equal."""
        return self.n_equal == self.n


def check_rendered(questions: Sequence[Question], observed: Observed, tokenizer: Any) -> Check | None:
    """The prompts as the endpoint's template writes them, None if it does not tell. A BOS that its tokenizer adds
    later may be missing."""
    if observed.rendered is None:
        return None
    bos = tokenizer.bos_token or ""
    differing = []
    for question, found in zip(questions, observed.rendered, strict=True):
        if isinstance(found, str):
            if found not in (question.text, question.text.removeprefix(bos)):
                differing.append(_parting(question.text, found))
        elif found != question.token_ids:
            differing.append(_parting(question.text, str(tokenizer.decode(found))))
    return Check(
        "prompts as rendered", len(questions) - len(differing), len(questions), differing[0] if differing else ""
    )


def check_counts(questions: Sequence[Question], observed: Observed) -> Check | None:
    """The number of tokens of each prompt as the endpoint counts them, None if it does not."""
    counts = [one.n_prompt_tokens for one in observed.answers or []]
    if not counts or None in counts:
        return None
    pairs = [(len(one.token_ids), count) for one, count in zip(questions, counts, strict=True)]
    first = next((f"{one} tokens when trained, {other} served" for one, other in pairs if one != other), "")
    return Check("prompt tokens", sum(one == other for one, other in pairs), len(pairs), first)


def counts_shift_equally(questions: Sequence[Question], observed: Observed) -> bool:
    """Whether the prompts have the same number of tokens more or fewer in each: a template's words, not a tokenizer's
    splits."""
    found = zip(questions, observed.answers or [], strict=False)  # no answers if it refused
    return len({(one.n_prompt_tokens or 0) - len(question.token_ids) for question, one in found}) == 1


@dataclass(frozen=True)
class TokenCheck:
    """The tokens of the texts. `is_leading_space`: all differences are a space that one side has at the beginning, or
    after a special token.
    `is_bases`: they are the tokens of the base's tokenizer, where that has others. `is_normalization`: all differing
    texts have characters in another form than Unicode's NFC."""

    check: Check
    is_leading_space: bool = False
    is_bases: bool = False
    is_normalization: bool = False


def check_tokens(
    texts: Sequence[str], observed: Observed, tokenizer: Any, base_tokenizer: Any = None
) -> TokenCheck | None:
    """The tokens of each text, or their number where the endpoint tells no more; None if it tells neither."""
    if observed.tokens is None:
        return _check_numbers(texts, observed, tokenizer)
    own = [_ids(tokenizer, one) for one in texts]
    differing = [n for n, pair in enumerate(zip(own, observed.tokens, strict=True)) if pair[0] != pair[1]]
    if not differing:
        return TokenCheck(Check("tokens of texts", len(texts), len(texts)))
    n = differing[0]
    first = (
        f"{texts[n]!r} is {_pieces(tokenizer, own[n])} when trained, {_pieces(tokenizer, observed.tokens[n])} served"
    )
    joined = [[_joined(tokenizer, ids[n]) for ids in (own, observed.tokens)] for n in differing]
    space = all(one != other and _unspaced(one) == _unspaced(other) for one, other in joined)
    bases = base_tokenizer is not None and all(_ids(base_tokenizer, texts[n]) == observed.tokens[n] for n in differing)
    form = all(not unicodedata.is_normalized("NFC", texts[n]) for n in differing)
    return TokenCheck(Check("tokens of texts", len(texts) - len(differing), len(texts), first), space, bases, form)


def _check_numbers(texts: Sequence[str], observed: Observed, tokenizer: Any) -> TokenCheck | None:
    if observed.n_tokens is None or None in observed.n_tokens:
        return None
    own = [len(tokenizer(one)["input_ids"]) for one in texts]
    shifts = [found - number for found, number in zip(observed.n_tokens, own, strict=True) if found is not None]
    usual = Counter(shifts).most_common(1)[0][0]  # a BOS that one side adds to each
    differing = [n for n, shift in enumerate(shifts) if shift != usual]
    first = ""
    if differing:
        n = differing[0]
        first = f"{texts[n]!r} is {own[n]} tokens when trained, {observed.n_tokens[n]} served"
    return TokenCheck(Check("numbers of tokens of texts", len(texts) - len(differing), len(texts), first))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _pieces(tokenizer: Any, ids: Sequence[int]) -> str:
    pieces = [str(one) for one in tokenizer.convert_ids_to_tokens(list(ids)[:12])]
    return " | ".join(pieces) + (" | ..." if len(ids) > 12 else "")


def _joined(tokenizer: Any, ids: Sequence[int]) -> str:
    """The pieces in one: the same for the same text, however it is split; each special token is one character."""
    special = set(tokenizer.all_special_ids)
    pieces = zip(ids, tokenizer.convert_ids_to_tokens(list(ids)), strict=True)
    return "".join(_SPECIAL if number in special else str(one) for number, one in pieces)


def _unspaced(joined: str) -> str:
    """The pieces without the spaces that a tokenizer may put before each stretch of text."""
    return re.sub(f"(^|{_SPECIAL})[▁Ġ ]+", r"\1", joined)


def _parting(one: str, other: str) -> str:
    """The first difference of two texts in words."""
    place = n_equal(one, other)
    begin = max(0, place - 20)
    shown = [text[begin : place + _N_SHOWN] for text in (one, other)]
    return f"at character {place + 1} {shown[0]!r} when trained, {shown[1]!r} served"

"""Repair mojibake and split surrogate pairs; reject texts that have lost characters; Unicode's composed form."""

import re
import unicodedata
from collections.abc import Sequence

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Changed, NoOptions, Rejected, RowStep, StepFunction, Verdict
from data_prep.conversation.encoding import ABOUT_ENCODINGS, is_quoted, repaired

# U+FFFD, the same read as GBK, and half a surrogate pair, which no file can hold. A whole pair is one character.
_LOST = re.compile(
    "\N{REPLACEMENT CHARACTER}|锟斤拷|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]"
)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_MAX_LOST_IN_DOCUMENT = 0.001  # of its characters; an answer, which is shorter and learned whole, may lose none


def _mojibake(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        if all(one.text.isascii() for one in texts):
            return None
        new = [repaired(one.text) for one in texts]
        n_changed = sum(after is not one.text for one, after in zip(texts, new, strict=True))
        if not n_changed or any(ABOUT_ENCODINGS.search(one.text) for one in texts):
            return None
        return Changed(new, {"mojibake": n_changed})

    return step


def _replacement_characters(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        n_pairs = 0
        for one in texts:
            if one.text.isascii():
                continue
            n_pairs += len(_PAIR.findall(one.text))
            lost = [found for found in _LOST.finditer(one.text) if not is_quoted(one.text, *found.span())]
            limit = _MAX_LOST_IN_DOCUMENT * len(one.text) if one.role == "text" else 0
            if len(lost) > limit and not any(ABOUT_ENCODINGS.search(other.text) for other in texts):
                return Rejected("replacement_characters", {"n": len(lost), "at": lost[0].start()})
        return Changed([_joined(one.text) for one in texts], {"surrogate_pair": n_pairs}) if n_pairs else None

    return step


def _joined(text: str) -> str:
    """Return `text` with each surrogate pair as the character it stands for."""
    return _PAIR.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text)


def _unicode_normalization(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        if all(one.text.isascii() or unicodedata.is_normalized("NFC", one.text) for one in texts):
            return None
        new = [unicodedata.normalize("NFC", one.text) for one in texts]
        return Changed(new, {"composed": sum(a != one.text for a, one in zip(new, texts, strict=True))})

    return step


STEPS: list[RowStep] = [
    RowStep("mojibake", "repairs UTF-8 that was read in another encoding", _mojibake),
    RowStep("replacement_characters", "rejects texts with characters lost in decoding", _replacement_characters),
    RowStep("unicode_normalization", "writes accents as one character with their letter (NFC)", _unicode_normalization),
]

"""Reject rows that contain part of an evaluation set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_prep.cleaning.duplicates.minhash import words
from data_prep.cleaning.evaluation_sets import read_evaluation_set
from data_prep.cleaning.ngram_index import Match, NgramIndex
from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Rejected, RowStep, StepFunction, Verdict
from pipelines.errors import UserError

_MIN_N, _MAX_N = 5, 50
_ASKING_ROLES = ("user", "input", "text")
_LABELS = (b"q", b"question", b"problem", b"task", b"prompt", b"instruction", b"input")


@dataclass(frozen=True)
class ContaminationOptions:
    """`against`: evaluation sets, each a path or a Hub id (`owner/name`, `owner/name:config`, `owner/name@revision`).
    `n`: how many words in a row must be the same; case and punctuation do not count. A question with fewer words is
    compared as a whole with each text and each line. `min_overlap`: the share of the evaluation text that must be the
    same in all, or 50 words; 0: one run of `n` words is enough."""

    against: tuple[str, ...] = ()
    n: int = 13
    min_overlap: float = 0.3


def _make(options: ContaminationOptions) -> StepFunction:
    if not options.against:
        raise UserError("contamination: no evaluation set", "name one or more: against: [openai/openai_humaneval]")
    if not _MIN_N <= options.n <= _MAX_N:
        raise UserError(f"contamination: n is {options.n}, expected {_MIN_N} to {_MAX_N}", "13 is the field's usual")
    if not 0 <= options.min_overlap <= 1:
        raise UserError(f"contamination: min_overlap is {options.min_overlap}, expected 0 to 1", "0.3 is the default")
    texts = (text for name in options.against for text in read_evaluation_set(str(name)))
    index = NgramIndex(texts, options.n, options.min_overlap)

    def check(texts: Sequence[RowText]) -> Verdict:
        for one in texts:
            found = words(one.text)
            match = index.find(found)
            if match is None and index.has_short_questions and one.role in _ASKING_ROLES:
                match = _short_question(index, one.text, found)
            if match:
                return Rejected("contaminated", _details(match))
        return None

    return check


def _details(match: Match) -> dict[str, str | int | float]:
    shared = b" ".join(match.words).decode("utf-8", "replace")
    overlap = round(match.overlap, 2)
    return {"against": match.set_name, "against_row": match.row, "overlap": overlap, "shared": shared}


def _short_question(index: NgramIndex, text: str, found: Sequence[bytes]) -> Match | None:
    """Return the short question that a text or one of its lines is, with or without a label such as "Question:"."""
    candidates: Iterator[Sequence[bytes]] = iter((found,)) if "\n" not in text else map(words, text.split("\n"))
    for one in (found, *candidates):
        unlabelled = one[1:] if one and one[0] in _LABELS else one
        if match := index.find_whole(one) or index.find_whole(unlabelled):
            return match
    return None


STEPS = [
    RowStep(
        "contamination",
        "reject rows that share 13 words in a row with an evaluation set, or ask one of its short questions",
        _make,
        ContaminationOptions,
    )
]

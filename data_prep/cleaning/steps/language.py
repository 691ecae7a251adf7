"""Keep rows in given languages, as py3langid identifies them. Off without options."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Rejected, RowStep, StepFunction, Verdict
from data_prep.cleaning.steps.answers import is_wanted_answer
from data_prep.text_rules.languages import CODE_SYMBOLS, MAX_CODE_SHARE, NO_LANGUAGE, NOT_PROSE, VARIETIES, identifier
from pipelines.errors import UserError

MAX_CHARACTERS = 1_000  # more do not make it surer, and cost time
_MIN_LETTERS = 60
_MIN_WIDE_LETTERS = 15  # of Chinese, Japanese and Korean, where one is a syllable or a word
_MIN_LETTERS_IN_A_LINE = 35
_MIN_BYTES = 100
_MIN_PROBABILITY = 0.9
_COMMAS, _MAX_COMMA_SHARE = ",;", 0.25  # of the words: lists of names are in no language


@dataclass(frozen=True)
class KeptLanguages:
    """`keep`: ISO 639 codes such as [en, de]. Rows of which no text is long enough to be sure stay."""

    keep: tuple[str, ...] = ()


def language_of(text: str) -> str | None:
    """Return the ISO 639 code of the text's language; None where it is not sure: code, short texts, mixed languages.

    Norwegian is `no`, Chinese of any region `zh`, Arabic of any region `ar`.
    """
    prose = NOT_PROSE.sub(" ", text[:MAX_CHARACTERS])
    n_letters = sum(map(str.isalpha, prose))
    n_wide = 0 if prose.isascii() else sum(letter >= "\u3040" for letter in prose if letter.isalpha())
    if n_letters < _MIN_LETTERS and n_wide < _MIN_WIDE_LETTERS:
        return None
    if sum(map(prose.count, CODE_SYMBOLS)) > MAX_CODE_SHARE * len(prose):
        return None
    if sum(map(prose.count, _COMMAS)) > _MAX_COMMA_SHARE * prose.count(" ") + 2 or _has_short_lines(prose, n_letters):
        return None
    label, probability = identifier().classify(prose)
    language = VARIETIES.get(label, str(label))
    if language in ("zh", "ja", "ko") and n_wide < n_letters / 2:  # a quotation
        return None
    return None if probability < _MIN_PROBABILITY or label == NO_LANGUAGE else language


def _has_short_lines(prose: str, n_letters: int) -> bool:
    """Whether the text is a list of titles or names, which are often of another language."""
    n_lines = sum(not line.isspace() for line in prose.strip().splitlines(keepends=True))
    return n_lines > 1 and n_letters < _MIN_LETTERS_IN_A_LINE * n_lines


def known_languages() -> set[str]:
    """Return the codes that `language_of` returns."""
    return {VARIETIES.get(label, label) for label in identifier().labels} - {NO_LANGUAGE}


def _language(options: KeptLanguages) -> StepFunction:
    kept = _checked(options.keep)

    def step(texts: Sequence[RowText]) -> Verdict:
        for one in texts:
            if one.role == "text" or is_wanted_answer(one):
                found = language_of(one.text)
                if found is not None and found not in kept and _is_the_same_throughout(one.text):
                    return Rejected("language", {"language": found})
        return None

    return step


def _is_the_same_throughout(text: str) -> bool:
    """Whether the beginning, the middle and the end are in one language, unlike a translation with its explanation.

    A piece has enough bytes to be identified, so a short text is one piece.
    """
    n_characters = min(len(text), MAX_CHARACTERS)
    n_pieces = max(1, min(3, len(text[:n_characters].encode("utf-8", "replace")) // _MIN_BYTES))
    size = n_characters // n_pieces
    labels = {identifier().classify(text[size * n : size * (n + 1)])[0] for n in range(n_pieces)}
    return len({VARIETIES.get(label, label) for label in labels}) == 1


def _checked(keep: Collection[str]) -> frozenset[str]:
    if not keep:
        raise UserError("language keeps no language, expected a list of codes", "write keep: [en]")
    known = known_languages()
    for code in keep:
        if code not in known:
            problem = f"language: keep has {code!r}, expected codes of ISO 639"
            raise UserError(problem, f"choose from {', '.join(sorted(known))}")
    return frozenset(keep)


STEPS: list[RowStep] = [
    RowStep("language", "rejects rows whose answer or document is in another language", _language, KeptLanguages)
]

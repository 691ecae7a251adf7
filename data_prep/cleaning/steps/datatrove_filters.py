"""The quality filters of Gopher, C4 and FineWeb for documents, as datatrove has them (extra `scale`).

The options are the arguments of datatrove's classes, with their defaults. `language` chooses how words are split.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Changed, Rejected, RowStep, StepFunction, Verdict
from pipelines.errors import UserError

MAX_CHARS = 10_000_000  # splitting a text into words takes about 100 bytes of memory for each character
Shares = tuple[tuple[int, float], ...]  # of n-grams: n, and the largest share of the text's characters


@dataclass(frozen=True)
class GopherQuality:
    """https://arxiv.org/abs/2112.11446, table A1. None: no limit."""

    min_doc_words: int | None = 50
    max_doc_words: int | None = 100_000
    min_avg_word_length: int | None = 3
    max_avg_word_length: int | None = 10
    max_symbol_word_ratio: float | None = 0.1
    max_bullet_lines_ratio: float | None = 0.9
    max_ellipsis_lines_ratio: float | None = 0.3
    max_non_alpha_words_ratio: float | None = 0.8
    min_stop_words: int | None = 2
    stop_words: tuple[str, ...] | None = None
    language: str = "eng"


@dataclass(frozen=True)
class GopherRepetition:
    """https://arxiv.org/abs/2112.11446, table A1. None: no limit."""

    dup_line_frac: float | None = 0.3
    dup_para_frac: float | None = 0.3
    dup_line_char_frac: float | None = 0.2
    dup_para_char_frac: float | None = 0.2
    top_n_grams: Shares = ((2, 0.2), (3, 0.18), (4, 0.16))
    dup_n_grams: Shares = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    language: str = "eng"


@dataclass(frozen=True)
class C4Quality:
    """https://jmlr.org/papers/volume21/20-074/20-074.pdf, section 2.2; its list of bad words is left out."""

    split_paragraph: bool = True
    remove_citations: bool = True
    filter_no_terminal_punct: bool = True
    min_num_sentences: int = 5
    min_words_per_line: int = 3
    max_word_length: int = 1000
    filter_lorem_ipsum: bool = True
    filter_javascript: bool = True
    filter_curly_bracket: bool = True
    filter_policy: bool = True
    language: str = "eng"


@dataclass(frozen=True)
class FineWebQuality:
    """https://arxiv.org/abs/2406.17557, section 3.6."""

    line_punct_thr: float = 0.12
    line_punct_exclude_zero: bool = False
    stop_chars: tuple[str, ...] | None = None
    short_line_thr: float = 0.67
    short_line_length: int = 30
    char_duplicates_ratio: float = 0.01
    new_line_ratio: float = 0.3
    language: str = "eng"


def _filter(name: str, class_name: str, options: Any) -> StepFunction:
    """Return the step that applies a filter to documents. Raises `UserError` if it cannot be used."""
    if missing := [one for one in ("datatrove", "spacy") if importlib.util.find_spec(one) is None]:
        problem = f"the step {name} needs {' and '.join(missing)}, which is not installed"
        raise UserError(problem, "pip install -e '.[scale]'")
    from datatrove.data import Document
    from datatrove.pipeline import filters
    from datatrove.pipeline.filters.base_filter import get_filter_result
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    try:
        load_word_tokenizer(options.language)
    except (ValueError, ImportError) as error:
        problem = f"{name}: language is {options.language!r}: {str(error).split('. ')[0]}"
        raise UserError(problem, "give a code of ISO 639-3 such as eng, deu or fra") from error
    one_filter = getattr(filters, class_name)(**{one.name: getattr(options, one.name) for one in fields(options)})

    def step(texts: Sequence[RowText]) -> Verdict:
        text = texts[0].text
        if len(text) > MAX_CHARS:
            return Rejected("too_long_for_filter", {"n_chars": len(text)})
        document = Document(text, id="")
        try:
            is_kept, reason = get_filter_result(one_filter.filter(document))
        except ZeroDivisionError:  # a share of the words or lines of a document that has none
            return Rejected("no_words")
        if not is_kept:
            return Rejected(reason)
        if document.text == text:
            return None
        n_lines = len(text.splitlines()) - len(document.text.splitlines())
        return Changed([document.text], {"removed_lines": n_lines} if n_lines else {"changed_documents": 1})

    return step


def _step(name: str, description: str, class_name: str, options: type) -> RowStep:
    return RowStep(name, description, partial(_filter, name, class_name), options)


STEPS: list[RowStep] = [
    _step("gopher_quality", "rejects documents by their words and symbols", "GopherQualityFilter", GopherQuality),
    _step("gopher_repetition", "rejects documents that repeat themselves", "GopherRepetitionFilter", GopherRepetition),
    _step(
        "c4_quality", "removes lines without an end mark, rejects what is left of lists", "C4QualityFilter", C4Quality
    ),
    _step("fineweb_quality", "rejects documents of short or repeated lines", "FineWebQualityFilter", FineWebQuality),
]

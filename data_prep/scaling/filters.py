"""datatrove's quality filters of Gopher, C4 and FineWeb, as cleaning steps."""

from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from functools import cache, partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Changed, Rejected, RowStep, StepFunction, Verdict
from pipelines.errors import UserError

if TYPE_CHECKING:
    from datatrove.pipeline.filters.base_filter import BaseFilter

FILTERS = {
    "gopher_quality": ("GopherQualityFilter", "rejects documents by Gopher's rules on words, symbols and lines"),
    "gopher_repetition": ("GopherRepetitionFilter", "rejects documents that repeat lines, paragraphs or n-grams"),
    "c4_quality": ("C4QualityFilter", "removes lines without an end mark, rejects documents of too few sentences"),
    "fineweb_quality": ("FineWebQualityFilter", "rejects lists and documents of short or repeated lines"),
}
# Word splitting takes about 100 bytes of memory for each character.
MAX_CHARS = 10_000_000


@cache
def filter_steps() -> list[RowStep]:
    """Return the filters as steps. Their options are the arguments of datatrove's classes. Needs the extra `scale`."""
    from datatrove.pipeline import filters

    return [_as_step(name, getattr(filters, made_by), text) for name, (made_by, text) in FILTERS.items()]


def _as_step(name: str, filter_class: "type[BaseFilter]", description: str) -> RowStep:
    arguments = [one for one in signature(filter_class).parameters.values() if one.name != "exclusion_writer"]
    columns = [(one.name, one.annotation, field(default=one.default)) for one in arguments]
    options = make_dataclass(f"{filter_class.__name__}Options", columns, frozen=True)
    return RowStep(name, description, partial(_filter_function, name, filter_class), options)


def _filter_function(name: str, filter_class: "type[BaseFilter]", options: Any) -> StepFunction:
    from datatrove.data import Document
    from datatrove.pipeline.filters.base_filter import get_filter_result
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    try:
        load_word_tokenizer(options.language)
    except (ValueError, ImportError) as error:
        problem = f"{name}: language is {options.language!r}: {str(error).split('. ')[0]}"
        raise UserError(problem, "give a code of ISO 639-3 such as eng, deu or fra") from error
    one_filter = filter_class(**{one.name: getattr(options, one.name) for one in fields(options)})

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
            return Rejected(reason or name)
        if document.text == text:
            return None
        n_lines = len(text.splitlines()) - len(document.text.splitlines())
        return Changed([document.text], {"removed_lines": n_lines})

    return step

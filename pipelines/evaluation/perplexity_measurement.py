"""Models and documents -> likelihoods: what each model is given in each scope, one model in memory at a time."""

import gc
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.evaluation.likelihood import DocumentLikelihood, response_likelihoods, text_likelihoods
from pipelines.evaluation.model_choice import ModelChoice, behind_template_of, distinct_names
from pipelines.modeling import LoadedModel, PromptStyle

Row = Mapping[str, Any]


class Scope(StrEnum):
    """What is scored: a document's whole text, or the text of an answer given its prompt."""

    TEXT = "text"
    RESPONSE = "response"


@dataclass(frozen=True)
class Reading:
    """How documents are read; `window` and `stride` in tokens, None for the model's longest sequence and half of it."""

    batch_size: int = 8
    window: int | None = None
    stride: int | None = None


@dataclass(frozen=True)
class Measurement:
    """One model's likelihoods of all documents of a scope, in their order; no prompt style in the text scope."""

    model: str
    path: str
    scope: Scope
    prompt_style: PromptStyle | None
    documents: Sequence[DocumentLikelihood]


def default_scopes(rows: Sequence[tuple[int, Row]]) -> list[Scope]:
    """Answers where the rows have them, else their text."""
    return [Scope.RESPONSE if rows and "output" in rows[0][1] else Scope.TEXT]


def drawn_rows(rows: Sequence[Row], limit: int | None, seed: int) -> list[tuple[int, Row]]:
    """All rows, or `limit` of them drawn with `seed` (the first may all come from one source), with their numbers."""
    numbered = list(enumerate(rows, start=1))
    if limit is None or limit >= len(numbered):
        return numbered
    return sorted(random.Random(seed).sample(numbered, limit), key=lambda pair: pair[0])


def documents_in_scope(rows: Sequence[tuple[int, Row]], scope: Scope, where: str) -> list[Any]:
    """The texts (`text`, or `output` of instruction rows), or rows of instruction, input and output.

    Empty texts are left out. Raises `UserError` for a row without text or answer, and below two documents, on which no
    interval can rest.
    """
    one = _text if scope is Scope.TEXT else _request_and_answer
    documents = [document for number, row in rows if (document := one(row, f"row {number} of {where}"))]
    if len(documents) < 2:
        raise UserError(
            expected="at least two documents that are not empty, for an interval",
            got=f"{len(documents)} in {where}",
            remedy="give a larger --dataset, or a higher --limit",
        )
    return documents


def measure(
    choices: Sequence[ModelChoice], documents: Mapping[Scope, Sequence[Any]], reading: Reading
) -> list[Measurement]:
    """All measurements, in the order of the models given.

    In the response scope a model is given its own chat template. The first model, which the others are compared with,
    and each model without a template are given the plain prompt as well as the template: their own, or that of the last
    model that has one.
    """
    measurements: list[Measurement] = []
    template: PreTrainedTokenizerBase | None = None
    names = distinct_names(choices)
    for number in reversed(range(len(choices))):  # a fine-tuned model comes after its base, which needs its template
        print(f"measuring {names[number]}", file=sys.stderr, flush=True)
        loaded = choices[number].load(names[number])
        template = template or (loaded.tokenizer if loaded.has_chat_template else None)
        found = list(_measure(loaded, documents, reading, template, is_first=number == 0))
        measurements = found + measurements
        del loaded
        gc.collect()
    return measurements


def _measure(
    loaded: LoadedModel,
    documents: Mapping[Scope, Sequence[Any]],
    reading: Reading,
    template: PreTrainedTokenizerBase | None,
    is_first: bool,
) -> Iterator[Measurement]:
    size, window, stride = reading.batch_size, reading.window, reading.stride
    if texts := documents.get(Scope.TEXT):
        scores = text_likelihoods(loaded, texts, batch_size=size, window=window, stride=stride)
        yield Measurement(loaded.name, loaded.path, Scope.TEXT, None, scores)
    if rows := documents.get(Scope.RESPONSE):
        for style, ready in _prompt_styles(loaded, template, is_first):
            scores = response_likelihoods(ready, rows, style, batch_size=size, window=window, stride=stride)
            yield Measurement(loaded.name, loaded.path, Scope.RESPONSE, style, scores)


def _prompt_styles(
    loaded: LoadedModel, template: PreTrainedTokenizerBase | None, is_first: bool
) -> Iterator[tuple[PromptStyle, LoadedModel]]:
    """The styles of a model, plain first: a borrowed template may grow the embeddings of the model under it."""
    if is_first or not loaded.has_chat_template:
        yield PromptStyle.PLAIN, loaded
    borrowed = None if loaded.has_chat_template or template is None else behind_template_of(loaded, template)
    if loaded.has_chat_template or borrowed is not None:
        yield PromptStyle.CHAT, borrowed or loaded
    else:
        print(f"{loaded.name}: plain prompts only, no template for its vocabulary was given", file=sys.stderr)


def _text(row: Row, place: str) -> str:
    text = row.get("text", row.get("output"))
    if not isinstance(text, str):
        raise UserError(
            expected=f"`text` or `output` in {place}",
            got=f"the columns {', '.join(map(str, row)) or '(none)'}" if text is None else f"a {type(text).__name__}",
            remedy="write the document as a string in `text`",
        )
    return text


def _request_and_answer(row: Row, place: str) -> dict[str, Any]:
    texts = {"instruction": row.get("instruction") or row.get("prompt"), "output": row.get("output")}
    for column, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise UserError(
                expected=f"a text in `{column}` in {place}",
                got="none" if not text or isinstance(text, str) else f"a {type(text).__name__}",
                remedy="give instruction rows with an answer each, or measure --scope text",
            )
    return {**texts, "input": row.get("input") or ""}

"""Measure the likelihood of documents under models, with one base in memory at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from pipelines.evaluation.likelihood.documents import Documents, Scope
from pipelines.evaluation.likelihood.likelihood import (
    DocumentLikelihood,
    condition_token,
    passage_likelihoods,
    response_likelihoods,
    text_likelihoods,
)
from pipelines.evaluation.prompts.given_template import GivenTemplate, template_losses
from pipelines.evaluation.prompts.prompt import are_plain_text
from pipelines.hub.model_names import distinct_names
from pipelines.hub.model_ref import ModelRef
from pipelines.inference.loading import load_in_turn, with_template_of
from pipelines.inference.processes import log, measured_by_all
from pipelines.modeling import LoadedModel, PromptStyle, load_tokenizer


@dataclass(frozen=True)
class Reading:
    """How documents are read; `window` and `stride` in tokens, None for the model's longest sequence and half of it.
    A `template` replaces the models' own."""

    batch_size: int | None = None
    window: int | None = None
    stride: int | None = None
    dtype: str = "auto"
    template: GivenTemplate | None = None


@dataclass(frozen=True)
class Measurement:
    """One model's likelihoods of all documents of a scope, in order; no prompt style in the text scope. `condition` is
    the token that a text's first token is conditioned on, `sources` the source of each document, `source` that of all
    of them (None for all sources), `groups` the group of each document, `dtype` that of the computation."""

    model: str
    path: str
    scope: Scope
    prompt_style: PromptStyle | None
    documents: Sequence[DocumentLikelihood]
    sources: Sequence[str | None] = ()
    condition: str | None = None
    source: str | None = None
    groups: Sequence[str | None] = ()
    dtype: str | None = None


def measure(models: Sequence[ModelRef], documents: Mapping[Scope, Documents], reading: Reading) -> list[Measurement]:
    """Measure all models, in the order given.

    In the response scope a model gets its own chat template. The first model, which the others are compared with, and
    each model without a template get the plain prompt and a template: their own, or that of the last model that has
    one. With `accelerate launch` every process has to call this, and all get the same result.
    """
    names = distinct_names(models)
    given = reading.template
    own = [load_tokenizer(*model.tokenizer_source) for model in models]
    tokenizers = [given.on_tokenizer(one) if given else one for one in own]
    template = next((tokenizer for tokenizer in reversed(tokenizers) if tokenizer.chat_template), None)
    places = [model.base_folder for model in models]
    order = sorted(range(len(models)), key=lambda number: (places.index(places[number]), number))
    found: dict[int, list[Measurement]] = {}
    in_turn = load_in_turn([models[n] for n in order], [names[n] for n in order], dtype=reading.dtype)
    for number, loaded in zip(order, in_turn, strict=True):
        log(f"measuring {loaded.name}")
        if given and (number or loaded.has_chat_template or len(models) == 1):
            loaded = given.on(loaded)  # a base without one gets that of the last model, with its vocabulary
        found[number] = list(_measure(loaded, documents, reading, template, is_first=number == 0))
    return [measurement for number in range(len(models)) for measurement in found[number]]


def _measure(
    loaded: LoadedModel,
    documents: Mapping[Scope, Documents],
    reading: Reading,
    template: PreTrainedTokenizerBase | None,
    is_first: bool,
) -> Iterator[Measurement]:
    options: dict[str, Any] = {"batch_size": reading.batch_size, "window": reading.window, "stride": reading.stride}
    options["measured_by"] = measured_by_all
    condition = condition_token(loaded.tokenizer)
    for scope, ones in documents.items():
        facts: dict[str, Any] = {"groups": ones.groups, "dtype": loaded.computed_in}
        if scope is Scope.TEXT:
            likelihoods = passage_likelihoods if ones.follow_on else text_likelihoods
            scores = likelihoods(loaded, ones.items, **options)
            yield Measurement(loaded.name, loaded.path, scope, None, scores, ones.sources, condition, **facts)
            continue
        plain_text = are_plain_text(one.asked for one in ones.items)
        styles = [(PromptStyle.RAW, loaded)] if plain_text else _prompt_styles(loaded, template, is_first)
        for style, ready in styles:
            if style is PromptStyle.CHAT:
                template_losses(ready, [one.asked for one in ones.items])
            scores = response_likelihoods(ready, ones.items, style, **options)
            yield Measurement(loaded.name, loaded.path, scope, style, scores, ones.sources, condition, **facts)


def _prompt_styles(
    loaded: LoadedModel, template: PreTrainedTokenizerBase | None, is_first: bool
) -> Iterator[tuple[PromptStyle, LoadedModel]]:
    if is_first or not loaded.has_chat_template:
        yield PromptStyle.PLAIN, loaded
    borrowed = None if loaded.has_chat_template or template is None else with_template_of(loaded, template)
    if loaded.has_chat_template or borrowed is not None:
        yield PromptStyle.CHAT, borrowed or loaded
    else:
        log(f"{loaded.name}: plain prompts only, no template for its vocabulary was given")

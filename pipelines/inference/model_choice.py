"""The models that a user names for a measurement: loaded with one-line errors, called by names that differ."""

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, count
from typing import cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.hub.pulling import local_copy
from pipelines.hub.references import short_name
from pipelines.inference.model_bundle import settled_dtype
from pipelines.inference.processes import processes
from pipelines.inference.shared_base import adapted_copy, empty, grown_copy, sharing_copy
from pipelines.modeling import LoadedModel, load_tokenizer
from pipelines.modeling.adapter_base import refuse_other_base
from pipelines.modeling.loading import base_of_adapter, is_adapter, load_base_model, tokenizer_place


class Role(StrEnum):
    """What a model is in a comparison."""

    BASE = "base"
    FEW_SHOT_BASE = "few_shot_base"
    INSTRUCT = "instruct"


@dataclass(frozen=True)
class ModelChoice:
    """A model or an adapter (folder or Hub id) and, where it is a base, the adapter to put on it."""

    model_name_or_path: str
    adapter: str | None = None

    @property
    def path(self) -> str:
        """What tells the choice from others: the adapter, else the model."""
        return self.adapter or self.model_name_or_path

    @property
    def parts(self) -> tuple[str, str | None]:
        """The base and the adapter on it, also where only an adapter was named."""
        if self.adapter is None and is_adapter(self.model_name_or_path):
            return base_of_adapter(self.model_name_or_path), self.model_name_or_path
        return self.model_name_or_path, self.adapter

    @property
    def base_place(self) -> str:
        """What is equal for two choices of one base, however its path was written."""
        return str(local_copy(self.parts[0]).folder.resolve())

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The adapter's where it holds one, else the base's."""
        return load_tokenizer(tokenizer_place(*self.parts))

    def load(self, name: str | None = None, dtype: str = "auto") -> LoadedModel:
        """The model ready for inference, alone in memory. Raises as `loaded_one_by_one`."""
        return next(loaded_one_by_one([self], [name or short_name(self.path)], dtype=dtype))


def loaded_one_by_one(
    choices: Sequence[ModelChoice], names: Sequence[str], *, dtype: str = "auto"
) -> Iterator[LoadedModel]:
    """Each choice ready for inference under its name, in the order given and in `dtype` (see `settled_dtype`).

    One base is in memory at a time: it is loaded once for all neighbours that share it, so put those side by side. What
    is done to a model that was given out, or to its embeddings, leaves the base as it was. A model is there until the
    next is asked for: it is emptied then. Raises `UserError` for an adapter of another base, or whose own base has
    changed since, before anything is loaded, and for a model that cannot be loaded.
    """
    for choice in sorted(choices, key=lambda one: one.adapter is None):  # a mistake of the user's own is told first
        base_name, on_it = choice.parts
        if on_it is not None:
            refuse_other_base(on_it, base_name)
    for choice in choices:
        choice.tokenizer()  # what is not there is told before the first model is measured
    base: PreTrainedModel | None = None
    place: str | None = None
    for choice, name in zip(choices, names, strict=True):
        path, adapter = choice.parts
        tokenizer = choice.tokenizer()
        if base is None or place != choice.base_place:
            base, place = None, choice.base_place
            gc.collect()  # the base before this one
            base = load_base_model(path, dtype=settled_dtype(path, dtype))
            cast(torch.nn.Module, base).to(processes().device)
            base.eval()
        model = sharing_copy(base) if adapter is None else adapted_copy(base, adapter, tokenizer)
        yield LoadedModel(name, choice.path, model, tokenizer)
        empty(model)  # the caller's variable still holds it while the next base is loaded


def distinct_names(choices: Sequence[ModelChoice]) -> list[str]:
    """The short name of each choice; numbered where that is another's too."""
    names: list[str] = []
    for choice in choices:
        names.append(_new_name(short_name(choice.path), names))
    return names


def instruct_choices(base: str, instructs: Sequence[str]) -> tuple[list[ModelChoice], list[str]]:
    """A base and what is compared with it, with their names for records: "base", then "instruct" for one model and of
    several each its short name, numbered where two would be alike. Adapters are put on `base`."""
    choices = [ModelChoice(base, one) if is_adapter(one) else ModelChoice(one) for one in instructs]
    names = [Role.BASE.value]
    for one in instructs:
        name = short_name(one) if len(instructs) > 1 else ""
        names.append(_new_name(name or Role.INSTRUCT.value, names))
    return [ModelChoice(base), *choices], names


def _new_name(name: str, taken: Sequence[str]) -> str:
    """`name`, with the first number from 2 on that makes it new where it is taken."""
    numbered = (f"{name}_{number}" for number in count(2))
    return next(one for one in chain([name], numbered) if one not in taken)


def behind_template_of(base: LoadedModel, tokenizer: PreTrainedTokenizerBase) -> LoadedModel | None:
    """`base` behind the chat template of another model's `tokenizer`, as it stood before it was fine-tuned with it.

    Tokens of the template that are new to the base get the mean embedding, as at the start of training, in a copy: the
    base itself is left as it is. None if the tokenizer has no template, or a vocabulary whose ids would mean nothing to
    the model.
    """
    vocabulary = tokenizer.get_vocab()
    known = all(vocabulary.get(token) == token_id for token, token_id in base.tokenizer.get_vocab().items())
    if not (tokenizer.chat_template and known):
        return None
    if len(tokenizer) <= cast(torch.Tensor, base.model.get_input_embeddings().weight).shape[0]:
        return replace(base, tokenizer=tokenizer)
    if isinstance(base.model, PeftModel):  # its adapter was trained without these tokens
        return None
    return replace(base, tokenizer=tokenizer, model=grown_copy(base.model, tokenizer))

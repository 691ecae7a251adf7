"""The models that a user names for a measurement: loaded with one-line errors, called by names that differ."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.modeling import LoadedModel, load_for_inference, model_fingerprint
from pipelines.modeling.loading import base_of_adapter, is_adapter, resize_embeddings
from pipelines.records import read_record


@dataclass(frozen=True)
class ModelChoice:
    """A model (folder, Hub id or adapter folder) and, where it is a base, the adapter to put on it."""

    model_name_or_path: str
    adapter: str | None = None

    @property
    def path(self) -> str:
        """What tells the choice from others: the adapter, else the model."""
        return self.adapter or self.model_name_or_path

    def load(self, name: str | None = None, dtype: str = "auto") -> LoadedModel:
        """The model ready for inference, in `dtype` (auto: as it was saved).

        Raises `UserError` for an adapter that was trained on another base.
        """
        if self.adapter is not None:
            try:
                refuse_other_base(self.adapter, self.model_name_or_path)
            except UserError as error:
                remedy = "give that base with --model_name_or_path before --adapter"
                raise UserError(expected=error.expected, got=error.got, remedy=remedy) from error
        return load_for_inference(self.model_name_or_path, self.adapter, name=name, dtype=dtype)


def distinct_names(choices: Sequence[ModelChoice]) -> list[str]:
    """The folder's name of each choice; numbered where that is another's too."""
    names: list[str] = []
    for number, choice in enumerate(choices, start=1):
        name = Path(choice.path).name or choice.path
        names.append(f"{name}_{number}" if name in names else name)
    return names


def refuse_other_base(instruct: str, base: str) -> None:
    """Raise `UserError` if `instruct` is an adapter that was trained on other weights than those of `base`.

    The fingerprint in the adapter's run.json decides; without one, the base that the adapter names.
    """
    if not is_adapter(instruct):
        return
    named, given = base_of_adapter(instruct), model_fingerprint(base)
    record = Path(instruct) / "run.json"
    trained_on = (read_record(record).get("base") or {}).get("fingerprint") if record.is_file() else None
    if trained_on is None and named != base and Path(named).is_dir():
        trained_on = model_fingerprint(named)
    if given == trained_on or (trained_on is None and named == base):
        return
    other_weights = named == base or Path(named).resolve() == Path(base).resolve()
    raise UserError(
        expected=f"the base that the adapter {instruct} was trained on, {named}",
        got=f"{base}" + (", whose files have changed since" if other_weights else ""),
        remedy="give that base with --base, or another adapter with --instruct",
    )


def behind_template_of(base: LoadedModel, tokenizer: PreTrainedTokenizerBase) -> LoadedModel | None:
    """`base` behind the chat template of another model's `tokenizer`, as it stood before it was fine-tuned with it.

    Tokens of the template that are new to the base get the mean embedding, as at the start of training; this grows the
    base's own embeddings, so what is measured without the template has to be measured before. None if the tokenizer
    has no template, or another vocabulary, whose ids would mean nothing to the base.
    """
    vocabulary = tokenizer.get_vocab()
    known = all(vocabulary.get(token) == token_id for token, token_id in base.tokenizer.get_vocab().items())
    if not (tokenizer.chat_template and known):
        return None
    if not isinstance(base.model, PeftModel):
        with torch.random.fork_rng():
            torch.manual_seed(0)  # the new rows are drawn closely around the mean
            resize_embeddings(base.model, tokenizer)
    return replace(base, tokenizer=tokenizer)

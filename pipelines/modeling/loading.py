"""Loading tokenizers and models, base or adapter, from a folder or the Hub, with one-line errors."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from peft import PeftConfig, PeftModel
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from pipelines.errors import UserError
from pipelines.hub.model_ref import model_fingerprint
from pipelines.hub.pulling import LocalCopy, local_copy
from pipelines.modeling.chat.template_files import refuse_two_templates

# Unset, transformers asks at the terminal, and a "y" runs code that somebody else's config names.
_NO_CODE = {"trust_remote_code": False}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for inference, in evaluation mode on the best device, with its tokenizer.

    `path` is the folder or Hub id as the user gave it; the adapter's for an adapter on a base.
    """

    name: str
    path: str
    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.model.device

    @property
    def computed_in(self) -> str:
        """The type of the weights and of the computation, such as float32."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def max_positions(self) -> int | None:
        """The longest sequence of the model in tokens, None if its config has none."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer carries a chat template."""
        return bool(self.tokenizer.chat_template)

    @cached_property
    def fingerprint(self) -> str:
        """The identity of the weights, see `model_fingerprint`."""
        return model_fingerprint(self.path)


def load_tokenizer(name_or_path: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a folder or Hub id. A missing pad token becomes EOS, which only fills masked places."""
    found = local_copy(name_or_path, revision)
    if found.commit is None:  # a repository on the Hub cannot be corrected here, and is read as transformers reads it
        refuse_two_templates(found.folder)
    with _one_line_errors(found, "a tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(found.folder, **_NO_CODE)
    tokenizer.name_or_path = name_or_path
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_config(name_or_path: str, revision: str | None = None) -> PreTrainedConfig:
    """Load the config of a folder or Hub id."""
    found = local_copy(name_or_path, revision)
    with _one_line_errors(found, "a model's config.json"):
        return _named_as(found, AutoConfig.from_pretrained(found.folder, **_NO_CODE))


def load_generation_config(name_or_path: str, revision: str | None = None) -> GenerationConfig | None:
    """Load the generation config of a model, None if it has none."""
    try:
        return GenerationConfig.from_pretrained(local_copy(name_or_path, revision).folder)
    except OSError:
        return None


def load_base_model(
    name_or_path: str, *, dtype: str | torch.dtype = "auto", revision: str | None = None, **options: Any
) -> PreTrainedModel:
    """Load a causal language model of a folder or Hub id, from safetensors files only."""
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()  # no progress bars in log files
    found = local_copy(name_or_path, revision, weights=True)
    options = {**_NO_CODE, "dtype": dtype, "use_safetensors": True, **options}
    with _one_line_errors(found, "a causal language model in safetensors files"):
        model = AutoModelForCausalLM.from_pretrained(found.folder, **options)
    _named_as(found, model.config)
    model.name_or_path = found.name
    return model


def with_adapter(base: PreTrainedModel, adapter: str, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Attach `adapter` to `base`, and resize its embeddings for the tokenizer. Raises `UserError` if it cannot be
    read."""
    resize_embeddings(base, tokenizer)
    found = local_copy(adapter, weights=True)
    with attach_quietly(), _one_line_errors(found, "a PEFT adapter in safetensors files"):
        model: Any = PeftModel.from_pretrained(base, str(found.folder))
        if found.has("generation_config.json"):
            base.generation_config = GenerationConfig.from_pretrained(found.folder)
    model.generation_config = base.generation_config
    return model


def adapter_config(name_or_path: str) -> PeftConfig:
    """Load an adapter's PEFT configuration."""
    found = local_copy(name_or_path)
    with _one_line_errors(found, "a PEFT adapter"):
        return PeftConfig.from_pretrained(str(found.folder))


def resize_embeddings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> range:
    """Grow the embeddings if the tokenizer has more tokens than rows; never shrink them (rows may be padded).

    Returns the ids of the tokens with new rows.
    """
    n_rows = cast(torch.nn.Embedding, model.get_input_embeddings()).num_embeddings
    if len(tokenizer) > n_rows:
        with attach_quietly():
            model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    return range(n_rows, len(tokenizer))


def origin(model: PreTrainedModel | PeftModel) -> str:
    """The source of a model's weights, or of the base below an adapter: a folder, or a Hub id at its commit."""
    base = cast(PreTrainedModel, model.get_base_model() if isinstance(model, PeftModel) else model)
    name, commit = str(base.name_or_path), hub_commit(base)
    return f"{name}@{commit}" if commit else name


def hub_commit(model: PreTrainedModel) -> str | None:
    """The Hub commit that `load_base_model` loaded a model from, None for a folder."""
    commit: str | None = getattr(model.config, "_commit_hash", None)  # missing in a config that was not loaded
    return commit


def _named_as(found: LocalCopy, config: PreTrainedConfig) -> PreTrainedConfig:
    """`config` with a name that others can load, and the commit, instead of the cache folder."""
    config.name_or_path, config._commit_hash = found.name, found.commit
    return config


@contextmanager
def attach_quietly() -> Iterator[None]:
    """Silence transformers' warnings about settings that this project makes itself."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


@contextmanager
def _one_line_errors(found: LocalCopy, what: str) -> Iterator[None]:
    """Raise errors while loading files as a `UserError` of one line."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:  # SafetensorError: a truncated file
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{what} at {found.reference.given} needs custom code, which is never run",
                "choose another model, or a copy in transformers' own format",
            ) from error
        first_line = str(error).strip().split("\n")[0].replace(str(found.folder), found.reference.given)[:200]
        raise UserError(
            f"cannot load {what} from {found.reference.given}: {first_line or type(error).__name__}",
            "check the path or the Hub id",
        ) from error

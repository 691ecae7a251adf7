"""Loading tokenizers and models, from a folder or the Hub, base or adapter, with one-line errors."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import errors as hub_errors
from peft import PeftConfig, PeftModel
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
from pipelines.files import sha256_of_files

_WEIGHT_FILES = ("*.safetensors", "config.json", "adapter_config.json", "tokenizer.json")


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for inference: in evaluation mode, on the best device there is, with its own tokenizer."""

    name: str
    path: str
    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    revision: str | None = None

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.model.device

    @property
    def max_positions(self) -> int | None:
        """The longest sequence in tokens that the model was built for, None if its config does not say."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer carries a chat template."""
        return bool(self.tokenizer.chat_template)

    @cached_property
    def fingerprint(self) -> str:
        """What identifies the weights, see `model_fingerprint`."""
        return model_fingerprint(self.path, self.revision)


def load_tokenizer(name_or_path: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or Hub id. A missing pad token becomes EOS, which then only fills masked places."""
    with _one_line_errors(name_or_path, "a tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, revision=revision)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_config(name_or_path: str, revision: str | None = None) -> PreTrainedConfig:
    """The config of a model in a folder or on the Hub."""
    with _one_line_errors(name_or_path, "a model's config.json"):
        return AutoConfig.from_pretrained(name_or_path, revision=revision)


def load_generation_config(name_or_path: str, revision: str | None = None) -> GenerationConfig | None:
    """The generation config of a model, None where it has none."""
    try:
        return GenerationConfig.from_pretrained(name_or_path, revision=revision or "main")
    except OSError:
        return None


def load_base_model(
    name_or_path: str, *, dtype: str | torch.dtype = "auto", revision: str | None = None, **options: Any
) -> PreTrainedModel:
    """A causal language model of a folder or Hub id, from safetensors files only."""
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()  # a log file is no place for a moving bar
    with _one_line_errors(name_or_path, "a causal language model in safetensors files"):
        return AutoModelForCausalLM.from_pretrained(
            name_or_path, revision=revision, dtype=dtype, use_safetensors=True, **options
        )


def load_for_inference(
    model_name_or_path: str,
    adapter: str | None = None,
    *,
    name: str | None = None,
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
) -> LoadedModel:
    """Load a base, a base with `adapter`, or an adapter folder, whose configuration names its base.

    The tokenizer is the adapter's where it holds one, because the chat template was trained with the adapter.
    """
    if adapter is None and is_adapter(model_name_or_path):
        adapter, model_name_or_path = model_name_or_path, base_of_adapter(model_name_or_path)
    holds_tokenizer = adapter is not None and (Path(adapter) / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(adapter if adapter and holds_tokenizer else model_name_or_path)
    model = load_base_model(model_name_or_path, dtype=dtype, revision=revision)
    if adapter is not None:
        model = with_adapter(model, adapter, tokenizer)
    cast(torch.nn.Module, model).to("cuda" if torch.cuda.is_available() else "cpu")
    model.eval()
    path = adapter or model_name_or_path
    return LoadedModel(name or Path(path).name, path, model, tokenizer, revision)


def with_adapter(base: PreTrainedModel, adapter: str, tokenizer: PreTrainedTokenizerBase) -> Any:
    """`adapter` on `base`, whose embeddings grow to the tokenizer's size. Raises `UserError` if it cannot be read."""
    resize_embeddings(base, tokenizer)
    with attach_quietly(), _one_line_errors(adapter, "a PEFT adapter in safetensors files"):
        model: Any = PeftModel.from_pretrained(base, adapter)
        if (Path(adapter) / "generation_config.json").is_file():
            base.generation_config = GenerationConfig.from_pretrained(adapter)
    model.generation_config = base.generation_config
    return model


def is_adapter(path: str) -> bool:
    """Whether `path` is a folder that PEFT wrote."""
    return (Path(path) / "adapter_config.json").is_file()


def base_of_adapter(path: str) -> str:
    """The base that an adapter folder was trained on; a relative path counts from where the run was started."""
    with _one_line_errors(path, "a PEFT adapter"):
        base = PeftConfig.from_pretrained(path).base_model_name_or_path
    if base is None:
        raise UserError(
            expected=f"base_model_name_or_path in {path}/adapter_config.json",
            got="null",
            remedy="name the base with --model_name_or_path and the adapter with --adapter",
        )
    return str(base)


def resize_embeddings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> range:
    """Grow the embeddings where the tokenizer has more tokens than rows; rows to spare (padding) are left alone.

    Returns the ids of the tokens whose rows are new.
    """
    n_rows = cast(torch.nn.Embedding, model.get_input_embeddings()).num_embeddings
    if len(tokenizer) > n_rows:
        with attach_quietly():
            model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    return range(n_rows, len(tokenizer))


def model_fingerprint(name_or_path: str, revision: str | None = None) -> str:
    """`sha256:...` over a local folder's weights, config and tokenizer, or `hub:id@commit` for a Hub id."""
    folder = Path(name_or_path)
    if folder.is_dir():
        found = {path for pattern in _WEIGHT_FILES for path in folder.glob(pattern)}
        return f"sha256:{sha256_of_files(found, folder)}"
    config = load_config(name_or_path, revision)
    return f"hub:{name_or_path}@{config._commit_hash or revision or 'main'}"


@contextmanager
def attach_quietly() -> Iterator[None]:
    """Silence transformers' warnings about what this project settles itself, for the length of one call."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


@contextmanager
def _one_line_errors(name_or_path: str, what: str) -> Iterator[None]:
    """Word the ways in which a folder or Hub id cannot be loaded as one `UserError`."""
    try:
        yield
    except (OSError, ValueError, json.JSONDecodeError, hub_errors.HfHubHTTPError) as error:
        first_line = str(error).strip().split("\n")[0][:200]
        if "Repo id must" in first_line:  # what the Hub says of a path
            first_line = "no such folder"
        raise UserError(
            expected=f"{what} at {name_or_path}",
            got=first_line or type(error).__name__,
            remedy="check the path, or the Hub id and the network",
        ) from error

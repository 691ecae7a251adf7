"""A base's weights where they lie: safetensors files, read one tensor at a time and never as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedConfig
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from pipelines.errors import UserError
from pipelines.files import read_json
from pipelines.hub.pulling import local_copy
from pipelines.modeling.loading import load_config


@dataclass(frozen=True)
class Checkpoint:
    """The safetensors files of a model and its config."""

    folder: Path
    config: PreTrainedConfig

    @cached_property
    def file_of(self) -> Mapping[str, Path]:
        """The file that holds each tensor, by the tensor's name."""
        file = self.folder / SAFE_WEIGHTS_NAME
        if not file.is_file():  # as transformers, which passes over an index beside a file of all weights
            index = read_json(self.folder / SAFE_WEIGHTS_INDEX_NAME)
            return {name: self.folder / file for name, file in index["weight_map"].items()}
        with _opened(file) as tensors:
            return dict.fromkeys(tensors.keys(), file)

    def read(self, name: str) -> torch.Tensor:
        """The tensor `name`, in float32 if it holds floating-point numbers.

        The file is opened for this tensor alone: pages that were read count as memory until a file is closed.
        """
        with _opened(self.file_of[name]) as tensors:
            tensor: torch.Tensor = tensors.get_tensor(name)
            return tensor.to(torch.float32, copy=True) if tensor.is_floating_point() else tensor.clone()

    def shape(self, name: str) -> torch.Size:
        """The shape of the tensor `name`, without reading it."""
        with _opened(self.file_of[name]) as tensors:
            return torch.Size(tensors.get_slice(name).get_shape())

    @cached_property
    def dtype(self) -> torch.dtype:
        """The type that the model was saved in: what its config says, else that of its first tensor."""
        if isinstance(self.config.dtype, torch.dtype):
            return self.config.dtype
        name, file = next(iter(self.file_of.items()))
        with _opened(file) as tensors:
            return tensors.get_tensor(name).dtype


def open_checkpoint(name_or_path: str, revision: str | None = None) -> Checkpoint:
    """The weights of a model in a folder or on the Hub, from where they are fetched if they are not here yet.

    Raises `UserError` for a model that needs code of its own, for weights that are quantized, into which nothing can be
    merged without loss, and for a folder without safetensors files.
    """
    config = load_config(name_or_path, revision)
    if getattr(config, "quantization_config", None) is not None:
        raise UserError(
            expected=f"a base in full precision at {name_or_path}: merged into quantized weights, an adapter is lost",
            got="one that was saved quantized",
            remedy="name the base that it was made from with --model_name_or_path",
        )
    if getattr(config, "auto_map", None):
        raise UserError(
            expected=f"a model that transformers loads with its own classes at {name_or_path}",
            got="auto_map in its config.json, which names code to be run from its repository",
            remedy="merge into a model of an architecture that transformers knows",
        )
    folder = local_copy(name_or_path, revision, weights=True).folder
    if not any((folder / name).is_file() for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME)):
        raise UserError(
            expected=f"{SAFE_WEIGHTS_NAME} or {SAFE_WEIGHTS_INDEX_NAME} at {name_or_path}",
            got="neither",
            remedy="save the base with save_pretrained",
        )
    return Checkpoint(folder, config)


def _opened(file: Path) -> Any:
    """`file`, opened. Raises `UserError` if it is not whole, as after a download that was cut off."""
    try:
        return safe_open(file, framework="pt")
    except (OSError, SafetensorError) as error:
        raise UserError(
            expected=f"a whole safetensors file at {file}",
            got=" ".join(str(error).split())[:200],
            remedy="fetch or save the base again",
        ) from error

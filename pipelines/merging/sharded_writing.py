"""Weights to safetensors files of a limited size, each filled, written and let go before the next."""

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from pipelines.errors import UserError
from pipelines.files import write_json_atomically

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def write_shards(
    folder: Path,
    shapes: Mapping[str, torch.Size],
    tensor: Callable[[str], torch.Tensor],
    dtype: torch.dtype,
    max_shard_size: str,
) -> int:
    """Write each tensor of `shapes` as `tensor` gives it, in `dtype`; the number of files.

    The names of the files and the index are those that transformers writes. Raises `UserError` for numbers that
    `dtype` cannot hold.
    """
    _give_freed_tensors_back()
    planned = {name: torch.empty(shape, dtype=dtype, device="meta") for name, shape in shapes.items()}
    split = split_torch_state_dict_into_shards(planned, max_shard_size=max_shard_size)
    for file, names in split.filename_to_tensors.items():
        shard = {}
        for name in names:
            merged = tensor(name)
            shard[name] = (merged.to(dtype) if merged.is_floating_point() else merged).contiguous()
            refuse_infinite(name, shard[name])
        save_weights(shard, folder / file)
    if split.is_sharded:
        n_parameters = sum(shape.numel() for shape in shapes.values())
        metadata = {"total_parameters": n_parameters, **split.metadata}
        index = {"metadata": metadata, "weight_map": split.tensor_to_filename}
        write_json_atomically(folder / SAFE_WEIGHTS_INDEX_NAME, index)
    return len(split.filename_to_tensors)


def save_weights(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write a safetensors file. Raises `UserError` if it cannot be written, as on a full disk."""
    try:
        save_file(dict(tensors), file, metadata={"format": "pt"})
    except SafetensorError as error:
        raise UserError(
            expected=f"room for {file.name} in {file.parent.parent}",
            got=" ".join(str(error).split())[:200],
            remedy="make room, or choose another --output",
        ) from error


def refuse_infinite(name: str, tensor: torch.Tensor) -> None:
    """Raise `UserError` if `tensor`, as it is to be written, holds what its type had no number for."""
    if not torch.isfinite(tensor).all():
        raise UserError(
            expected=f"merged weights that {tensor.dtype} can hold",
            got=f"numbers beyond it in {name}",
            remedy="set --dtype bfloat16 or float32",
        )


def _give_freed_tensors_back() -> None:
    """Have glibc return the memory of each tensor of 1 MiB or more when it is freed, as other C libraries do.

    glibc raises this limit to 32 MiB as it goes, and keeps smaller holes between the tensors of a file: of a model of
    416 MB in files of 50 MB, 285 MB stayed in use.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**20)

"""Rows of a base's embedding tables, read from its safetensors files without loading the model."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from pipelines.hub.pulling import local_copy

_INDEX = "model.safetensors.index.json"
_N_BLOCKS, _BLOCK = 16, 32  # rows next to each other are read at once; 512 rows give a mean and a usual distance


@dataclass(frozen=True)
class Table:
    """One table of weights in a file; `shape` is rows and features."""

    file: Path
    key: str
    shape: tuple[int, int]

    def rows(self, numbers: Iterable[int]) -> torch.Tensor:
        """The rows `numbers` in float32."""
        return self._slices((number, number + 1) for number in numbers)

    def spread_rows(self, n_rows: int) -> torch.Tensor:
        """Some hundred of the first `n_rows` rows, in blocks from first to last."""
        step = max(_BLOCK, n_rows // _N_BLOCKS)
        return self._slices((begin, min(n_rows, begin + _BLOCK)) for begin in range(0, n_rows, step))

    def _slices(self, places: Iterable[tuple[int, int]]) -> torch.Tensor:
        with safe_open(self.file, framework="pt") as tensors:
            weight = tensors.get_slice(self.key)
            return torch.cat([weight[begin:end].float() for begin, end in places])


def table_in_files(name: str, revision: str | None, module: str) -> Table | None:
    """The weight of `module` (such as model.embed_tokens) in the files of a folder or of the Hub's cache.

    None without such files or weights, and for weights that are no floats (quantized ones).
    """
    last = f"{module.rpartition('.')[2]}.weight"  # files of GPT-2 leave out the first part of the name
    for file, keys in _files(local_copy(name, revision).folder):
        key = next((one for one in keys if one == last or one.endswith(f".{last}")), None)
        if key is not None and file.is_file():
            return _table(file, key)
    return None


def _files(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each safetensors file with the names of its weights."""
    index, whole = folder / _INDEX, folder / "model.safetensors"
    if whole.is_file():
        try:
            with safe_open(whole, framework="pt") as tensors:
                yield whole, list(tensors.keys())
        except SafetensorError:
            return  # loading it ends in an error that names the file
    elif index.is_file():
        places: dict[str, list[str]] = {}
        for key, file in json.loads(index.read_text(encoding="utf-8"))["weight_map"].items():
            places.setdefault(file, []).append(key)
        yield from ((folder / file, keys) for file, keys in places.items())


def _table(file: Path, key: str) -> Table | None:
    try:
        with safe_open(file, framework="pt") as tensors:
            weight = tensors.get_slice(key)
            shape, is_float = weight.get_shape(), weight.get_dtype() in ("F32", "F16", "BF16")
    except SafetensorError:
        return None
    return Table(file, key, (shape[0], shape[1])) if is_float and len(shape) == 2 else None
